"""Kernels whose last block goes on with what all have made: sums over rows, losses, right answers, penalties.

Mistakes that only a GPU would show are planted in the kernels' text; each of them must be found.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
from cuda_host import SCHEDULES, HostBackend, HostDevice, KernelFault, build, library
from operations import CASES, TOLERANCE, Draw, Geometry

from tinynet.backends.base import Backend, Running
from tinynet.backends.cuda_neighbours import HALVING
from tinynet.backends.numpy_ import NumpyBackend
from tinynet.backends.workspace import Workspace
from tinynet.geometry import Window
from tinynet.kernels.cuda.source import kernels, text

SEVERAL = Geometry(N=3, H=10, W=11, C=40, F=3)
"""330 rows: 11 chunks, more than a channel has lanes, the last of 10 rows; channels in two groups."""
MANY = Geometry(N=131, H=4, W=4, C=45, F=70)
"""2096 rows: 66 chunks, two more than one block puts together. A product has 17 by 2 tiles in 2 parts."""


def pooled_and_normalised(ops: Backend, draw: Draw) -> list[Any]:
    """A max pooling finds the statistics for the batch normalisation behind it."""
    workspace, x = Workspace(), draw.distinct_images()
    pool, norm = (ops.bound_to(workspace, owner) for owner in ("pool", "norm"))
    norm.fuse_statistics(pool)
    y, _ = pool.maxpool(x, Window((2, 3), (1, 1), ((1, 0), (1, 1))))
    gamma, beta = draw(draw.g.C), draw(draw.g.C)
    z, mean, variance, _ = norm.batchnorm(y.reshape(-1, draw.g.C), gamma, beta, 1e-3)
    return [y, z, mean, variance]


def multiplied_and_normalised(ops: Backend, draw: Draw) -> list[Any]:
    """A convolution finds them."""
    g, workspace = draw.g, Workspace()
    conv, norm = (ops.bound_to(workspace, owner) for owner in ("conv", "norm"))
    norm.fuse_statistics(conv)
    window = Window((3, 2), padding=((1, 1), (1, 0)))
    y, _ = conv.conv2d(draw.images(), draw(3, 2, g.C, g.F), draw(g.F), window)
    z, mean, variance, _ = norm.batchnorm(y.reshape(-1, g.F), draw(g.F), draw(g.F), 1e-3)
    return [y, z, mean, variance]


def convolved_pooled_and_normalised(ops: Backend, draw: Draw) -> list[Any]:
    """A convolution does the max pooling, too. Of whole numbers, so that there are ties."""
    g, workspace, window = draw.g, Workspace(), Window((3, 2), padding=((1, 1), (1, 0)))
    conv, relu, pool, norm = (ops.bound_to(workspace, owner) for owner in ("conv", "relu", "pool", "norm"))
    relu.fuse_relu(conv)
    pool.fuse_max_pool(relu)
    pool.fuse_pool(conv, (g.H, g.W, g.F), HALVING)
    norm.fuse_statistics(pool)
    x, W, b = (each.round() for each in (draw.images(), draw(3, 2, g.C, g.F), draw(g.F)))
    y = relu.relu(conv.conv2d(x, W, b, window)[0])
    pooled, saved = pool.maxpool(y, HALVING)
    z, mean, variance, _ = norm.batchnorm(pooled.reshape(-1, g.F), draw(g.F), draw(g.F), 1e-3)
    dy = relu.relu_backward(pool.maxpool_backward(draw(*pooled.shape), saved, HALVING), y)
    return [y, pooled, z, mean, variance, dy]


def normalised_and_pooled(ops: Backend, draw: Draw) -> list[Any]:
    """A batch normalisation does the max pooling, too."""
    g, workspace = draw.g, Workspace()
    norm, relu, pool = (ops.bound_to(workspace, owner) for owner in ("norm", "relu", "pool"))
    relu.fuse_relu(norm)
    pool.fuse_max_pool(relu)
    pool.fuse_pool(norm, (g.H, g.W, g.C), HALVING)
    x, running = draw.images().round(), Running(draw(g.C), np.abs(draw(g.C)), 0.9, 1.1)
    y, *_ = norm.batchnorm(x.reshape(-1, g.C), draw(g.C), draw(g.C), 1e-3, running=running)
    y = relu.relu(y).reshape(x.shape)
    pooled, saved = pool.maxpool(y, HALVING)
    dy = relu.relu_backward(pool.maxpool_backward(draw(*pooled.shape), saved, HALVING), y)
    return [y, pooled, dy, running.mean, running.variance]


FLAT = ("l2_penalty", "clip_global_norm")
"""Of flat buffers."""
TRIED = {
    "normalised and pooled": normalised_and_pooled,
    "convolved, pooled and normalised": convolved_pooled_and_normalised,
    "multiplied and normalised": multiplied_and_normalised,
    "pooled and normalised": pooled_and_normalised,
    **{name: CASES[name] for name in ("batchnorm", "softmax_cross_entropy_weighted", "soft_cross_entropy")},
    **{name: CASES[name] for name in ("cross_entropy_weighted", "count_correct")},
    **{name: CASES[name] for name in FLAT},
}


OF_CHANNELS = {
    "normalised and pooled",
    "convolved, pooled and normalised",
    "multiplied and normalised",
    "pooled and normalised",
    "batchnorm",
}


@cache
def expected(name: str, geometry: Geometry) -> list[np.ndarray]:
    return [np.array(result) for result in TRIED[name](NumpyBackend(), Draw(geometry))]


def is_right(name: str, geometry: Geometry, code: Any = None, capability: int = 75) -> bool:
    """Whether the results are those of the reference, and the same bits, whatever happens first."""
    bits = set()
    for schedule in SCHEDULES:
        (code or library()).schedule(schedule)
        try:
            ops = HostBackend(device=HostDevice(code=code, capability=capability))
            found = TRIED[name](ops, Draw(geometry))
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


@pytest.mark.parametrize("name", ["pooled and normalised", "batchnorm"])
def test_statistics_of_more_chunks_than_one_block_puts_together(name: str) -> None:
    assert is_right(name, MANY)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("F", [1, 32, 33, 130])
@pytest.mark.parametrize("capability", [75, 90])
def test_statistics_of_products(capability: int, F: int, dtype: str) -> None:
    """Of tiles by plain arithmetic and by tensor cores, of sums in one part and in several."""
    name = "multiplied and normalised"
    assert is_right(name, SEVERAL._replace(F=F, dtype=dtype), capability=capability)
    assert is_right(name, SEVERAL._replace(F=F, dtype=dtype, C=130, N=1, H=3), capability=capability)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("F", [1, 33, 130])
@pytest.mark.parametrize("capability", [75, 90])
def test_a_convolution_pools(capability: int, F: int, dtype: str) -> None:
    """Also where its sums have several parts, and where a tile has rows of several images."""
    name = "convolved, pooled and normalised"
    for geometry in (Geometry(N=3, H=8, W=6, C=5), Geometry(N=2, H=2, W=4, C=130), Geometry(N=9, H=2, W=2)):
        assert is_right(name, geometry._replace(F=F, dtype=dtype), capability=capability)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(3, 8, 6, 5), (1, 2, 2, 1), (2, 2, 10, 33)])
def test_a_normalisation_pools(shape: tuple[int, int, int, int], dtype: str) -> None:
    assert is_right("normalised and pooled", Geometry(*shape, dtype=dtype))


@pytest.mark.parametrize("capability", [75, 90])
def test_a_convolution_pools_as_a_pooling_does(capability: int) -> None:
    """Which wins, of equal ones and of those that are no numbers."""
    x, W = np.zeros((3, 8, 6, 1), np.float32), np.ones((1, 1, 1, 2), np.float32)
    x[...] = np.random.default_rng(0).integers(-2, 2, x.shape)
    x[0, :4], x[1, 3, 2], x[2, ::3, ::2] = 0, np.inf, np.nan
    results = []
    for is_fused in (True, False):
        device = HostDevice(capability=capability)
        ops, workspace = HostBackend(device=device), Workspace()
        conv, relu, pool = (ops.bound_to(workspace, owner) for owner in ("conv", "relu", "pool"))
        relu.fuse_relu(conv)
        pool.fuse_max_pool(relu)
        if is_fused:
            pool.fuse_pool(conv, (8, 6, 2), HALVING)
        y, _ = conv.conv2d(x, W, np.zeros(2, np.float32), Window((1, 1)))
        pooled, (winner, _) = pool.maxpool(relu.relu(y), HALVING)
        results.append([np.array(each) for each in (y, pooled, winner)])
        assert ("maxpool" in device.launched) == (not is_fused)
    for mine, theirs in zip(*results, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert {-1, 0, 1, 2, 3} == set(results[0][2].ravel().tolist())


def test_statistics_of_a_product_of_more_tiles_than_one_block_puts_together() -> None:
    assert is_right("multiplied and normalised", MANY._replace(N=520, C=1, F=3))


@pytest.mark.parametrize("name", sorted(TRIED.keys() - OF_CHANNELS - {*FLAT}))
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


def test_a_product_finds_statistics_in_training_only() -> None:
    device = HostDevice()
    ops, draw = HostBackend(device=device), Draw(SEVERAL)
    multiplied_and_normalised(ops, draw)
    assert device.launched == ["conv2d", "normalize"]


def test_a_channel_far_from_0_keeps_its_variance() -> None:
    x = np.random.default_rng(0).standard_normal((300, 2))
    _, mean, variance, _ = HostBackend().batchnorm(x + 1e8, np.ones(2), np.ones(2), 1e-3)
    np.testing.assert_allclose(variance, x.var(axis=0), rtol=1e-6)
    np.testing.assert_allclose(mean, 1e8 + x.mean(axis=0), rtol=1e-14)
    _, _, variance, _ = HostBackend().batchnorm(x * 0 + 0.1, np.ones(2), np.ones(2), 1e-3)
    np.testing.assert_allclose(variance, 0, atol=1e-30)  # the mean of 300 times 0.1 is rounded


# --- planted mistakes -------------------------------------------------------------------------------------

COUNT = "smaller(chunk.M - k * chunk.rows, step * chunk.rows)"
FILES = {
    "normalised and pooled": ("normalization.cu", "pooling.cu"),
    "convolved, pooled and normalised": ("normalization.cu", "pooling.cu", "conv2d.cu"),
    "multiplied and normalised": ("normalization.cu", "conv2d.cu"),
    "pooled and normalised": ("normalization.cu", "pooling.cu"),
    "batchnorm": ("normalization.cu",),
}
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
    "the last chunk counts as a whole one": ("batchnorm", COUNT, "step * chunk.rows"),
    "chunks put together count as one": (
        "batchnorm",
        COUNT,
        COUNT.replace("step * ", ""),
    ),
    "means of lanes that differ do not count": ("batchnorm", " + distance * distance * a.count * share", ""),
    "means of chunks that differ do not count": ("batchnorm", " + count * distance * distance", ""),
    "chunks put together in a place of others": (
        "batchnorm",
        "found.means[first * C + c] = middle",
        "found.means[(first + 1) * C + c] = middle",
    ),
    "a channel's variance by one chunk's rows": (
        "batchnorm",
        "smaller(chunk.M, end * chunk.rows) - first * chunk.rows;",
        "chunk.rows;",
    ),
    "a lane counts one value too few": (
        "batchnorm",
        "(chunk.end - begin + LANES - 1) / LANES",
        "(chunk.end - begin) / LANES",
    ),
    "groups of channels share a counter": (
        "batchnorm",
        "found.counters + chunk.group * (chunk.chunks + MORE_COUNTERS);",
        "found.counters;",
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
        "normalised and pooled",
        "running_variance[c] = keep * running_variance[c] + (1 - keep) * unbias * variance[c];",
        "",
    ),
    "a pooled row too few": (
        "pooled and normalised",
        "m = begin + LANES; m < chunk.end",
        "m = begin + 2 * LANES; m < chunk.end",
    ),
    "no barrier behind the tile": (
        "multiplied and normalised",
        "__syncthreads();  // all of the tile's results are there",
        "",
    ),
    "no barrier before the pooling": (
        "convolved, pooled and normalised",
        "__syncthreads();  // all of the tile is there",
        "",
    ),
    "no barrier behind the pooling": (
        "convolved, pooled and normalised",
        "__syncthreads();  // all of the tile's results are there",
        "",
    ),
    "pixels of a window in each other's place": (
        "normalised and pooled",
        "(row + n / 2) * W + w + n % 2",
        "(row + n % 2) * W + w + n / 2",
    ),
    "channels pooled whose averages stay as they are": (
        "normalised and pooled",
        "if (i < C) norm.update_averages(i);\n    const int c",
        "const int c",
    ),
    "the last of equal ones wins": (
        "convolved, pooled and normalised",
        "!(value <= best)",
        "!(value < best)",
    ),
    "a pixel of each window left out": ("convolved, pooled and normalised", "n = 1; n < 4", "n = 1; n < 3"),
    "no mask of the ReLU": (
        "convolved, pooled and normalised",
        "winner_of(place, best, true)",
        "winner_of(place, best, false)",
    ),
    "rows of windows in each other's place": (
        "convolved, pooled and normalised",
        "n / 2 * s.OW + n % 2",
        "n % 2 * s.OW + n / 2",
    ),
    "results in the order of the tile": (
        "convolved, pooled and normalised",
        "y[pixel_of(row, behind.is_pooled, s) * s.F + f]",
        "y[row * s.F + f]",
    ),
    "windows of another tile": (
        "convolved, pooled and normalised",
        "(share.first_row + row) / 4 *",
        "row / 4 *",
    ),
    "statistics of pixels that are pooled": (
        "convolved, pooled and normalised",
        "behind.is_pooled ? behind.y : y,",
        "y,",
    ),
    "a tile's first channels alone": (
        "multiplied and normalised",
        "column < end; column += CHANNELS",
        "column < end; column += 2 * CHANNELS",
    ),
    "another tile's rows": (
        "multiplied and normalised",
        "share.first_row / Tile::ROWS);\n        statistics",
        "0);\n        statistics",
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


def code(files: Sequence[str], right: str = "", wrong: str = "") -> Any:
    """The kernels of float32 in these files, with a mistake planted."""
    sources = [text(file) for file in files]
    if right:
        assert max(source.count(right) for source in sources) == 1
        sources = [source.replace(right, wrong) for source in sources]
    types = {("Real",): ("float",), ("Real", "Place"): ("float", "signed char")}
    wanted = (kernel for kernel in kernels().values() if kernel.file in files)
    return build("".join(sources), tuple(kernel.instance(types[kernel.types]) for kernel in wanted))


@pytest.mark.parametrize("name", MISTAKES)
def test_a_planted_mistake_is_found(name: str) -> None:
    case, right, wrong = MISTAKES[name]
    files = FILES.get(case, ("losses.cu", "optimizers.cu"))
    geometry = MANY if case in OF_CHANNELS else SEVERAL
    assert is_right(case, geometry, code(files))
    assert not is_right(case, geometry, code(files, right, wrong))
