"""Python's own time for a step of training on the GPU backend, measured without a GPU.

    python bench/host_time.py [recipe …]

Everything runs as on a GPU, but for the device: its kernels do nothing, and a graph of them is one call of
an empty function. What is left is what Python does between them. A real driver adds its own time for each
launch and each copy; how many there are is printed, too.
"""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinynet.backends.cupy_ import CupyBackend
from tinynet.backends.workspace import aligned_empty
from tinynet.kernels.cuda.device import Device
from tinynet.kernels.cuda.source import Kernel
from tinynet.runs import recipe
from tinynet.training import Trainer

RECIPES = ("linear", "mlp", "lenet", "kaggle-cnn")
STEPS = 937
"""Of an epoch: those of MNIST in batches of 64."""
EPOCHS = 3
"""Measured, after one in which everything is recorded; the quickest counts."""


class IdleDevice(Device):
    """NumPy's memory, and kernels that leave it as it is."""

    xp = np
    capability = 90

    def __init__(self) -> None:
        super().__init__()
        self.launches = self.copies = 0

    def empty(self, size: int, dtype: Any) -> Any:
        array = aligned_empty(size, np.dtype(dtype))
        array[...] = 0
        return array

    def from_host(self, array: Any) -> Any:
        self.copies += 1
        return np.array(array, order="C")

    def to_host(self, array: Any) -> Any:
        return np.asarray(array)

    def address(self, array: Any) -> int:
        return int(array.ctypes.data)

    def product(
        self, a: Any, b: Any, c: Any, *, transpose_a: bool = False, transpose_b: bool = False
    ) -> None:
        self._do(self._launch)

    def _launch(self) -> None:
        self.launches += 1

    def _repeat(self, calls: list[Callable[[], object]]) -> Callable[[], object]:
        return self._launch

    def _is_here(self, array: Any) -> bool:
        return True

    def _start(self, kernel: Kernel, types: tuple[str, ...], blocks: int, values: Sequence[Any]) -> None:
        self.launches += 1

    def _library(self) -> ctypes.CDLL:
        raise NotImplementedError("no product is computed")

    def _stream(self) -> int:
        return 0


def trainer(name: str, steps: int = STEPS, epochs: int = 1 + EPOCHS) -> tuple[Trainer, IdleDevice]:
    """Of a recipe's net, on batches of 8 images that are all alike, and the device that it trains on."""
    device = IdleDevice()
    model = recipe.load(name).build_model(backend=CupyBackend(device=device))
    data = np.zeros((8 * steps, *model.input_shape), np.uint8), np.zeros(8 * steps, np.int64)
    return Trainer(model, data, epochs=epochs, batch_size=8), device


def measure(name: str) -> None:
    """Print a line for a recipe's net."""
    run, device = trainer(name)
    taken, counts = [], (0, 0)
    began = time.process_time()
    for _ in run.events(lambda: float("inf")):
        if run.state.batch == 0:  # an epoch has ended
            taken.append(1e6 * (time.process_time() - began) / STEPS)
            counts, device.launches, device.copies = (device.launches, device.copies), 0, 0
            began = time.process_time()
    launches, copies = (count / STEPS for count in counts)
    said = f"first epoch {taken[0]:.1f}, then {min(taken[1:]):.2f} µs a step"
    print(f"{name}: {said}; {launches:.2f} launches and {copies:.2f} copies to the device a step")


if __name__ == "__main__":
    for each in sys.argv[1:] or RECIPES:
        measure(each)
