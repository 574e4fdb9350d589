"""What a GPU draws for distorted images: the whole numbers of `tinynet.distortions`.

Mistakes are planted in the kernels' text; each of them must be found.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import numpy as np
import pytest
from cuda_host import HostBackend, HostDevice, build, start
from hypothesis import given, settings
from hypothesis import strategies as st

from tinynet.distortions import Limits, draw
from tinynet.elementary import exponential, sine_and_cosine
from tinynet.kernels.cuda.source import INCLUDE, read
from tinynet.rng import Key, Stream
from tinynet.types import Array

MOST = Limits(180, 1, 0.9, 60, 1, 0.9, 4)
MILD = Limits(rotation=15, shift=0.1, scale=0.15, shear=10, contrast=0.2, erase=0.2, stroke=1)


class Planted:
    """Kernels with one mistake each, compiled together: each in a namespace of its own."""

    def __init__(self, before: str, code: str, mistakes: dict[str, tuple[str, str]], kernel: str) -> None:
        spaces = {mistake: f"planted_{i}" for i, mistake in enumerate(mistakes)}
        wrong = [before]
        for mistake, (right, replaced) in mistakes.items():
            assert code.count(right) == 1, right
            wrong.append(f"namespace {spaces[mistake]} {{ {code.replace(right, replaced)} }}")
        self.library = build("\n".join(wrong), tuple(f"{space}::{kernel}" for space in spaces.values()))
        self.spaces = spaces

    def one(self, mistake: str) -> Any:
        """The library, in which kernels have that mistake."""
        library, space = self.library, self.spaces[mistake]

        class Library:
            def __getattr__(self, name: str) -> Any:
                return getattr(library, name.replace("host_", f"host_{space}__"))

        return Library()


def assert_as_drawn(ops: HostBackend, key: Key, first: int, count: int, size: Any, limits: Limits) -> None:
    step, begin = (np.array(number, np.float64) for number in (key.step, first))
    found = ops.distortions(key._replace(step=step), begin, count, size, limits)  # type: ignore[arg-type]
    for one, other in zip(found, draw(key, first, count, size, limits), strict=True):
        assert one.dtype == np.int64
        np.testing.assert_array_equal(one, other)


word = st.integers(0, 2**32 - 1)


@settings(deadline=None, max_examples=200)
@given(
    key=st.builds(Key, seed=st.integers(0, 2**64 - 1), stream=st.sampled_from(Stream), layer=word, step=word),
    first=st.integers(0, 2**26),
    count=st.integers(1, 600),
    size=st.tuples(st.integers(1, 600), st.integers(1, 600)),
    limits=st.builds(Limits, *(st.just(0.0) | st.floats(0, most) for most in MOST)),
)
def test_the_same_whole_numbers(
    key: Key, first: int, count: int, size: tuple[int, int], limits: Limits
) -> None:
    assert_as_drawn(HostBackend(), key, first, count, size, limits)


@pytest.mark.parametrize("limits", [MOST, MILD])
def test_the_same_whole_numbers_for_many_images(limits: Limits) -> None:
    assert_as_drawn(HostBackend(), Key(1, Stream.AUGMENTATION, step=3), 0, 100_000, (28, 28), limits)


MISTAKES = {
    "each image begins with a block": ("begin % 4 ? words[i + 2] : words[i]", "words[i]"),
    "two blocks for ten words": ("for (int i = 0; i < 3; i++) draw", "for (int i = 0; i < 2; i++) draw"),
    "one image's words for the next": ("10 * ((unsigned)*first + n)", "10 * (unsigned)*first + 8 * n"),
    "the epoch left out": ("(unsigned)*step, layer", "0, layer"),
    "all 32 bits": (": words[i]) >> 8)", ": words[i]) >> 7)"),
    "shifts by the other side": ("Rounded(shift) * H * either[1]", "Rounded(shift) * W * either[1]"),
    "degrees": ("either[4] * RADIAN", "either[4]"),
    "one angle for both": ("Rounded(shear) * either[4]", "Rounded(shear) * either[0]"),
    "turned about the corner": ("middle = (H - 1) / 2.0", "middle = H / 2.0"),
    "a tangent upside down": ("slope = rise / run", "slope = run / rise"),
    "a centre of whole pixels": ("(W - 1) / 2.0", "(W - 1) / 2"),
    "cut off, not rounded": ("(long long)rint(x.value)", "(long long)(x.value)"),
    "sides that are not whole": ("fmin(rint((pixels", "fmin(((pixels"),
    "width of a rectangle without rows": ("fmax(height, 1.0)", "height"),
    "a rectangle as high as wide": ("(pixels * ratio)", "(pixels)"),
    "never at the end": ("- height + 1)", "- height)"),
    "the middle, not the top": ("(long long)(top + height)", "(long long)top"),
    "growth by the words of the rest": ("*step, GROWTH_LAYER,", "*step, layer,"),
    "growth of the next image": ("words[at % 4]", "words[(at + 1) % 4]"),
    "growth as much as shrinking": ("wider - 0.5)", "wider - 0.75)"),
    "a fourth of a row": ("rectangle(erased + 4 * n", "rectangle(erased + n"),
}


@cache
def mistaken() -> Planted:
    headers = "".join(read(f"{name}.cuh") for name in ("common", "elementary", "philox"))
    return Planted(headers, INCLUDE.sub("", read("augmentation.cu")), MISTAKES, "distortions")


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_what_is_drawn_is_found(mistake: str) -> None:
    ops = HostBackend(device=HostDevice(code=mistaken().one(mistake)))
    with pytest.raises(AssertionError, match="Arrays are not equal"):
        assert_as_drawn(ops, Key(1, Stream.AUGMENTATION, step=3), 5, 1000, (9, 6), MOST._replace(erase=0.1))


# --- sine, cosine and exponential ---------------------------------------------------------------------------

TRIED = """
__global__ void tried(const double *x, double *y, int size) {
    for (int i = threadIdx.x; i < size; i += blockDim.x) {
        Rounded sine, cosine;
        sine_and_cosine(x[i] * 10, &sine, &cosine);
        y[3 * i] = sine.value, y[3 * i + 1] = cosine.value, y[3 * i + 2] = exponential(x[i] * 1.1).value;
    }
}
"""


@cache
def evenly() -> tuple[Array, Array]:
    """x from -1 to 1, and (sin 10 x, cos 10 x, exp 1.1 x)."""
    x = np.concatenate([np.linspace(-1, 1, 20_001), np.ldexp(1.0, -np.arange(1, 300))])
    return x, np.stack([*sine_and_cosine(x * 10), exponential(x * 1.1)], axis=-1)


def by_kernel(library: Any) -> Array:
    x, expected = evenly()
    y = np.full_like(expected, np.nan)
    arguments = [np.array(x.ctypes.data), np.array(y.ctypes.data), np.array(len(x), np.int32)]
    start(library, "tried", 1, 64, arguments)
    return y


def test_the_same_bits() -> None:
    library = build(read("elementary.cuh") + TRIED, ("tried",))
    assert by_kernel(library).tobytes() == evenly()[1].tobytes()


SERIES = "series<FIRST + EVERY, LAST, EVERY>(y)"
SLIPS = {
    "fused in the series": (f"{SERIES} * y + coefficient", f"fma({SERIES}.value, y.value, coefficient)"),
    "fused behind it": (
        "Rounded(1) + x * series<1, 20, 1>(x)",
        "fma(x.value, series<1, 20, 1>(x).value, 1.0)",
    ),
    "another order": ("rest * y * series<3, 17, 2>(y)", "rest * (y * series<3, 17, 2>(y))"),
    "a term less of the sine": ("series<3, 17, 2>", "series<3, 15, 2>"),
    "a term less of the cosine": ("series<2, 16, 2>", "series<2, 14, 2>"),
    "a term less of the exponential": ("series<1, 20, 1>", "series<1, 19, 1>"),
    "one part of a quarter": (" - Rounded(quarters) * 6.077100506506192e-11", ""),
    "another sign": ("if (number & 2)", "if (number & 1)"),
    "the sine for the cosine": ("number & 1 ? s : c", "number & 1 ? c : s"),
}


@cache
def slipped() -> Planted:
    return Planted("", re.sub("^#.*", "", read("elementary.cuh"), flags=re.MULTILINE) + TRIED, SLIPS, "tried")


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_shows_in_the_bits(slip: str) -> None:
    assert by_kernel(slipped().one(slip)).tobytes() != evenly()[1].tobytes()
