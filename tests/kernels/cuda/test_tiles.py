"""Products by tiles, run on an emulated GPU: right, as exact as BLAS, the same whatever happens first.

Mistakes that only a GPU would show are planted in the kernels' text; each of them must be found.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
from cuda_host import SCHEDULES, HostBackend, HostDevice, KernelFault, build, library, start
from hypothesis import given, settings
from hypothesis import strategies as st
from operations import Geometry, geometries

from tinynet.backends.cuda_neighbours import NO_ACTIVATION
from tinynet.backends.numpy_ import NumpyBackend
from tinynet.geometry import Window
from tinynet.kernels.cuda import tiles
from tinynet.kernels.cuda.source import read, text
from tinynet.types import Array

PLAIN, TENSOR = 75, 90
"""Compute capabilities of a GPU without fast tensor cores, and of one with them."""
SAME = Window((3, 3), padding=((1, 1), (1, 1)))


@dataclass
class Problem:
    """A convolution, its arrays, and its results in float64."""

    geometry: Geometry
    positive: bool = False
    """Whether x is what a ReLU returns."""
    offset: int = 0
    """Values by which each array begins behind a boundary of 64 bytes."""

    def __post_init__(self) -> None:
        g, random = self.geometry, np.random.default_rng(self.geometry.seed)
        shapes = [(g.N, g.H, g.W, g.C), (*g.window.size, g.C, g.F), (g.F,)]
        x, W, b = (random.standard_normal(shape).astype(g.dtype) for shape in shapes)
        dy = random.standard_normal((g.N, *g.window.output((g.H, g.W)), g.F)).astype(g.dtype)
        self.arrays = [np.maximum(x, 0) if self.positive else x, W, b, dy]

    @property
    def is_dense(self) -> bool:
        g = self.geometry
        return (g.H, g.W, g.window) == (1, 1, Window((1, 1)))

    def solved(self, ops: Any, dtype: str = "") -> list[Array]:
        """y, dx, dW and db."""
        place = HostDevice(code=library())
        arrays = []
        for array in self.arrays:
            memory = place.empty(array.size + self.offset, dtype or array.dtype)[self.offset :]
            memory[:] = array.ravel()
            arrays.append(memory.reshape(array.shape))
        x, W, b, dy = arrays
        dW, db = np.empty_like(W), np.empty_like(b)
        if self.is_dense:
            rows = (x.reshape(len(x), -1), W.reshape(W.shape[2:]), dy.reshape(len(x), -1))
            y = ops.dense(*rows[:2], b)
            dx = ops.dense_backward(rows[2], *rows[:2], dW.reshape(W.shape[2:]), db, True)
        else:
            y, saved = ops.conv2d(x, W, b, self.geometry.window)
            dx = ops.conv2d_backward(dy, saved, W, dW, db, self.geometry.window, True)
        return [np.array(result) for result in (y, dx, dW, db)]

    def changed(self, change: Callable[[Array], Array]) -> Problem:
        """With its factors changed; b is none."""
        other, (x, W, b, dy) = copy(self), self.arrays
        other.arrays = [change(x), change(W), b, change(dy)]
        return other


def on_gpu(capability: int, code: Any = None, precision: str = "float32") -> HostBackend:
    return HostBackend("direct", precision, device=HostDevice(capability=capability, code=code))


UNITS = {"tf32": 2.0**-11, "bf16": 2.0**-8}
"""By how much of a factor it is rounded at most."""


def rounded(array: Array, precision: str) -> Array:
    """To the nearest of so many bits; of two as near tf32 takes the larger, bf16 the even one."""
    if array.dtype != np.float32 or precision == "float32":
        return array
    bits = array.view(np.uint32)
    last = 13 if precision == "tf32" else 16
    half = 1 << (last - 1) if precision == "tf32" else (1 << (last - 1)) - 1 + (bits >> last & 1)
    return (bits + half >> last << last).astype(np.uint32).view(np.float32)


def error(found: Array, exact: Array) -> float:
    """The root of the mean square of the error, by that of the result."""
    return float(np.sqrt(np.mean((found - exact) ** 2) / np.mean(exact**2)))


@pytest.mark.parametrize(
    ("tiles_there", "depth"),
    [(1, 1), (1, 255), (1, 257), (3, 10**6), (512, 10**4), (600, 700), (0, 9), (1, 0)],
)
def test_parts_of_a_product(tiles_there: int, depth: int) -> None:
    cut = tiles.cut(128 * tiles_there, tiles.COLUMNS, depth, "float32")
    assert cut.tiles == tiles_there
    assert cut.length % tiles.STEP == 0
    assert (cut.parts - 1) * cut.length < max(depth, 1) <= cut.parts * cut.length
    assert cut.parts == 1 or (cut.length > tiles.DEEP / 2 and cut.blocks <= tiles.ENOUGH_BLOCKS)


def test_no_two_sums_of_parts_are_counted_by_one_counter() -> None:
    """As `put_together` of last_block.cuh numbers the counters of a tile."""
    together = int(re.search(r"TOGETHER = (\d+)", read("shares.cuh"))[1])  # type: ignore[index]
    assert f"MORE_COUNTERS = {tiles.MORE_COUNTERS};" in read("last_block.cuh")
    for parts in range(1, tiles.ENOUGH_BLOCKS + 1):
        steps = [together**level for level in range(9) if level == 0 or together**level < parts]
        counters = [first + at for at, step in enumerate(steps) for first in range(0, parts, step * together)]
        assert len(set(counters)) == len(counters)
        assert max(counters) < parts + tiles.MORE_COUNTERS


@pytest.fixture(autouse=True)
def usual_schedule() -> Any:
    yield
    library().schedule(0)


@st.composite
def shapes(draw: Any) -> Geometry:
    """What `geometries` draws, and sometimes what needs several blocks or many steps."""
    drawn = draw(geometries())
    wide = {"F": draw(st.sampled_from((63, 64, 65, 130)))}
    dense = {"N": draw(st.sampled_from((1, 7, 130))), "H": 1, "W": 1, "window": Window((1, 1))}
    deep = {"C": draw(st.sampled_from((31, 32, 64)))}
    return drawn._replace(**draw(st.sampled_from(({}, wide, deep, wide | dense, deep | dense))))


@pytest.mark.parametrize("capability", [PLAIN, TENSOR])
@settings(deadline=None, max_examples=30)
@given(geometry=shapes(), schedule=st.sampled_from(SCHEDULES), offset=st.sampled_from((0, 0, 1)))
def test_convolutions_of_any_shape(capability: int, geometry: Geometry, schedule: int, offset: int) -> None:
    problem = Problem(geometry, offset=offset)
    library().schedule(schedule)
    exact = problem.solved(NumpyBackend(), "float64")
    tolerance = {"float32": 2e-6, "float64": 1e-14}[geometry.dtype]
    for found, expected in zip(problem.solved(on_gpu(capability)), exact, strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * max(1, abs(expected).max()))


SEVERAL = Geometry(N=5, H=10, W=9, C=9, F=70, window=Window((3, 2), (2, 1), ((1, 2), (0, 1))))
"""More than one block in each direction, and two parts of the pixels; nothing fits."""
VECTORS = SEVERAL._replace(C=8, F=72)
"""The same, copied by vectors."""


@pytest.mark.parametrize("geometry", [SEVERAL, VECTORS], ids=["values", "vectors"])
@pytest.mark.parametrize(
    ("capability", "precision"),
    [(PLAIN, "float32"), (TENSOR, "float32"), (TENSOR, "tf32"), (TENSOR, "bf16")],
)
def test_the_same_bits_whatever_happens_first(capability: int, precision: str, geometry: Geometry) -> None:
    problem, results = Problem(geometry), []
    for schedule in SCHEDULES:
        library().schedule(schedule)
        results.append(problem.solved(on_gpu(capability, precision=precision)))
    for other in results[1:]:
        assert [a.tobytes() for a in other] == [a.tobytes() for a in results[0]]


EXACT = {
    "lenet": Geometry(N=4, H=12, W=12, C=32, F=64, window=Window((3, 3))),
    "deep": Geometry(N=1, H=8, W=8, C=256, F=64, window=SAME),
    "first layer": Geometry(N=6, H=14, W=14, C=3, F=32, window=Window((5, 5), padding=((2, 2), (2, 2)))),
    "many pixels": Geometry(N=24, H=16, W=16, C=4, F=8, window=SAME),
    "dense": Geometry(N=130, H=1, W=1, C=784, F=70, window=Window((1, 1))),
    "last layer": Geometry(N=96, H=1, W=1, C=128, F=10, window=Window((1, 1))),
    "behind images": Geometry(N=64, H=1, W=1, C=1152, F=64, window=Window((1, 1))),
}


def by_blas(problem: Problem) -> list[Array]:
    """The same products in float32, each by one product of matrices."""
    (x, W, b, dy), g = problem.arrays, problem.geometry
    numpy, (KH, KW), (top, left) = NumpyBackend(), g.window.size, g.window.corner
    turned = np.ascontiguousarray(W[::-1, ::-1].swapaxes(2, 3))
    around = Window((KH, KW), padding=((KH - 1 - top,) * 2, (KW - 1 - left,) * 2))
    y, saved = numpy.conv2d(x, W, b, g.window)
    dx, _ = numpy.conv2d(dy, turned, np.zeros_like(x[0, 0, 0]), around)
    dW = np.empty_like(W)
    numpy.conv2d_backward(dy, saved, W, dW, np.empty_like(b), g.window, False)
    rows = dy.reshape(-1, g.F)
    db = np.ones((8, len(rows)), np.float32) @ rows
    return [y, dx, dW, db[0]]


@pytest.mark.parametrize(
    ("positive", "blocks"),
    [(False, 1), (True, 1), (True, tiles.ENOUGH_BLOCKS)],
    ids=["any", "rectified", "rectified, in parts"],
)
@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("capability", [PLAIN, TENSOR])
def test_float32_is_as_exact_as_by_blas(
    capability: int, name: str, positive: bool, blocks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiles, "ENOUGH_BLOCKS", blocks)
    problem = Problem(EXACT[name], positive)
    exact, blas = problem.solved(NumpyBackend(), "float64"), by_blas(problem)
    results = zip(problem.solved(on_gpu(capability)), blas, exact, (2, 2, 2, 3), strict=True)
    for found, other, expected, times in results:  # db is no product: a sum, by BLAS in other pieces
        shape = expected.shape
        assert error(found.reshape(shape), expected) <= times * error(other.reshape(shape), expected)


@pytest.mark.parametrize("precision", UNITS)
@pytest.mark.parametrize("name", EXACT)
def test_factors_are_rounded_and_nothing_else(name: str, precision: str) -> None:
    """As if rounded beforehand, in products of any length: |error| ≤ (2 u + u²) Σ |a b|."""
    problem, u = Problem(EXACT[name]), UNITS[precision]
    exact = problem.solved(NumpyBackend(), "float64")
    beforehand = problem.changed(partial(rounded, precision=precision)).solved(NumpyBackend(), "float64")
    problem.arrays[2][:] = 0
    sizes = problem.changed(abs).solved(NumpyBackend(), "float64")
    problem = Problem(EXACT[name])
    found = problem.solved(on_gpu(TENSOR, precision=precision))
    for each, size, alike, expected in zip(found, sizes, beforehand, exact, strict=True):
        assert error(each, alike) < u / 100  # what tensor cores cut off of sums
        assert (abs(each - expected) <= (2 * u + u * u) * size + 1e-6 * (1 + size)).all()
    assert all(u / 4 < error(each, expected) < u for each, expected in zip(found[:3], exact, strict=False))
    plain = problem.solved(on_gpu(PLAIN, precision=precision))  # no tensor cores: nothing is rounded
    assert all(error(each, expected) < 1e-6 for each, expected in zip(plain, exact, strict=True))


@pytest.mark.parametrize("precision", UNITS)
@settings(deadline=None, max_examples=30)
@given(geometry=shapes(), schedule=st.sampled_from(SCHEDULES), offset=st.sampled_from((0, 0, 1)))
def test_rounded_convolutions_of_any_shape(
    precision: str, geometry: Geometry, schedule: int, offset: int
) -> None:
    """In float64 nothing is rounded."""
    problem = Problem(geometry, offset=offset)
    library().schedule(schedule)
    exact = problem.changed(partial(rounded, precision=precision)).solved(NumpyBackend(), "float64")
    tolerance = {"float32": 5e-6, "float64": 1e-14}[geometry.dtype]
    for found, expected in zip(problem.solved(on_gpu(TENSOR, precision=precision)), exact, strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * max(1, abs(expected).max()))


CUDA_NAN = float(np.uint32(0x7FFFFFFF).view(np.float32))
"""What a GPU's arithmetic makes: one more in its bits, and it would be a zero."""


@pytest.mark.parametrize(
    ("capability", "precision"),
    [(PLAIN, "float32"), (TENSOR, "float32"), (TENSOR, "tf32"), (TENSOR, "bf16")],
)
@pytest.mark.parametrize("value", [np.nan, np.inf, CUDA_NAN], ids=["nan", "inf", "a GPU's nan"])
def test_what_is_not_finite_shows(value: float, capability: int, precision: str) -> None:
    """Where it counts, and nowhere else. By halves an infinite value may become NaN."""
    problem = Problem(SEVERAL)
    problem.arrays[0][1, 4, 4, 3] = value
    expected = np.isfinite(problem.solved(NumpyBackend())[0])
    found = problem.solved(on_gpu(capability, precision=precision))[0]
    assert not expected.all()
    np.testing.assert_array_equal(np.isfinite(found), expected)


def test_halves() -> None:
    """Both have 11 significant bits, and together what a float32 has, but for its last bit."""
    random = np.random.default_rng(0)
    x = (random.standard_normal(256) * 10.0 ** random.integers(-20, 20, 256)).astype(np.float32)
    lines = """__global__ void split(int size, const float *x, float *big, float *small) {
        Halves found = halves(x[threadIdx.x]);
        big[threadIdx.x] = __uint_as_float(found.big), small[threadIdx.x] = __uint_as_float(found.small);
    }"""
    big, small = np.empty_like(x), np.empty_like(x)
    addresses = [np.array(array.ctypes.data) for array in (x, big, small)]
    start(
        build(text("tensor_conv2d.cu") + lines, ("split",)),
        "split",
        1,
        256,
        [np.array(256, np.int32), *addresses],
    )
    read = [np.bitwise_and(half.view(np.uint32), 0xFFFFE000).view(np.float32) for half in (big, small)]
    np.testing.assert_array_equal(read[0], big)
    together = read[0].astype(np.float64) + read[1]
    assert (np.abs(together - x) <= 2.0**-23 * np.abs(x)).all()
    assert (np.abs(read[0] - x) <= 2.0**-11 * np.abs(x)).all()


# --- planted mistakes -------------------------------------------------------------------------------------


@dataclass
class Mistake:
    """In place of `right` there stands `wrong`."""

    right: str
    wrong: str
    capability: int = PLAIN
    geometry: Geometry = VECTORS
    offset: int = 0
    blocks: int = tiles.ENOUGH_BLOCKS
    precision: str = "float32"


LONG = Geometry(N=1, H=3, W=3, C=512, F=8, window=SAME)
"""A sum of 4608 products."""
WIDE = VECTORS._replace(C=72, F=8, N=1)
"""Several tiles of channels."""
MANY_PIXELS = EXACT["many pixels"]
"""Its dW is a sum of 24 parts, added up in two steps."""
MISTAKES = {
    "no barrier between the steps": Mistake(
        "__syncthreads();  // all have come to this step: its piece is here, that of the last step is free",
        "",
    ),
    "no barrier behind the corners": Mistake("    }\n    __syncthreads();\n}", "    }\n}"),
    "waits for one group too few": Mistake("wait_for_copies<STAGES - 2>()", "wait_for_copies<STAGES - 1>()"),
    "copies into the stage in use": Mistake(
        "{\n        typename Tile::Real *stage = memory + step % STAGES",
        "{\n        typename Tile::Real *stage = memory + (step + 1) % STAGES",
    ),
    "copies before all have come": Mistake(
        "        wait_for_copies<STAGES - 2>();\n",
        "        copy(step + STAGES - 1);\n        wait_for_copies<STAGES - 1>();\n",
    ),
    "reads the wrong stage": Mistake(
        "const typename Tile::Real *stage = memory + step % STAGES",
        "const typename Tile::Real *stage = memory + (step + 1) % STAGES",
    ),
    "no group for an empty step": Mistake(
        "        commit_copies();\n    };", "        if (step < steps) commit_copies();\n    };"
    ),
    "fragments of the first factor swapped": Mistake(
        "A[Base::first(16 * i + 8 * (r % 2), k + 4 * (r / 2))]",
        "A[Base::first(16 * i + 8 * (r / 2), k + 4 * (r % 2))]",
        TENSOR,
    ),
    "fragments of the second factor swapped": Mistake(
        "Base::second(k + 4 * r, 8 * j)", "Base::second(k + 4 * (1 - r), 8 * j)", TENSOR
    ),
    "lanes of the second factor swapped": Mistake(
        "Base::second(member(), first_column(0) + group())",
        "Base::second(group(), first_column(0) + member())",
        TENSOR,
    ),
    "results in each other's place": Mistake(
        "group() + 8 * (r / 2), first_column", "group() + 8 * (r % 2), first_column", TENSOR
    ),
    "warps in each other's place": Mistake("threadIdx.x / 32 % 2 * 32", "threadIdx.x / 64 % 2 * 32", TENSOR),
    "small halves of the first factor left out": Mistake(
        "multiply_add(of_eight, a_small[i], b_big);", "", TENSOR
    ),
    "small halves of the second factor left out": Mistake(
        "multiply_add(of_eight, a_big[i], b_small);", "", TENSOR
    ),
    "added up where sums are cut off": Mistake(
        "float of_eight[4] = {};", "auto &of_eight = sums[i][j];", TENSOR, LONG, blocks=1
    ),
    "rounded, fragments of the first factor swapped": Mistake(
        "Base::first(16 * i + 8 * (r % 2), k + DEEP / 2 * (r / 2))",
        "Base::first(16 * i + 8 * (r / 2), k + DEEP / 2 * (r % 2))",
        TENSOR,
        precision="bf16",
    ),
    "rounded, fragments of the second factor swapped": Mistake(
        "Base::second(k + DEEP / 2 * r, 8 * j)",
        "Base::second(k + DEEP / 2 * (1 - r), 8 * j)",
        TENSOR,
        precision="bf16",
    ),
    "pairs of which one factor has neighbours": Mistake(
        "Base::second(4, 0)", "Base::second(1, 0)", TENSOR, precision="bf16"
    ),
    "bfloat16 cut off": Mistake(
        "return bfloats(there[0], there[further]);",
        "return __float_as_uint(there[0]) >> 16 | (__float_as_uint(there[further]) & 0xFFFF0000);",
        TENSOR,
        precision="bf16",
    ),
    "added up in bfloat16": Mistake(
        "        multiply_add_bfloats(d, a, b);\n",
        "        multiply_add_bfloats(d, a, b);\n"
        "        for (float &each : d) each = __uint_as_float(bfloats(each, 0) << 16);\n",
        TENSOR,
        precision="bf16",
    ),
    "TF32 for bfloat16": Mistake("precision == TF32", "precision != FLOAT32", TENSOR, precision="bf16"),
    "bfloat16 for TF32": Mistake("precision == TF32", "precision == BF16", TENSOR, precision="tf32"),
    "TF32 cut off": Mistake("(is_finite ? 0x1000 : 0)", "0", TENSOR, precision="tf32"),
    "every other fragment left out": Mistake(
        "k < Base::DEPTH; k += DEEP", "k < Base::DEPTH; k += 2 * DEEP", TENSOR, precision="tf32"
    ),
    "too much added up one after the other": Mistake(
        "done % Tile::LONGEST == 0 || ", "", PLAIN, LONG, blocks=1
    ),
    "values that are no vectors copied as such": Mistake(
        "(size_t)x % sizeof(Vector<Real>) == 0 && ", "", offset=1
    ),
    "pixels between the strides counted": Mistake("h % s.down == 0 && ", ""),
    "parts of the pixels that overlap": Mistake("end = smaller(begin + length, depth)", "end = depth"),
    "parts in one place": Mistake("(of_part * rows + row) * columns", "row * columns"),
    "the filters of other channels": Mistake(
        "(pixel * s.C + begin + column) * s.F", "(pixel * s.C + column) * s.F", geometry=WIDE
    ),
    "nothing in the bias' row": Mistake("ONE<typename Tile::Real>.at", "x"),
    "a block counts before its sums are there": Mistake(
        "    __threadfence();  // what this thread wrote is there for all, before its block counts as done\n",
        "",
    ),
    "a block counts before all its threads are done": Mistake(
        "    __syncthreads();\n    if (threadIdx.x == 0) *is_last", "    if (threadIdx.x == 0) *is_last"
    ),
    "threads go on before they know whether theirs is last": Mistake(
        "    __syncthreads();\n    __threadfence();\n    return", "    __threadfence();\n    return"
    ),
    "the first block adds up": Mistake("== blocks - 1;", "== 0;"),
    "sums of sums counted by a counter of sums": Mistake(
        "step *= AT_ONCE, counters++;", "step *= AT_ONCE;", geometry=MANY_PIXELS
    ),
    "counters of another tile": Mistake(
        "counters += share.tile * (share.parts + MORE_COUNTERS);", "", geometry=SEVERAL
    ),
    "sums of sums from the wrong places": Mistake(
        "sums[share.place(first, row, column)] = sum;",
        "sums[share.place(first / TOGETHER, row, column)] = sum;",
        geometry=MANY_PIXELS,
    ),
    "an activation of each part": Mistake(
        "*there = is_direct && is_last ? finish(column, sum) : sum;",
        "*there = is_last ? finish(column, sum) : sum;",
        geometry=LONG,
    ),
}


def code(right: str = "", wrong: str = "") -> Any:
    """The kernels that a convolution of float32 takes, with a mistake planted."""
    sources = [text(f"{name}.cu") for name in ("conv2d", "tensor_conv2d")]
    if right:
        assert max(source.count(right) for source in sources) == 1
        sources = [source.replace(right, wrong) for source in sources]
    names = ("conv2d", "conv2d_backward")
    return build("".join(sources), (*(f"{name}<float>" for name in names), *(f"tensor_{n}" for n in names)))


@cache
def are_right(
    library: Any, capability: int, geometry: Geometry, offset: int, blocks: int, precision: str
) -> bool:
    """Whether the products of rounded factors are as exact as they should be, whatever happens first."""
    problem = Problem(geometry, offset=offset)
    exact = problem.changed(partial(rounded, precision=precision)).solved(NumpyBackend(), "float64")
    for schedule in SCHEDULES:
        library.schedule(schedule)
        try:
            found = problem.solved(on_gpu(capability, library, precision))
        except KernelFault:
            return False
        if not all(error(*pair) < 6e-7 for pair in zip(found, exact, strict=True)):
            return False
    return True


@pytest.mark.parametrize("name", MISTAKES)
def test_a_planted_mistake_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mistake = MISTAKES[name]
    monkeypatch.setattr(tiles, "ENOUGH_BLOCKS", mistake.blocks)
    where = (mistake.capability, mistake.geometry, mistake.offset, mistake.blocks, mistake.precision)
    assert are_right(code(), *where)
    assert not are_right(code(mistake.right, mistake.wrong), *where)


# --- what a layer does for its neighbours -----------------------------------------------------------------


@dataclass
class Neighbours:
    """A dense layer with an activation behind it; and before it a dropout and, before that, an activation."""

    alpha: float
    is_dropped: bool
    rows: int = 7
    columns: int = 70
    depth: int = 5

    def results(self, ops: HostBackend, dtype: str = "float32") -> list[Array]:
        random = np.random.default_rng(3)
        N, C, F = self.rows, self.columns, self.depth
        x, W, b, dy, y = (
            random.standard_normal(shape).astype(dtype) for shape in ((N, C), (C, F), (F,), (N, F), (N, C))
        )
        keep = random.random((N, C)) < 0.7
        self.arrays = [x, W, b, dy, np.maximum(y, 0) if self.alpha == 0 else y, keep]
        x, W, b, dy, y, keep = self.arrays
        forward, dW, db, dx = np.empty_like(dy), np.empty_like(W), np.empty_like(b), np.empty_like(x)
        geometry = (1, 1, C, 1, 1, 1, 1, 1, 1, 0, 0)
        ops.multiply_tiles(x, W, b, forward, geometry, self.alpha)
        before = {"y": y, "alpha": self.alpha}
        if self.is_dropped:
            before |= {"keep": keep, "scale": 1.25}
        ops.multiply_tiles_back(dy, x, W, dW, db, dx, geometry, before)
        return [forward, dx]

    def expected(self) -> list[Array]:
        x, W, b, dy, y, keep = (array.astype(np.float64) for array in self.arrays)
        z, dx = x @ W + b, dy @ W.T
        if self.is_dropped:
            dx *= 1.25 * keep
        if self.alpha < 0:
            return [z, dx]
        below = self.alpha * np.expm1(np.minimum(z, 0))
        return [np.where(z > 0, z, below), np.where(y > 0, dx, dx * (y + self.alpha) if self.alpha else 0)]


NEIGHBOURS = [
    Neighbours(alpha, is_dropped, *sizes)
    for alpha in (NO_ACTIVATION, 0.0, 0.7)
    for is_dropped in (False, True)
    for sizes in ((7, 70, 5), (5, 9, 600))
]
"""Of results in one part, and in several."""


@pytest.mark.parametrize("capability", [PLAIN, TENSOR])
@pytest.mark.parametrize("case", NEIGHBOURS, ids=str)
def test_what_is_done_for_neighbours(case: Neighbours, capability: int) -> None:
    for found, expected in zip(case.results(on_gpu(capability)), case.expected(), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("case", NEIGHBOURS, ids=str)
def test_what_is_done_for_neighbours_in_float64(case: Neighbours) -> None:
    for found, expected in zip(case.results(on_gpu(PLAIN), "float64"), case.expected(), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-13)


FORGOTTEN = {
    "no activation": ("return activated(sum + b[f], alpha);", "return sum + b[f];"),
    "no bias": ("return activated(sum + b[f], alpha);", "return activated(sum, alpha);"),
    "a ReLU for an ELU": ("return alpha == 0 ? (Real)0 : alpha * expm1(value);", "return 0;"),
    "nothing before": ("if (share.parts > 1 || !before.is_there()) return;", "return;"),
    "nothing before, in parts": (
        "dx[row * s.C + c] = before.back(sum, row * s.C + c); }",
        "dx[row * s.C + c] = sum; }",
    ),
    "no dropout": ("if (scale > 0) d *= keep[i] ? scale : (Real)0;", ""),
    "values in each other's place": (
        "before.back(dx[row * s.C + c], row * s.C + c)",
        "before.back(dx[row * s.C + c], c)",
    ),
    "no barrier before values are read again": (
        "__syncthreads();  // while sums take all",
        "// while sums take all",
    ),
}


@pytest.mark.parametrize("name", FORGOTTEN)
def test_a_mistake_with_neighbours_is_found(name: str) -> None:
    mistaken, wrong = code(*FORGOTTEN[name]), 0
    for case in NEIGHBOURS:
        for schedule in SCHEDULES:
            mistaken.schedule(schedule)
            results = case.results(on_gpu(PLAIN, mistaken))
            wrong += not all(map(partial(np.allclose, atol=1e-4), results, case.expected()))
    assert wrong
