"""The emulated GPU itself: barriers, shuffles, shared memory, asynchronous copies, tensor cores on a CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cuda_host import SCHEDULES, TOGETHER, KernelFault, build, start

from tinynet.kernels.cuda.source import INCLUDE, read

every_schedule = pytest.mark.parametrize("schedule", SCHEDULES)


def run(
    code: str,
    *arrays: Any,
    schedule: int = 0,
    threads: int = 64,
    blocks: int = 1,
    together: bool = False,
) -> None:
    """Launch the kernel `tried` that `code` holds, on these arrays."""
    library = build(code, ("tried",))
    library.schedule(schedule)
    start(library, "tried", blocks, threads, [np.array(array.ctypes.data) for array in arrays], together)


def included(code: str) -> str:
    """With the files of kernels/cuda that it includes."""
    return INCLUDE.sub(lambda match: read(match[1]), code)


def body(lines: str) -> str:
    """A kernel of these lines, which read x and write y; i is the thread's number in its block."""
    return f"__global__ void tried(const float *x, float *y) {{ int i = threadIdx.x;\n{lines}\n}}"


def result(lines: str, x: Any, size: int = 64, **how: Any) -> np.ndarray:
    y = np.full(size, np.nan, np.float32)
    run(body(lines), np.asarray(x, np.float32), y, **how)
    return y


X = np.arange(128, dtype=np.float32)

# --- barriers and shared memory ---------------------------------------------------------------------------

TURNED = """
    __shared__ float kept[64];
    const float *from = x + blockIdx.x * 64;
    kept[i] = from[i];
    __syncthreads();
    y[blockIdx.x * 64 + i] = kept[63 - i];
"""


@every_schedule
def test_threads_of_a_block_see_what_others_wrote_before_a_barrier(schedule: int) -> None:
    turned = result(TURNED, X, 128, blocks=2, schedule=schedule)
    np.testing.assert_array_equal(turned, X.reshape(2, 64)[:, ::-1].ravel())


@every_schedule
def test_a_barrier_left_out_shows(schedule: int) -> None:
    turned = result(TURNED.replace("__syncthreads();", ""), X + 1, 128, blocks=2, schedule=schedule)
    expected = 1 + X.reshape(2, 64)[:, ::-1].ravel()
    assert (turned != expected).sum() == 64  # half of each block ran before its partners had written


@every_schedule
def test_a_second_barrier_left_out_shows(schedule: int) -> None:
    """The memory is written again while others still read it."""
    lines = """
        __shared__ float kept[64];
        kept[i] = x[i];
        __syncthreads();
        float mine = kept[63 - i];
        __syncthreads();
        kept[i] = x[64 + i];
        __syncthreads();
        y[i] = mine + kept[63 - i];
    """
    expected = X[:64][::-1] + X[64:][::-1]
    np.testing.assert_array_equal(result(lines, X, schedule=schedule), expected)
    mistaken = lines.replace("__syncthreads();\n        kept[i] = x[64", "kept[i] = x[64")
    assert mistaken != lines
    assert (result(mistaken, X, schedule=schedule) != expected).sum() == 32


@pytest.mark.parametrize("lines", ["if (i < 40) __syncthreads();", "if (i < 40) return; __syncthreads();"])
def test_a_barrier_to_which_not_all_come(lines: str) -> None:
    with pytest.raises(KernelFault, match="tried: threads wait for others that do not come there"):
        result(lines, X)
    np.testing.assert_array_equal(result("y[i] = x[i];", X), X[:64])  # the next launch is a new one


def test_more_shared_memory_than_a_block_has() -> None:
    lines = "__shared__ {} kept[6000]; __shared__ {} other[288]; kept[i] = other[i] = 0; y[i] = x[i];"
    np.testing.assert_array_equal(result(lines.format("float", "float"), X), X[:64])
    with pytest.raises(KernelFault, match="more than 48 KiB of shared memory"):
        result(lines.format("double", "double"), X)


# --- warps ------------------------------------------------------------------------------------------------

SHUFFLES = {
    "__shfl_sync(~0u, x[i], 5)": lambda lane: lane * 0 + 5,
    "__shfl_sync(~0u, x[i], 31 - i % 32)": lambda lane: 31 - lane,
    "__shfl_xor_sync(~0u, x[i], 6)": lambda lane: lane ^ 6,
    "__shfl_down_sync(~0u, x[i], 3)": lambda lane: np.where(lane + 3 < 32, lane + 3, lane),
    "__shfl_up_sync(~0u, x[i], 3)": lambda lane: np.where(lane >= 3, lane - 3, lane),
}


@every_schedule
@pytest.mark.parametrize("shuffle", SHUFFLES)
def test_shuffles(shuffle: str, schedule: int) -> None:
    number = np.arange(64)
    read_from = number // 32 * 32 + SHUFFLES[shuffle](number % 32)
    np.testing.assert_array_equal(result(f"y[i] = {shuffle};", X, schedule=schedule), X[read_from])


SUMMED = """
    float s = x[i];
    for (int bit = 1; bit < 32; bit *= 2) s += __shfl_xor_sync(~0u, s, bit);
    y[i] = s;
"""


@every_schedule
def test_shuffles_one_after_the_other(schedule: int) -> None:
    expected = np.repeat(X[:64].reshape(2, 32).sum(1), 32)
    np.testing.assert_array_equal(result(SUMMED, X, schedule=schedule), expected)
    mistaken = result(SUMMED.replace("bit = 1; bit < 32", "bit = 2; bit < 64"), X, schedule=schedule)
    assert (mistaken != expected).all()


def test_a_shuffle_to_which_not_all_lanes_come() -> None:
    with pytest.raises(KernelFault, match="others that do not come"):
        result("if (i % 32 < 16) y[i] = __shfl_xor_sync(~0u, x[i], 1);", X)
    with pytest.raises(KernelFault, match="less than a warp is not emulated"):
        result("y[i] = __shfl_xor_sync(0xFFFFu, x[i], 1);", X)


# --- blocks that are there at once --------------------------------------------------------------------------

PASSED_ON = """
    __shared__ float mine[64];
    mine[i] = x[blockIdx.x * 64 + i];
    __syncthreads();
    float s = __shfl_xor_sync(~0u, mine[63 - i], 1);
    y[blockIdx.x * 64 + i] = s;
    wait_for_all_blocks((volatile unsigned *)(y + 256), 1);
    float other = y[(blockIdx.x + 1) % 4 * 64 + i];
    wait_for_all_blocks((volatile unsigned *)(y + 256), 2);
    y[blockIdx.x * 64 + i] = other + mine[i];
"""


def passed_on(lines: str = PASSED_ON, schedule: int = 0, together: bool = True) -> np.ndarray:
    x, y = np.arange(256, dtype=np.float32), np.full(260, np.nan, np.float32)
    y[256:] = 0
    run(read("grid.cuh") + body(lines), x, y, blocks=4, schedule=schedule, together=together)
    return y[:256]


@pytest.mark.parametrize("schedule", TOGETHER)
def test_blocks_see_what_others_wrote_before_they_waited_for_each_other(schedule: int) -> None:
    x = np.arange(256, dtype=np.float32).reshape(4, 64)
    told = x[:, ::-1].reshape(4, 32, 2)[:, :, ::-1].reshape(4, 64)
    np.testing.assert_array_equal(passed_on(schedule=schedule), (np.roll(told, -1, axis=0) + x).ravel())


def test_blocks_that_do_not_wait_for_each_other_show() -> None:
    lines = PASSED_ON.replace("wait_for_all_blocks((volatile unsigned *)(y + 256), 1);", "__syncthreads();")
    lines = lines.replace("(y + 256), 2)", "(y + 256), 1)")
    assert lines.count("wait_for") == 1
    expected = passed_on()
    shows = [not np.array_equal(passed_on(lines, schedule), expected) for schedule in TOGETHER]
    assert sum(shows) > len(TOGETHER) / 2


@pytest.mark.parametrize("schedule", TOGETHER)
def test_blocks_that_wait_for_one_that_is_not_there(schedule: int) -> None:
    with pytest.raises(KernelFault, match="threads wait for others that do not come there"):
        passed_on(schedule=schedule, together=False)
    with pytest.raises(KernelFault, match="threads wait for others that do not come there"):
        passed_on("if (blockIdx.x) wait_for_all_blocks((volatile unsigned *)(y + 256), 1);", schedule)
    assert not np.isnan(passed_on(schedule=schedule)).any()


# --- asynchronous copies ----------------------------------------------------------------------------------

COPIED = """
    __shared__ float kept[64];
    if (i < 16) copy_async<16>(kept + 4 * i, x + 4 * i, i != 3);
    commit_copies();
    if (i < 16) copy_async<4>(kept + 4 * i, x + 64 + i, true);
    commit_copies();
    wait_for_copies<WAITED>();
    __syncthreads();
    y[i] = kept[i];
"""


@pytest.mark.parametrize("schedule", [0, 1])
@pytest.mark.parametrize("waited", [0, 1, 2])
def test_a_copy_is_there_when_it_was_waited_for(waited: int, schedule: int) -> None:
    copied = result(COPIED.replace("WAITED", str(waited)), X, schedule=schedule)
    expected = X[:64].copy()
    expected[12:16] = 0  # not valid
    if waited == 0:
        expected[::4] = X[64:80]
    if waited == 2:
        expected[:] = np.nan
    np.testing.assert_array_equal(copied, expected)


@pytest.mark.parametrize("schedule", [2, 3])
def test_a_copy_may_be_there_at_once(schedule: int) -> None:
    copied = result(COPIED.replace("WAITED", "2"), X, schedule=schedule)
    expected = X[:64].copy()
    expected[12:16] = 0
    expected[::4] = X[64:80]
    np.testing.assert_array_equal(copied, expected)


@pytest.mark.parametrize("places", ["kept + 1, x", "kept, x + 1", "kept + 2, x + 2"])
def test_a_copy_off_its_boundary(places: str) -> None:
    with pytest.raises(KernelFault, match="off a boundary of its own size"):
        result(f"__shared__ float kept[64]; copy_async<16>({places}, true);", X)


# --- tensor cores -----------------------------------------------------------------------------------------


MULTIPLIED = """
    int g = i / 4, t = i % 4;
    const float *A = x, *B = x + 128, *C = x + 192;
    unsigned a[4], b[2];
    float d[4];
    for (int r = 0; r < 4; r++) {
        a[r] = __float_as_uint(A[(g + 8 * (r % 2)) * 8 + t + 4 * (r / 2)]);
        d[r] = C[(g + 8 * (r / 2)) * 8 + 2 * t + r % 2];
    }
    for (int r = 0; r < 2; r++) b[r] = __float_as_uint(B[(t + 4 * r) * 8 + g]);
    multiply_add(d, a, b);
    for (int r = 0; r < 4; r++) y[(g + 8 * (r / 2)) * 8 + 2 * t + r % 2] = d[r];
"""


def multiplied(A: np.ndarray, B: np.ndarray, C: np.ndarray, lines: str = MULTIPLIED) -> np.ndarray:
    x = np.concatenate([each.astype(np.float32).ravel() for each in (A, B, C)])
    return result(lines, x, 128, threads=32).reshape(16, 8)


def whole(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(-9, 10, shape)


A, B, C = whole(16, 8), whole(8, 8), whole(16, 9)[:, :8]


def test_a_tensor_core_multiplies() -> None:
    np.testing.assert_array_equal(multiplied(A, B, C), C + A @ B)


def test_fragments_swapped_show() -> None:
    swapped = MULTIPLIED.replace(
        "a[r] = __float_as_uint(A[(g + 8 * (r % 2)) * 8 + t + 4 * (r / 2)])",
        "a[r] = __float_as_uint(A[(g + 8 * (r / 2)) * 8 + t + 4 * (r % 2)])",
    )
    assert swapped != MULTIPLIED
    assert (multiplied(A, B, C, swapped) != C + A @ B).any()


def test_a_tensor_core_reads_11_bits() -> None:
    lost = np.float32(1 + 2**-11)
    np.testing.assert_array_equal(multiplied(A * lost, B * lost, C), C + A @ B)
    kept = np.float32(1 + 2**-10)
    np.testing.assert_allclose(multiplied(np.eye(16, 8) * kept, np.eye(8), 0 * C), np.eye(16, 8) * kept)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_tensor_core_cuts_off_its_sums(sign: int) -> None:
    """Each of four products is 3/4 of the last bit of C, and all of them are lost; rounding would keep 3."""
    last = 2.0**-23
    small = multiplied(np.full((16, 8), sign * 0.75 * last), np.ones((8, 8)), np.full((16, 8), sign))
    np.testing.assert_array_equal(small, np.full((16, 8), sign))
    np.testing.assert_array_equal(
        multiplied(np.full((16, 8), last), np.ones((8, 8)), C * 0 + 1), 1 + 8 * last
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stays_so(value: float) -> None:
    A = np.zeros((16, 8))
    A[3, 5] = value
    found = multiplied(A, np.ones((8, 8)), np.zeros((16, 8)))
    np.testing.assert_array_equal(found[3], [value] * 8)
    assert (found[np.arange(16) != 3] == 0).all()


# --- the last block ---------------------------------------------------------------------------------------

LAST = """
#include "common.cuh"
#include "last_block.cuh"
__global__ void tried(const float *x, float *y, unsigned *counter) {
    y[2 * blockIdx.x] = x[blockIdx.x];
    y[2 * blockIdx.x + 1] = is_last_block(counter, 3);
}
"""


@every_schedule
def test_one_block_is_the_last(schedule: int) -> None:
    y, counter = np.zeros(6, np.float32), np.zeros(1, np.uint32)
    for _ in range(2):  # the counter is 0 again
        run(included(LAST), X, y, counter, blocks=3, schedule=schedule)
        np.testing.assert_array_equal(y[::2], X[:3])
        np.testing.assert_array_equal(y[1::2], [schedule % 2 == 0, 0, schedule % 2])
    assert counter == 0


def test_a_block_that_counts_before_it_has_fenced() -> None:
    with pytest.raises(KernelFault, match="counts before all its threads have fenced"):
        result("y[i] = atomicInc((unsigned *)y, 1);", X)
    with pytest.raises(KernelFault, match="counts before all its threads have fenced"):
        result("__threadfence(); if (i == 63) y[i] = atomicInc((unsigned *)y, 1);", X)
