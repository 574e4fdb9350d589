"""Direct convolution: a kernel gradient of few groups of images, shared out by its tiles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinynet import threads
from tinynet.backends.cpu_convolution import direct
from tinynet.backends.numba_ import NumbaBackend
from tinynet.backends.numpy_ import NumpyBackend
from tinynet.backends.workspace import Memory
from tinynet.geometry import Window
from tinynet.kernels.cpu import direct as kernels


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("filters", [20, 40], ids=["one panel", "several"])
def test_few_groups_give_the_same_bits_on_any_number_of_threads(
    padding: int, filters: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Groups of unlike size would be more work for one thread; the last tile of a row overlaps another."""
    rng = np.random.default_rng(0)
    x, W = (rng.standard_normal(shape, np.float32) for shape in ((64, 12, 12, 17), (3, 3, 17, filters)))
    window = Window((3, 3), padding=((padding, padding), (padding, padding)))
    dy = rng.standard_normal((64, *window.output(x.shape[1:]), filters), np.float32)
    per_group = direct.Direct(x.shape, W.shape, window, Memory()).per_group
    groups = -(-64 // per_group)
    assert 64 % per_group
    assert 2 <= groups <= 3

    def gradients(ops: Any) -> list[Any]:
        dW, db = np.empty_like(W), np.zeros(filters, np.float32)
        saved = ops.conv2d(x, W, db, window)[1]
        return [ops.conv2d_backward(dy, saved, W, dW, db, window, True), dW, db]

    units = list[int]()
    monkeypatch.setattr(threads, "over", noting(threads.over, kernels.kernel_gradient, units))
    found = []
    for count in (1, 2, 3, 16):
        with threads.limit(count):
            found.append(gradients(NumbaBackend(convolution="direct")))
    assert units[:3] == [groups, 2 * groups, 3 * groups]
    for mine, theirs in zip(found[0], gradients(NumpyBackend()), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-2)
    for other in found[1:]:
        for mine, theirs in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(mine, theirs)


def noting(over: Any, kernel: Any, counts: list[int]) -> Any:
    """`over`, which writes down how many units of this kernel it is handed."""

    def noted(which: Any, count: int, *arguments: Any, **settings: Any) -> None:
        if which is kernel:
            counts.append(count)
        over(which, count, *arguments, **settings)

    return noted
