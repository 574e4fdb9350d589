"""What gathers a batch rescales it as `rescale` would; mistakes planted in the kernel's text are found."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from cuda_host import SCHEDULES, HostBackend, HostDevice, build, library
from hypothesis import given, settings
from hypothesis import strategies as st

from tinynet.backends.workspace import Workspace
from tinynet.kernels.cuda.source import text

SCALE, OFFSET = 1 / 100, -0.3


@pytest.fixture(autouse=True)
def usual_schedule() -> Any:
    yield
    library().schedule(0)


def gathered(images: np.ndarray, dtype: str, count: int, code: Any = None, fused: bool = True) -> list[Any]:
    """A batch as it was gathered, and rescaled."""
    ops = HostBackend(device=HostDevice(code=code))
    gathering, layer = (ops.bound_to(Workspace(), owner) for owner in ("batches", "rescale_1"))
    if fused:
        layer.fuse_gathering(gathering, lambda: (SCALE, OFFSET, dtype))
    first = len(images) - count
    plan, now = np.array([[1.0, 0.0], [0.5, first]]), np.zeros(2)
    order = np.arange(len(images))[::-1].copy()
    x, _ = gathering.begin_step(plan, now, 1, order, (images, np.arange(len(images))), count)
    if not fused:
        return [x, layer.rescale(x, SCALE, OFFSET, dtype)]
    ops.device.launched.clear()
    found = [x, layer.rescale(x, SCALE, OFFSET, dtype)]
    assert not ops.device.launched
    return found


def is_right(images: np.ndarray, dtype: str, count: int, code: Any = None) -> bool:
    expected = images[::-1][len(images) - count :]
    scaled = expected.astype(dtype) * SCALE + OFFSET
    for schedule in SCHEDULES:
        (code or library()).schedule(schedule)
        x, y = gathered(images, dtype, count, code)
        close = partial(np.allclose, rtol=0, atol=1e-5 if dtype == "float32" else 1e-13, equal_nan=False)
        if not np.array_equal(x, expected) or y.dtype != dtype or not close(y, scaled):
            return False
    return True


@settings(deadline=None, max_examples=40)
@given(
    shape=st.lists(st.integers(1, 30), max_size=3),
    count=st.integers(1, 20),
    more=st.integers(0, 5),
    dtype=st.sampled_from(("float32", "float64")),
    pixels=st.sampled_from((np.uint8, np.int64, np.bool_, np.float32, np.float64)),
)
def test_batches_of_any_shape(shape: list[int], count: int, more: int, dtype: str, pixels: Any) -> None:
    random = np.random.default_rng(0)
    images = (random.random((count + more, *shape)) * 256).astype(pixels)
    assert is_right(images, dtype, count)
    for mine, apart in zip(
        gathered(images, dtype, count), gathered(images, dtype, count, fused=False), strict=True
    ):
        np.testing.assert_array_equal(mine, apart)


MISTAKES = {
    "not rescaled": ("if (is_rescaled) rescaled[i]", "if (false) rescaled[i]"),
    "no offset": ("scale * (Real)value + offset", "scale * (Real)value"),
    "the row of the stored order": ("rescaled[i] = scale * (Real)value", "rescaled[i] = scale * (Real)x[i]"),
    "another place": ("rescaled[i] =", "rescaled[i % length] ="),
    "pixels left out": ("        y[i] = value;", ""),
}


def code(right: str = "", wrong: str = "") -> Any:
    source = text("stretches.cu")
    assert not right or source.count(right) == 1
    return build(source.replace(right, wrong, 1), ("begin_step<unsigned char, long long, float>",))


@pytest.mark.parametrize("name", MISTAKES)
def test_a_planted_mistake_is_found(name: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (9, 17, 3), np.uint8)
    assert is_right(images, "float32", 7, code())
    assert not is_right(images, "float32", 7, code(*MISTAKES[name]))
