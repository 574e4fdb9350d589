"""The roofline: work counted by hand, the lesser of two roofs, and a real step of a few batches."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numba
import pytest

import tinynet as tn

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

import roofline
from roofline import Roofs, Work

ROOFS = Roofs(threads=2, peak=100.0, cache=10.0, memory=1.0, cache_size=50)
compiled = pytest.mark.skipif(numba.config.DISABLE_JIT, reason="measures compiled code")


def built(*layers: tn.Layer, shape: tuple[int, ...]) -> tn.Layer:
    """The last of these layers, as a model builds it."""
    return tn.Sequential(list(layers), shape, backend="numpy").layers[-1]


def test_a_dense_layer() -> None:
    layer = built(tn.Dense(3), shape=(5,))
    assert roofline.forward_work(layer, 2) == Work(2 * 2 * 15, 4 * (10 + 18 + 6))
    layer.needs_dx = True
    assert roofline.backward_work(layer, 2) == Work(4 * 2 * 15, 4 * (10 + 6 + 18 + 10 + 18))
    layer.needs_dx = False
    assert roofline.backward_work(layer, 2) == Work(2 * 2 * 15, 4 * (10 + 6 + 18))
    assert roofline.backward_name(layer) == "dense_1 dW"


def test_a_convolution_counts_as_the_direct_method() -> None:
    layer = built(tn.Conv2D(4, 3), shape=(6, 6, 2))
    assert roofline.forward_work(layer, 1).flops == 2 * (4 * 4) * 4 * (3 * 3 * 2)
    assert roofline.forward_work(layer, 1).moved == 4 * (72 + (72 + 4) + 64)
    assert roofline.shapes(layer) == "6×6×2 → 4×4×4"


def test_the_others() -> None:
    pool = built(tn.MaxPool2D(), shape=(4, 4, 1))
    assert roofline.forward_work(pool, 1) == Work(12, 4 * (16 + 4) + 4)
    assert roofline.backward_work(pool, 1) == Work(0, 4 * (16 + 4) + 4)
    relu = built(tn.ReLU(), shape=(8,))
    assert roofline.forward_work(relu, 2) == Work(16, 4 * 32)
    assert roofline.backward_work(relu, 2) == Work(16, 4 * 48)
    assert roofline.forward_work(built(tn.Flatten(), shape=(4, 4, 1)), 1) == Work(0, 0)
    assert roofline.forward_work(built(tn.Rescale(), shape=(8,)), 1) == Work(16, 8 + 32)


def test_the_roofs() -> None:
    assert ROOFS.attainable(Work(1000, 20)) == 10.0
    assert ROOFS.bound(Work(1000, 20)) == "FMA"
    assert ROOFS.attainable(Work(100, 40)) == 4.0
    assert ROOFS.bound(Work(100, 40)) == "L2"
    assert ROOFS.attainable(Work(100, 60)) == 60.0
    assert ROOFS.bound(Work(100, 60)) == "memory"


def test_a_forward_that_does_nothing_is_not_timed() -> None:
    idle = SimpleNamespace(forward=lambda x: (x, None), backward=lambda dy: dy)
    busy = SimpleNamespace(forward=lambda x: ([*x], None))
    times: list[list[float]] = [[], [], []]
    roofline.watch(idle, "forward", times[0])
    roofline.watch(idle, "backward", times[1])
    roofline.watch(busy, "forward", times[2])
    assert idle.forward([1]) == busy.forward([1]) == ([1], None)
    assert idle.backward([1]) == [1]
    assert [len(each) for each in times] == [0, 1, 1]


@compiled
def test_a_step_and_its_files(tmp_path: Path) -> None:
    step = roofline.measure_step("mlp", 8, steps=2)
    names = [operation.name for operation in step.operations]
    assert names[:2] == ["rescale_1 forward", "dense_1 forward"]
    assert names[-2:] == ["dense_1 dW", "adam"]
    assert "dense_2 dW + dX" in names
    assert min(step.seconds, *(operation.seconds for operation in step.operations)) > 0
    roofs = [ROOFS._replace(threads=1), ROOFS]
    answer = roofline.measure_inference("mlp", 3, times=2)
    assert answer.seconds > 0
    assert sum(work.flops for work in answer.work) > 3 * 2 * 101_632  # of the dense layers
    roofline.write(tmp_path, {"date": "?", "machine": "?"}, roofs, [step], [answer])
    text = (tmp_path / "roofline.md").read_text("utf-8")
    assert "| | 1 thread | 2 threads |" in text
    assert "| adam | 101,770 |" in text
    assert "| mlp, batch 3 |" in text
    found = json.loads((tmp_path / "roofline.json").read_text("utf-8"))
    assert len(found["steps"][0]["operations"]) == len(names)
    assert (tmp_path / "roofline.png").stat().st_size > 0


@compiled
def test_the_roofs_of_this_machine() -> None:
    roofs = roofline.measure_roofs(1, seconds=0.01)
    assert 1e9 < roofs.peak < 1e12
    assert 1e8 < roofs.memory < 1e12
    assert 1e9 < roofs.cache < 1e12
