"""The ways to convolve: each computes the same, and the table has a row for each."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

import convolution


@pytest.mark.parametrize("way", convolution.ways(), ids=lambda way: way.name)
def test_each_way_computes_the_convolution(way: convolution.Way) -> None:
    x, W = convolution.data(2, 6)
    windows = np.lib.stride_tricks.sliding_window_view(x.astype("float64"), (3, 3), axis=(1, 2))
    small = W[..., :16]
    expected = np.einsum("nijcuv,uvcf->nijf", windows, small.astype("float64"))
    np.testing.assert_allclose(way.convolve(x, np.ascontiguousarray(small)), expected, atol=1e-4)


def test_operations_are_those_of_the_direct_sum() -> None:
    assert convolution.operations(1, 4) == 2 * 4 * 9 * 64 * 64


def test_the_table_compares_each_way_with_the_one_before_and_with_the_limit() -> None:
    table = convolution.as_markdown({"slow": 1e9, "fast": 4e9}, limit=8e9)
    assert "| slow | 1 | 12 % |  |" in table
    assert "| fast | 4 | 50 % | 4.0 |" in table


def test_the_stored_table_has_a_row_for_each_way() -> None:
    stored = (Path(__file__).resolve().parents[2] / "bench" / "results" / "convolution.md").read_text("utf-8")
    assert stored.count("\n| ") == len(convolution.ways()) + 1
