from __future__ import annotations

import numpy as np
import pytest

from tinynet.backends.workspace import Workspace, aligned_empty

F32, F64 = np.dtype(np.float32), np.dtype(np.float64)


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("dtype", [F32, F64, np.dtype(np.uint8)])
def test_aligned_empty_starts_on_a_cache_line(size: int, dtype: np.dtype) -> None:
    array = aligned_empty(size, dtype)
    assert array.shape == (size,)
    assert array.dtype == dtype
    assert array.ctypes.data % 64 == 0


def test_the_same_request_gets_the_same_array() -> None:
    workspace = Workspace()
    first = workspace.array("conv2d_1", "y", (4, 3), F32)
    assert workspace.array("conv2d_1", "y", (4, 3), F32) is first


def test_owners_roles_dtypes_and_phases_have_memory_of_their_own() -> None:
    workspace = Workspace()
    arrays = [
        workspace.array("conv2d_1", "y", (4,), F32),
        workspace.array("conv2d_2", "y", (4,), F32),
        workspace.array("conv2d_1", "dx", (4,), F32),
        workspace.array("conv2d_1", "y", (4,), F64),
    ]
    workspace.phase = "evaluate"
    arrays.append(workspace.array("conv2d_1", "y", (4,), F32))
    for i, array in enumerate(arrays):
        assert not any(np.shares_memory(array, other) for other in arrays[i + 1 :])


def test_a_smaller_batch_gets_the_front_of_the_block() -> None:
    workspace = Workspace()
    large = workspace.array("dense_1", "y", (8, 3), F32)
    small = workspace.array("dense_1", "y", (5, 3), F32)
    assert np.shares_memory(large, small)
    assert small.ctypes.data == large.ctypes.data
    assert small.flags.c_contiguous
    assert workspace.nbytes == large.nbytes


def test_a_larger_batch_gets_a_new_block_and_no_stale_view_stays() -> None:
    workspace = Workspace()
    small = workspace.array("dense_1", "y", (5, 3), F32)
    large = workspace.array("dense_1", "y", (8, 3), F32)
    assert not np.shares_memory(small, large)
    assert np.shares_memory(workspace.array("dense_1", "y", (5, 3), F32), large)
