"""An ensemble: the mean of several nets' probabilities is more accurate than any of them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinynet import checkpoint
from tinynet.analysis import shifting
from tinynet.analysis.evaluation import interval, share_right
from tinynet.checkpoint import Loaded
from tinynet.errors import RunError
from tinynet.experiments import race
from tinynet.io.markdown import count, percent
from tinynet.runs import predictions
from tinynet.runs.predictions import Predictions
from tinynet.types import Array

RULE = (
    "Together they answer by the mean of their probabilities: a rule fixed beforehand, in which all nets "
    "count alike."
)


ENOUGH = 3
"""Nets whose mean has an interval of use: for two, Student's t is 12.7."""


def load_members(paths: Sequence[Path], *, backend: str | None = None) -> list[Loaded]:
    """The models of these runs or safetensors files, all for the same images and classes.

    Raises RunError for fewer than two, for one named twice, and where they do not go together.
    """
    if len({path.resolve() for path in paths}) < max(2, len(paths)):
        raise RunError(
            "an ensemble takes several nets",
            expected="two runs or more, each once",
            received=", ".join(map(str, paths)),
            fix="name the runs of other seeds, too",
        )
    members = [checkpoint.load_model(path, backend=backend) for path in paths]
    named = class_names(members)
    first = _kind(members[0], named)
    for path, member in zip(paths, members, strict=True):
        if (kind := _kind(member, named)) != first:
            raise RunError(
                f"{path} does not go with {paths[0]}", expected=first, received=kind, fix="leave one out"
            )
    return members


def class_names(members: Sequence[Loaded]) -> Sequence[str]:
    """The names of the classes, of the first net that has some; none where no net has."""
    return next(filter(None, (member.about.get("classes") for member in members)), ())


def twins(paths: Sequence[Path], members: Sequence[Loaded]) -> list[str]:
    """A sentence for each net that has the very weights of one named before it."""
    seen: dict[str, Path] = {}
    first = [
        seen.setdefault(checkpoint.weights_sha256(member.model), path)
        for path, member in zip(paths, members, strict=True)
    ]
    return [
        f"{path} is the same net as {twin}: its answers count twice, and no more is learned from that."
        for path, twin in zip(paths, first, strict=True)
        if path is not twin
    ]


def _kind(member: Loaded, named: Sequence[str]) -> str:
    """The images and classes in words; where a net has no names, those `named` by another of as many."""
    count = member.loss.classes(member.model.output_shape[-1])
    known = member.about.get("classes") or (named if len(named) == count else ())
    return f"images {member.model.input_shape}, classes {', '.join(known) or f'{count} without names'}"


def predict(members: Sequence[Loaded], images: Array, *, shifts: int = 0) -> list[Predictions]:
    """What each member says of images (M, H, W, C). `shifts`: see `predictions.predict`."""
    return [predictions.predict(model, loss, images, shifts=shifts) for model, loss, _ in members]


def mean(said: Sequence[Predictions]) -> Predictions:
    """The ensemble's answer: the mean of its members' probabilities."""
    plain = [each.unshifted for each in said if each.unshifted is not None]
    return Predictions(
        np.mean([each.probabilities for each in said], axis=0),
        unshifted=np.mean(plain, axis=0) if plain else None,
    )


def figures(names: Sequence[str], labels: Array, said: Sequence[Predictions]) -> dict[str, Any]:
    """How good the members and their mean are, one after another: `evaluation.share_right` of each of `nets`
    and of them `together`, with what shifted images gain (`shifting.gain`) as `tta`, where they were averaged
    over some; of the accuracies of single nets the `mean`, the `half_width` of its 95 % interval (Student's
    t; None for fewer than three nets, which say too little of others), and the `standard_deviation`; and
    the `rule` of the ensemble.

    names: of the nets   labels (N,)   said: what `predict` returns for the N images, two nets or more
    """
    rows = [{"net": name, **_figures(labels, each)} for name, each in zip(names, said, strict=True)]
    accuracies = [row["accuracy"] for row in rows]
    average = race.mean(accuracies)
    return {
        "rule": RULE,
        "nets": rows,
        "mean": average.value,
        "half_width": average.half_width if len(rows) >= ENOUGH else None,
        "standard_deviation": statistics.stdev(accuracies),
        "together": _figures(labels, mean(said)),
    }


def _figures(labels: Array, said: Predictions) -> dict[str, Any]:
    found = share_right(labels, said.classes)
    if said.unshifted is not None:
        found["tta"] = shifting.gain(labels, said.probabilities, said.unshifted)
    return found


def table(found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The `figures` as rows of text, the first of them the head, the last that of all nets together."""
    head = ("net", "accuracy", "95 % interval", "wrong")
    rows = [*found["nets"], {"net": "all together", **found["together"]}]
    averaged = "tta" in found["together"]
    return [
        (*head, "without --tta", "gain") if averaged else head,
        *((row["net"], *_cells(row), *(_cells_of_tta(row["tta"]) if averaged else ())) for row in rows),
    ]


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    return percent(row["accuracy"]), interval(row), count(row["errors"])


def _cells_of_tta(found: Mapping[str, Any]) -> tuple[str, ...]:
    return percent(found["without"]["accuracy"]), shifting.points(found)


def sentence(found: Mapping[str, Any]) -> str:
    """The `figures` in words: single nets beside all together."""
    together, half = found["together"], found["half_width"]
    of_the_mean = "" if half is None else f"; 95 % interval of the mean ± {100 * half:.2f}"
    return (
        f"Single nets: {100 * found['mean']:.2f} ± {100 * found['standard_deviation']:.2f} % (mean and "
        f"standard deviation{of_the_mean}). Together: "
        f"{percent(together['accuracy'])} (95 % interval {interval(together)})."
    )
