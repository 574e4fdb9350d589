"""Kernels whose last block goes on with what all have made: sums over rows, losses, right answers, penalties.

Mistakes that only a GPU would show are planted in the kernels' text; each of them must be found.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from cuda_host import SCHEDULES, HostBackend, HostDevice, KernelFault, build, library
from operations import CASES, TOLERANCE, Draw, Geometry

from tinynet.backends.base import Backend
from tinynet.backends.numpy_ import NumpyBackend
from tinynet.backends.workspace import Workspace
from tinynet.geometry import Window
from tinynet.kernels.cuda.source import kernels, text

FILES = ("normalization.cu", "losses.cu", "pooling.cu", "optimizers.cu")
SEVERAL = Geometry(N=3, H=10, W=11, C=40, F=3)
"""330 rows: 11 chunks, more than a channel has lanes, the last of 10 rows; channels in two groups."""


def pooled_and_normalised(ops: Backend, draw: Draw) -> list[Any]:
    """A max pooling finds the statistics for the batch normalisation behind it."""
    workspace, x = Workspace(), draw.distinct_images()
    pool, norm = (ops.bound_to(workspace, owner) for owner in ("pool", "norm"))
    norm.fuse_statistics(pool)
    y, _ = pool.maxpool(x, Window((2, 3), (1, 1), ((1, 0), (1, 1))))
    gamma, beta = draw(draw.g.C), draw(draw.g.C)
    z, mean, variance, _ = norm.batchnorm(y.reshape(-1, draw.g.C), gamma, beta, 1e-3)
    return [y, z, mean, variance]


FLAT = ("l2_penalty", "clip_global_norm")
"""Of flat buffers."""
TRIED = {
    "pooled and normalised": pooled_and_normalised,
    **{name: CASES[name] for name in ("batchnorm", "softmax_cross_entropy_weighted", "soft_cross_entropy")},
    **{name: CASES[name] for name in ("cross_entropy_weighted", "count_correct")},
    **{name: CASES[name] for name in FLAT},
}


@cache
def expected(name: str, geometry: Geometry) -> list[np.ndarray]:
    return [np.array(result) for result in TRIED[name](NumpyBackend(), Draw(geometry))]


def is_right(name: str, geometry: Geometry, code: Any = None) -> bool:
    """Whether the results are those of the reference, and the same bits, whatever happens first."""
    bits = set()
    for schedule in SCHEDULES:
        (code or library()).schedule(schedule)
        try:
            found = TRIED[name](HostBackend(device=HostDevice(code=code)), Draw(geometry))
        except KernelFault:
            return False
        found = [np.array(result) for result in found]
        bits.add(b"".join(each.tobytes() for each in found))
        for mine, theirs in zip(found, expected(name, geometry), strict=True):
            scale = max(1.0, float(np.abs(theirs).max()))
            if not np.allclose(mine, theirs, rtol=0, atol=scale * TOLERANCE[geometry.dtype]):
                return False
    return len(bits) == 1


@pytest.fixture(autouse=True)
def usual_schedule() -> Any:
    yield
    library().schedule(0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("C", [1, 31, 32, 40])
@pytest.mark.parametrize("name", ["pooled and normalised", "batchnorm"])
def test_statistics_of_any_number_of_channels(name: str, C: int, dtype: str) -> None:
    assert is_right(name, SEVERAL._replace(C=C, dtype=dtype))
    assert is_right(name, SEVERAL._replace(C=C, dtype=dtype, N=1, H=2, W=2))


@pytest.mark.parametrize("name", FLAT)
@pytest.mark.parametrize("size", [1, 2, 1023, 1025, 20_000])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sums_over_flat_buffers_of_any_size(name: str, size: int, dtype: str) -> None:
    assert is_right(name, Geometry(N=1, H=1, W=size, C=1, dtype=dtype))


@pytest.mark.parametrize("name", sorted(TRIED.keys() - {"pooled and normalised", "batchnorm", *FLAT}))
@pytest.mark.parametrize("rows", [1, 255, 256, 257, 1000])
def test_losses_of_any_number_of_rows(name: str, rows: int) -> None:
    assert is_right(name, Geometry(N=rows, H=1, W=1, F=3))


def test_a_pool_finds_statistics_in_training_only() -> None:
    device = HostDevice()
    ops, draw = HostBackend(device=device), Draw(SEVERAL)
    pooled_and_normalised(ops, draw)
    assert device.launched == ["maxpool_statistics", "normalize"]
    workspace = Workspace()
    workspace.phase = "evaluate"
    pool, norm = (ops.bound_to(workspace, owner) for owner in ("pool", "norm"))
    norm.fuse_statistics(pool)
    device.launched.clear()
    pool.maxpool(draw.images(), Window((2, 2)))
    assert device.launched == ["maxpool"]


def test_a_channel_far_from_0_keeps_its_variance() -> None:
    x = np.random.default_rng(0).standard_normal((300, 2))
    _, mean, variance, _ = HostBackend().batchnorm(x + 1e8, np.ones(2), np.ones(2), 1e-3)
    np.testing.assert_allclose(variance, x.var(axis=0), rtol=1e-6)
    np.testing.assert_allclose(mean, 1e8 + x.mean(axis=0), rtol=1e-14)
    _, _, variance, _ = HostBackend().batchnorm(x * 0 + 0.1, np.ones(2), np.ones(2), 1e-3)
    np.testing.assert_allclose(variance, 0, atol=1e-30)  # the mean of 300 times 0.1 is rounded


# --- planted mistakes -------------------------------------------------------------------------------------

COUNT = "return (double)smaller(chunk.rows, chunk.M - k * chunk.rows);"
MISTAKES = {
    "lanes do not wait for each other": (
        "batchnorm",
        "found[threadIdx.x] = mine;\n    __syncthreads();",
        "found[threadIdx.x] = mine;",
    ),
    "lanes of other channels": (
        "batchnorm",
        "found[lane * CHANNELS + threadIdx.x",
        "found[lane + threadIdx.x",
    ),
    "one lane left out": ("batchnorm", "int lane = 1; lane < LANES", "int lane = 2; lane < LANES"),
    "the last chunk counts as a whole one": ("batchnorm", COUNT, "return (double)chunk.rows;"),
    "means of lanes that differ do not count": ("batchnorm", " + distance * distance * a.count * share", ""),
    "means of chunks that differ do not count": ("batchnorm", " + distance * distance * count(k)", ""),
    "a lane counts one value too few": (
        "batchnorm",
        "(chunk.end - begin + LANES - 1) / LANES",
        "(chunk.end - begin) / LANES",
    ),
    "groups of channels share a counter": (
        "batchnorm",
        "is_last_block(counters + chunk.group, chunk.chunks)) return;\n\n",
        "is_last_block(counters, chunk.chunks)) return;\n\n",
    ),
    "gradients in groups that share a counter": (
        "batchnorm",
        "is_last_block(counters + chunk.group, chunk.chunks)) return;\n    mine = {0, 0};",
        "is_last_block(counters, chunk.chunks)) return;\n    mine = {0, 0};",
    ),
    "chunks of other channels": (
        "batchnorm",
        "Sums{sums[k * C + c], products[k * C + c]}",
        "Sums{sums[k * C], products[k * C]}",
    ),
    "running averages of the mean alone": (
        "batchnorm",
        "running_variance[c] = keep * running_variance[c] + (1 - keep) * unbias * variance[c];",
        "",
    ),
    "a pooled row too few": (
        "pooled and normalised",
        "m = begin + LANES; m < chunk.end",
        "m = begin + 2 * LANES; m < chunk.end",
    ),
    "sums of a block before all are there": (
        "softmax_cross_entropy_weighted",
        "half /= 2) {\n        __syncthreads();",
        "half /= 2) {",
    ),
    "the first block counts": ("soft_cross_entropy", "== blocks - 1;", "== 0;"),
    "a value at the end of a penalty has the next one's": ("l2_penalty", "i >= ends[k]", "i > ends[k]"),
    "what does not learn has a gradient": ("l2_penalty", "if (i < learning)", "if (true)"),
    "the penalty is all of the loss": ("l2_penalty", "*loss + all", "all"),
    "half the slope": ("l2_penalty", "(Real)(2 * rate)", "(Real)rate"),
    "the first values alone": ("clip_global_norm", "i < length; i += size", "i < size; i += size"),
    "no weights": ("cross_entropy_weighted", "losses[n] *= weights[n];", ""),
}


def code(right: str = "", wrong: str = "") -> Any:
    """The kernels of float32 in these files, with a mistake planted."""
    sources = [text(file) for file in FILES]
    if right:
        assert max(source.count(right) for source in sources) == 1
        sources = [source.replace(right, wrong) for source in sources]
    types = {("Real",): ("float",), ("Real", "Place"): ("float", "signed char")}
    wanted = (kernel for kernel in kernels().values() if kernel.file in FILES)
    return build("".join(sources), tuple(kernel.instance(types[kernel.types]) for kernel in wanted))


@pytest.mark.parametrize("name", MISTAKES)
def test_a_planted_mistake_is_found(name: str) -> None:
    case, right, wrong = MISTAKES[name]
    assert is_right(case, SEVERAL, code())
    assert not is_right(case, SEVERAL, code(right, wrong))
