"""The reference systems: what their authors report, and the nets that are trained beside their figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """A net to train with some seeds, by the reference system's settings or by our own recipe."""

    architecture: str
    reference: bool
    seeds: int
    goal: float | None = None
    """Mean test accuracy to reach."""

    @property
    def name(self) -> str:
        return f"{self.architecture}, {'their settings' if self.reference else 'our recipe'}"


@dataclass(frozen=True)
class System:
    """One reference system: what it is, what its authors report, what to train."""

    title: str
    theirs: str
    entries: Sequence[Entry]


SYSTEMS = {
    "R1": System(
        "one-layer net",
        "no figure given; softmax regression is known at 91.8 to 92.6 %",
        (Entry("linear", True, 5, 0.924), Entry("linear", False, 5, 0.924)),
    ),
    "R2": System(
        "MLP",
        "test 97.65 %, loss 0.1052; best validation 97.61 %",
        (Entry("mlp", True, 5, 0.976), Entry("mlp", False, 5, 0.984)),
    ),
    "R3": System(
        "Kaggle CNN",
        "held-out 99.30 %, best validation 99.45 %, Kaggle 99.385 %; 4,451 s for 20 epochs",
        (Entry("kaggle-cnn", True, 1), Entry("kaggle-cnn", False, 3, 0.9945)),
    ),
    "best": System(
        "the best single net",
        "a mean of 99.641 ± 0.047 % over 1,500 CNNs trained with augmentation",
        (Entry("best", False, 5, 0.9972),),
    ),
}
