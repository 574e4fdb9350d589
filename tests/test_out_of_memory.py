"""What a step needs, against what it took; and what a person is told who has less."""

from __future__ import annotations

import re
import tracemalloc
import weakref
from typing import Any

import numpy as np
import pytest
from cuda_host import HostBackend, HostDevice

import tinynet as tn
from tinynet import out_of_memory
from tinynet.backends import cuda_status
from tinynet.backends.cupy_ import CupyBackend
from tinynet.backends.numpy_ import NumpyBackend
from tinynet.errors import OutOfMemoryError
from tinynet.runs import recipe
from tinynet.training import Trainer
from tinynet.types import Array


def trainer(net: str, batch: int, backend: Any = "numpy") -> Trainer:
    model = recipe.load(net).build_model(backend=backend)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (2 * batch, *model.input_shape), np.uint8)
    return Trainer(model, (images, random.integers(0, 10, 2 * batch)), epochs=1, batch_size=batch)


@pytest.mark.parametrize(("net", "batch"), [("linear", 256), ("mlp", 1024), ("lenet", 16), ("cnn", 16)])
def test_a_step_takes_no_more_than_estimated_and_not_much_less(net: str, batch: int) -> None:
    run = trainer(net, batch)
    events = run.events()
    next(events)
    tracemalloc.start()
    next(events)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    parameters = 4 * run.model.store.count
    estimate = batch * out_of_memory.of_a_sample(run.model)
    assert 0.4 * estimate < peak < estimate + 6 * parameters


class SmallBackend(NumpyBackend):
    """Has room for the dense products of few samples only."""

    most = 100

    def dense(self, x: Array, W: Array, b: Array) -> Array:
        if len(x) > self.most:
            raise MemoryError("Out of memory allocating 1,024 bytes")
        return super().dense(x, W, b)


@pytest.mark.parametrize(("room", "fits"), [(300, 256), (256, 256), (255, 128), (1, 1), (10**6, 512)])
def test_a_batch_that_fits_is_named(room: int, fits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    run = trainer("mlp", 1000, SmallBackend())
    each = out_of_memory.of_a_sample(run.model)
    monkeypatch.setattr(SmallBackend, "free_bytes", lambda self: room * each)
    with pytest.raises(OutOfMemoryError) as caught:
        run.run()
    said = str(caught.value)
    assert "in step 0, with 1,000 samples in a batch" in said
    assert f"up to {1000 * each / out_of_memory.MIB:,.0f} MiB" in said
    assert "Out of memory allocating 1,024 bytes; " in said
    assert said.endswith(f"--batch {fits}, or batch_size = {fits} in the recipe")


class Block(bytearray):
    """Memory that tells when nobody has it any more."""


class SmallDevice(HostDevice):
    """A device with so much memory."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.free = room

    def empty(self, size: int, dtype: Any) -> Any:
        bytes_ = size * np.dtype(dtype).itemsize
        if bytes_ > self.free:
            raise MemoryError(f"Out of memory allocating {bytes_:,} bytes")
        self.free -= bytes_
        block = Block(bytes_)
        weakref.finalize(block, self._take_back, bytes_)
        return self.from_host(np.frombuffer(block, dtype))

    def _take_back(self, bytes_: int) -> None:
        self.free += bytes_


class SmallGpu(HostBackend):
    device: SmallDevice

    def free_bytes(self) -> int:  # type: ignore[override]
        return self.device.free


@pytest.mark.parametrize("phase", ["recorded", "plain"])
@pytest.mark.parametrize("room", [20, 36, 70])
def test_the_batch_that_is_named_fits_in_the_same_process(room: int, phase: str) -> None:
    """Even while the error is held, whose frames lead to all that had been computed."""
    stack = [
        tn.Conv2D(6, 3),
        tn.BatchNorm(),
        tn.ReLU(),
        tn.Conv2D(6, 3),
        tn.ReLU(),
        tn.MaxPool2D(),
        tn.Flatten(),
    ]
    ops = SmallGpu(device=SmallDevice(1 << 30))
    ops.recorded_phases = ops.recorded_phases if phase == "recorded" else ()
    model = tn.Sequential([tn.Rescale(), *stack, tn.Dense(10)], (14, 14, 1), backend=ops)
    data = np.zeros((200, 14, 14, 1), np.uint8), np.arange(200) % 10

    def run(batch: int) -> None:
        Trainer(model, data, epochs=2, batch_size=batch).run()

    run(1)  # so that what does not depend on the batch is there
    ops.device.free = room * out_of_memory.of_a_sample(model)
    with pytest.raises(OutOfMemoryError, match="with 200 samples in a batch") as caught:
        run(200)
    named = int(re.search(r"--batch (\d+)", str(caught.value))[1])  # type: ignore[index]
    assert named == 1 << (room.bit_length() - 1)
    run(named)


def test_where_nothing_fits_or_nobody_says(monkeypatch: pytest.MonkeyPatch) -> None:
    run = trainer("mlp", 1000)
    monkeypatch.setattr(run.model.backend, "free_bytes", lambda: 0)
    assert "not even one sample fits" in str(out_of_memory.shortage(run.model, 1000, 0, MemoryError()))
    monkeypatch.setattr(run.model.backend, "free_bytes", lambda: None)
    said = str(out_of_memory.shortage(run.model, 1000, 0, MemoryError()))
    assert "received: a MemoryError\n" in said
    assert "a batch of 512 fits" in said


def test_what_the_device_says_and_does_not_say(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise RuntimeError("cudaErrorStreamCaptureUnsupported")

    monkeypatch.setattr(cuda_status, "free_bytes", lambda: 123)
    assert CupyBackend.free_bytes() == 123
    monkeypatch.setattr(cuda_status, "free_bytes", refuse)
    assert CupyBackend.free_bytes() is None


def test_this_machine_has_memory() -> None:
    free = NumpyBackend.free_bytes()
    assert free is None or 2**20 < free < 2**50


def test_it_is_a_memory_error_and_names_its_cause() -> None:
    with pytest.raises(MemoryError) as caught:
        trainer("mlp", 1000, SmallBackend()).run()
    assert isinstance(caught.value.__cause__, MemoryError)
    assert not isinstance(caught.value.__cause__, OutOfMemoryError)
