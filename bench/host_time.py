"""Python's own time for a training step on the GPU backend, measured without a GPU.

    python bench/host_time.py [recipe …]

All is as on a GPU, but the device computes nothing: its kernels leave memory as it is, and a graph of them is
a call of an empty function. What is left is what Python does for a step. A driver's time for each launch and
each copy comes on top of that; how many there are is printed, too.
"""

from __future__ import annotations

import ctypes
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np

from tinynet.backends.cupy_ import CupyBackend
from tinynet.backends.workspace import aligned_empty
from tinynet.callbacks.log import JsonLog
from tinynet.kernels.cuda.device import Device
from tinynet.kernels.cuda.source import Kernel
from tinynet.runs import recipe
from tinynet.training import Callback, EpochEnd, StepEnd, Trainer

BATCH = 8
STEPS = 937
"""Of an epoch: as many as MNIST has full batches of 64."""
EPOCHS = 5
"""Measured, after one in which all is recorded."""

WAYS: dict[str, dict[str, bool]] = {
    "in stretches": {},
    "in stretches, distorted": {"distorted": True},
    "one by one": {"each_step": True},
}


class IdleDevice(Device):
    """NumPy's memory, and kernels that leave it as it is."""

    xp = np
    capability = 90

    def __init__(self) -> None:
        super().__init__()
        self.launches = self.copies = 0

    def zeros(self, size: int, dtype: Any) -> Any:
        array = aligned_empty(size, np.dtype(dtype))
        array[...] = 0
        return array

    empty = zeros
    """For nobody writes what is read from it."""

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

    def repeated(self, calls: list[Callable[[], object]]) -> Callable[[], object]:
        return self._launch

    def _is_here(self, array: Any) -> bool:
        return True

    def most_together(self, name: str, *types: Any) -> int:
        return 132  # an H100's processors

    def _start(
        self, kernel: Kernel, types: tuple[str, ...], blocks: int, values: Sequence[Any], together: bool
    ) -> None:
        self._launch()

    def _library(self) -> ctypes.CDLL:
        raise NotImplementedError("it computes no products")

    def _stream(self) -> int:
        return 0


class PerStep(NamedTuple):
    """Of a steady epoch, for each of its steps."""

    microseconds: float
    """Python's processor time."""
    launches: float
    copies: float
    """From the host to the device."""


class Clock(Callback):
    """Measures epochs; put first in the list, it leaves out what others do at an epoch's end."""

    def __init__(self, device: IdleDevice, each_step: bool) -> None:
        self.device, self.each_step = device, each_step
        self.epochs: list[PerStep] = []

    def steps_to_look(self, trainer: Trainer) -> float:
        return 1 if self.each_step else float("inf")

    def on_step(self, trainer: Trainer, event: StepEnd) -> None:
        if trainer.state.batch == len(trainer.train):
            spent = 1e6 * (time.process_time() - self._began)
            figures = (spent, self.device.launches, self.device.copies)
            self.epochs.append(PerStep(*(figure / len(trainer.train) for figure in figures)))

    def on_epoch(self, trainer: Trainer, event: EpochEnd) -> None:
        self._begin()

    def on_start(self, trainer: Trainer) -> None:
        self._begin()

    def _begin(self) -> None:
        self.device.launches = self.device.copies = 0
        self._began = time.process_time()


def measure(
    name: str,
    folder: Path,
    *,
    each_step: bool = False,
    distorted: bool = False,
    steps: int = STEPS,
    epochs: int = EPOCHS,
    others: Sequence[Callback] = (),
) -> PerStep:
    """Train a recipe's net with a log in `folder`, its steps in stretches or `each_step` by itself; `others`
    listen, too. With `distorted` images, as the recipe says.

    Returns the least of each figure over the epochs after the first.
    """
    device, plan = IdleDevice(), recipe.load(name)
    model = plan.build_model(backend=CupyBackend(device=device))
    augmentation = plan.training.augmentation if distorted else None
    count = BATCH * steps
    data = np.zeros((count, *model.input_shape), np.uint8), np.zeros(count, np.int64)
    clock = Clock(device, each_step)
    trainer = Trainer(model, data, epochs=1 + epochs, batch_size=BATCH, augmentation=augmentation)
    trainer.run([clock, JsonLog(folder / f"{name}.jsonl"), *others])
    return PerStep(*map(min, zip(*clock.epochs[1:], strict=True)))


@click.command()
@click.argument("recipes", nargs=-1)
def main(recipes: tuple[str, ...]) -> None:
    """Measure these recipes.  [default: linear, mlp, lenet and kaggle-cnn]"""
    print(f"Python's time for a step, epochs of {STEPS} steps, with a log:")
    with tempfile.TemporaryDirectory() as folder:
        for name in recipes or ("linear", "mlp", "lenet", "kaggle-cnn"):
            is_distorted = recipe.load(name).training.augmentation is not None
            for how, settings in WAYS.items():
                if settings.get("distorted") and not is_distorted:
                    continue
                found = measure(name, Path(folder), **settings, steps=STEPS, epochs=EPOCHS)
                print(
                    f"{name:<12}{how:<25}{found.microseconds:6.2f} µs"
                    f"{found.launches:8.2f} launches{found.copies:8.3f} copies to the device"
                )


if __name__ == "__main__":
    main()
