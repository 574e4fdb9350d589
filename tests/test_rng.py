"""Random numbers: the published vectors of Philox, and the laws they must follow."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from tinynet import kernels, rng
from tinynet.rng import Key, Stream

KEY = Key(seed=7, stream=Stream.WEIGHTS, layer=3, step=5)

# The vectors for philox4x32-10 in kat_vectors of the Random123 library: counter, key, output.
ONES = 0xFFFFFFFF
KNOWN_ANSWERS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((ONES, ONES, ONES, ONES), (ONES, ONES), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "words", "expected"), KNOWN_ANSWERS)
def test_the_published_vectors(
    counter: tuple[int, ...], words: tuple[int, int], expected: tuple[int, ...]
) -> None:
    block, step, layer, stream = counter
    seed = words[0] | words[1] << 32
    key = Key(seed, stream=stream, layer=layer, step=step, first=4 * block)
    assert rng.philox_bits(key, 4).tolist() == list(expected)


def test_the_zero_vector_needs_no_tricks() -> None:
    assert rng.philox_bits(Key(0, 0), 4).tolist() == list(KNOWN_ANSWERS[0][2])


def test_the_bits_are_uint32_and_a_function_of_the_key() -> None:
    bits = rng.philox_bits(KEY, 1001)
    assert bits.dtype == np.uint32
    assert bits.shape == (1001,)
    np.testing.assert_array_equal(bits, rng.philox_bits(KEY, 1001))


@pytest.mark.parametrize(
    "other",
    [
        KEY._replace(seed=8),
        KEY._replace(seed=7 + 2**32),
        KEY._replace(stream=Stream.DROPOUT),
        KEY._replace(layer=4),
        KEY._replace(step=6),
    ],
)
def test_each_part_of_the_key_gives_other_bits(other: Key) -> None:
    equal = rng.philox_bits(KEY, 4000) == rng.philox_bits(other, 4000)
    assert equal.sum() <= 1  # chance: 4000 / 2³² expected


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 10])
def test_fewer_words_are_a_prefix_of_more(count: int) -> None:
    np.testing.assert_array_equal(rng.philox_bits(KEY, count), rng.philox_bits(KEY, 100)[:count])


def test_streams_are_all_different() -> None:
    first = {int(rng.philox_bits(Key(0, stream), 1)[0]) for stream in Stream}
    assert len(first) == len(Stream)


def test_uniform_is_below_1_and_exact_in_float32() -> None:
    u = rng.uniform(KEY, (200, 1000))
    assert u.shape == (200, 1000)
    assert u.dtype == np.float64
    assert u.min() >= 0
    assert u.max() < 1
    np.testing.assert_array_equal(u, u.astype(np.float32))
    np.testing.assert_array_equal(u * 2**24, np.floor(u * 2**24))
    assert u.astype(np.float32).max() < 1


def test_uniform_is_uniform() -> None:
    u = rng.uniform(KEY, (200_000,))
    assert abs(u.mean() - 1 / 2) < 5 * math.sqrt(1 / 12 / u.size)
    assert abs(u.var() - 1 / 12) < 5 * math.sqrt(1 / 180 / u.size)
    assert stats.kstest(u, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(u[:-1], u[1:])[0, 1]) < 5 / math.sqrt(u.size)


def test_normal_is_normal_to_its_tails() -> None:
    x = rng.normal(KEY, (500, 400))
    assert x.shape == (500, 400)
    assert np.isfinite(x).all()
    n = x.size
    assert abs(x.mean()) < 5 / math.sqrt(n)
    assert abs(x.var() - 1) < 5 * math.sqrt(2 / n)
    assert abs((x**3).mean()) < 5 * math.sqrt(15 / n)
    assert abs((x**4).mean() - 3) < 5 * math.sqrt(96 / n)
    assert stats.kstest(x.ravel(), "norm").pvalue > 1e-3
    for limit in (2.0, 3.0, 4.0):
        expected = n * 2 * stats.norm.sf(limit)
        assert abs((np.abs(x) > limit).sum() - expected) < 5 * math.sqrt(expected)


def test_normal_is_finite_even_where_the_uniform_is_0(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rng, "uniform", lambda key, shape: np.zeros(shape))
    assert rng.normal(KEY, (2,)).tolist() == [0, 0]


@pytest.mark.parametrize("count", [0, 1, 2, 1000])
def test_a_permutation_holds_every_number_once(count: int) -> None:
    order = rng.permutation(KEY, count)
    assert order.dtype == np.int64
    assert sorted(order.tolist()) == list(range(count))


def test_each_epoch_has_its_own_order() -> None:
    orders = [rng.permutation(Key(0, Stream.ORDER, step=epoch), 1000) for epoch in range(5)]
    for i, one in enumerate(orders):
        for other in orders[:i]:
            assert (one == other).sum() < 10  # one fixed point is expected by chance


def test_permutations_are_equally_likely() -> None:
    seen = [tuple(rng.permutation(Key(0, Stream.ORDER, step=i), 3)) for i in range(6000)]
    counts = [seen.count(each) for each in set(seen)]
    assert len(counts) == 6
    assert stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize(("rate", "threshold"), [(0.0, 0), (0.25, 2**30), (0.5, 2**31), (2.0**-32, 1)])
def test_the_drop_threshold_cuts_off_the_rate(rate: float, threshold: int) -> None:
    assert rng.drop_threshold(rate) == threshold


def test_the_share_below_the_threshold_is_the_rate() -> None:
    dropped = (rng.philox_bits(KEY, 100_000) < rng.drop_threshold(0.3)).mean()
    assert abs(dropped - 0.3) < 5 * math.sqrt(0.3 * 0.7 / 100_000)


# --- nothing else is random ---------------------------------------------------------------------------------

SOURCES = [path for module in (rng, kernels) for path in Path(module.__file__ or "").parent.rglob("*.py")]


def unseeded(source: str) -> Iterator[str]:
    """What draws random numbers that no seed fixes."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            imported = {alias.name for alias in node.names} | {getattr(node, "module", "")}
            yield from imported & {"random", "secrets", "numpy.random"}
        elif isinstance(node, ast.Call) and ".random." in (called := ast.unparse(node.func)):
            drawn_from = called.partition(".random.default_rng(")[2]  # the draw's generator, if it is new
            is_seeded = called.endswith(".random.default_rng") and bool(node.args or node.keywords)
            is_seeded |= bool(drawn_from) and not drawn_from.startswith(")")
            yield from [] if is_seeded else [called]


@pytest.mark.parametrize(
    "source",
    [
        "import random",
        "from random import shuffle",
        "np.random.rand(3)",
        "xp.random.default_rng()",
        "xp.random.default_rng().normal()",
    ],
)
def test_a_draw_without_a_seed_is_found(source: str) -> None:
    assert list(unseeded(source))


def test_everything_random_takes_a_seed() -> None:
    assert len(SOURCES) > 100
    found = {str(path): list(unseeded(path.read_text("utf-8"))) for path in SOURCES}
    assert not {path: draws for path, draws in found.items() if draws}
