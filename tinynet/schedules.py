"""Schedules: by what the base learning rate is multiplied, as training goes on.

`schedule(epoch, epochs)` takes the time passed and the whole time, both in epochs (fractions count: the rate
moves at every step), and returns the factor. Every schedule can begin with `warmup` epochs that climb
linearly from 0 (Goyal et al., "Accurate, large minibatch SGD", 2017); its own shape fills the rest.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

from tinynet.checks import Checked, real


@dataclass(frozen=True)
class Schedule(Checked, ABC):
    """A function of time. Subclasses give `shape(epoch, epochs)`, the factor after the warm-up."""

    warmup: float = 0.0

    def check_settings(self) -> None:
        self.settle("warmup", real, least=0)

    def __call__(self, epoch: float, epochs: float) -> float:
        if epoch < self.warmup:
            return epoch / self.warmup
        return self.shape(epoch - self.warmup, max(epochs - self.warmup, 1e-9))

    @abstractmethod
    def shape(self, epoch: float, epochs: float) -> float:
        """The factor `epoch` epochs after the warm-up, of `epochs` after it."""


@dataclass(frozen=True)
class Constant(Schedule):
    """factor = 1"""

    def shape(self, epoch: float, epochs: float) -> float:
        return 1.0


@dataclass(frozen=True)
class Step(Schedule):
    """factor = `factor` ^ ⌊epoch / every⌋: a drop every so many epochs (He et al., 2015)"""

    every: float = 10.0
    factor: float = 0.1

    def check_settings(self) -> None:
        super().check_settings()
        self.settle("every", real, above=0)
        self.settle("factor", real, above=0)

    def shape(self, epoch: float, epochs: float) -> float:
        return float(self.factor ** math.floor(epoch / self.every))


@dataclass(frozen=True)
class Cosine(Schedule):
    """factor = final + (1 - final) · (1 + cos(π · epoch / epochs)) / 2  (Loshchilov & Hutter, SGDR, 2017)"""

    final: float = 0.0

    def check_settings(self) -> None:
        super().check_settings()
        self.settle("final", real, least=0)

    def shape(self, epoch: float, epochs: float) -> float:
        return _cosine(1.0, self.final, min(epoch / epochs, 1.0))


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Up from `start` to 1 in the first `peak` of the time, then down to `final`, both along a cosine.

    (Smith & Topin: "Super-convergence", 2018. Momentum is left alone.)
    """

    peak: float = 0.3
    start: float = 0.04
    final: float = 1e-4

    def check_settings(self) -> None:
        super().check_settings()
        self.settle("peak", real, above=0, below=1)
        self.settle("start", real, least=0)
        self.settle("final", real, least=0)

    def shape(self, epoch: float, epochs: float) -> float:
        passed = min(epoch / epochs, 1.0)
        if passed < self.peak:
            return _cosine(self.start, 1.0, passed / self.peak)
        return _cosine(1.0, self.final, (passed - self.peak) / (1.0 - self.peak))


def _cosine(start: float, end: float, passed: float) -> float:
    return end + (start - end) * (1.0 + math.cos(math.pi * passed)) / 2.0


SCHEDULES: dict[str, type[Schedule]] = {kind.__name__: kind for kind in (Constant, Step, Cosine, OneCycle)}
