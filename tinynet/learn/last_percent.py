"""What nets trained on all of MNIST reached, for the last rung; bench/last_percent.py writes the file."""

from __future__ import annotations

import base64
import json
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from tinynet.types import Array

NAME = "last_percent.json"


def read(path: Path | None = None) -> dict[str, Any]:
    """What the file at `path` holds; without one, the file that comes with tinynet.

    `dataset`, the number of its test `images`;
    `nets`, of each its name `net`, its `recipe` and its `errors`; where it averaged over shifted images, also
    the errors without that, `unshifted`;
    `together`, the errors of the mean of their probabilities, likewise;
    `trials`, of each its name `trial`, how many validation images were `right`, and of how many `images`;
    `missed`: the test images that every net calls otherwise than their label, as
    `analysis.disagreement.against_label` gives them, each with its `image` (H, W, C) uint8.
    """
    file = path or resources.files(__package__).joinpath(NAME)
    found: dict[str, Any] = json.loads(file.read_text("utf-8"))
    for row in found["missed"]:
        row["image"] = decoded(row["image"])
    return found


def encoded(image: Array) -> dict[str, Any]:
    """An image (H, W, C) uint8 as JSON has it: its shape, and its pixels in base64."""
    return {"shape": [*image.shape], "pixels": base64.b64encode(image.tobytes()).decode("ascii")}


def decoded(kept: dict[str, Any]) -> Array:
    """The image that `encoded` was given."""
    return np.frombuffer(base64.b64decode(kept["pixels"]), np.uint8).reshape(kept["shape"])
