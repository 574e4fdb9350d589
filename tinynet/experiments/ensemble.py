"""An ensemble: the mean of several nets' probabilities is more accurate than any of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tinynet import checkpoint
from tinynet.checkpoint import Loaded
from tinynet.errors import RunError
from tinynet.runs import predictions
from tinynet.types import Array


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
    first = _kind(members[0])
    for path, member in zip(paths, members, strict=True):
        if (kind := _kind(member)) != first:
            raise RunError(
                f"{path} does not go with {paths[0]}", expected=first, received=kind, fix="leave one out"
            )
    return members


def _kind(member: Loaded) -> str:
    classes = member.about.get("classes", [])
    names = ", ".join(map(str, classes)) or f"{member.model.output_shape[-1]} without names"
    return f"images {member.model.input_shape}, classes {names}"


def predict(members: Sequence[Loaded], images: Array, *, shifts: int = 0) -> Array:
    """Each member's probabilities of images (M, H, W, C): (members, M, K). Their mean is the ensemble's.

    `shifts`: see `predictions.predict`.
    """
    found = (predictions.predict(model, loss, images, shifts=shifts) for model, loss, _ in members)
    return np.stack([each.probabilities for each in found])
