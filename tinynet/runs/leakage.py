"""Data leakage: how many of some images a net has learned from, found by their pixels.

A figure measured on images that the net was trained on says nothing of new ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinynet.data import overlap
from tinynet.data.datasets import Dataset
from tinynet.errors import TinynetError
from tinynet.runs.provenance import FindData, generations
from tinynet.runs.settings import Settings
from tinynet.types import Array


@dataclass(frozen=True, eq=False)
class Leakage:
    """Which of N images a net has met before: itself, or a run whose weights it started from."""

    trained: Array
    """Whether it was trained on each, bool (N,)."""
    validated: Array
    """Whether each was among its validation images, by which epochs are compared, bool (N,)."""
    unknown: str | None = None
    """Why that cannot be told of all it has learned from; None where it can."""

    def __or__(self, other: Leakage) -> Leakage:
        """What either of two nets has met."""
        unknown = self.unknown or other.unknown
        return Leakage(self.trained | other.trained, self.validated | other.validated, unknown)

    @property
    def is_clean(self) -> bool:
        """Whether it is known that the net has met none of the images."""
        return is_clean(self.facts())

    def facts(self) -> dict[str, Any]:
        """The counts, for a report."""
        return {
            "images": len(self.trained),
            "trained_on": int(self.trained.sum()),
            "validated_by": int((self.validated & ~self.trained).sum()),
            "unknown": self.unknown,
        }


def together(facts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What `Leakage.facts` says of several sets of images, each with a net of its own, added up."""
    every = list(facts)
    counts = {name: sum(each[name] for each in every) for name in ("images", "trained_on", "validated_by")}
    return counts | {"unknown": next((each["unknown"] for each in every if each["unknown"]), None)}


def find_leakage(
    images: Array, settings: Settings | None, load: FindData, own: Dataset | None = None
) -> Leakage:
    """Which of the images (N, H, W, C) uint8 the run with these settings has met, or a run it started from.

    settings   None: those of a file of which no run is known   load   finds the data set of a run
    own        the run's own data set, where it is at hand
    """
    none = np.zeros(len(images), dtype=bool)
    found = Leakage(none, none)
    if settings is None:
        return replace(found, unknown="the weights are in no run's folder")
    try:
        for _, trained, held_out in generations(settings, own or load(settings), load):
            found |= Leakage(overlap(images, trained.images), overlap(images, held_out.images))
    except TinynetError as error:
        return replace(found, unknown=str(error).splitlines()[0])
    return found


def is_clean(facts: Mapping[str, Any]) -> bool:
    """Whether `facts` say that it is known that a net has met none of the images."""
    return not any(facts[name] for name in ("trained_on", "validated_by", "unknown"))


def sentences(facts: Mapping[str, Any], whose: str = "its") -> str:
    """What `Leakage.facts` says, in words; `whose` training data: its, or their for several nets."""
    trained, validated, images = facts["trained_on"], facts["validated_by"], facts["images"]
    if images == 1:
        return _of_one(facts, whose)
    these = f"of these {images:,} images"
    of = [f"{trained:,} {these} {_were(trained)} in {whose} training data"] if trained else []
    if validated:
        of.append(f"{validated:,} {'more' if of else these} {_were(validated)} in {whose} validation data")
    said = [f"{', '.join(of)}."] if of else []
    if facts["unknown"]:
        more = "more of them" if of else "any of these images"
        said.append(f"Whether {more} were in {whose} training data cannot be told: {facts['unknown']}.")
    return " ".join(said or [f"None {these} was in {whose} training data."])


def _of_one(facts: Mapping[str, Any], whose: str) -> str:
    for name, data in (("trained_on", "training"), ("validated_by", "validation")):
        if facts[name]:
            return f"This image was in {whose} {data} data."
    if facts["unknown"]:
        return f"Whether this image was in {whose} training data cannot be told: {facts['unknown']}."
    return f"This image was not in {whose} training data."


def _were(count: int) -> str:
    return "was" if count == 1 else "were"
