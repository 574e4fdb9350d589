"""The nets that are served: loaded by name, and computed with in batches of few sizes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tinynet import checkpoint
from tinynet.analysis.grad_cam import cam_position, grad_cam, place
from tinynet.analysis.gradients import logits, margin_gradient, saliency
from tinynet.errors import ConfigError, RunError, ShapeError, TinynetError
from tinynet.losses import Loss
from tinynet.model import Sequential
from tinynet.runs.predictions import class_names, predict
from tinynet.runs.report import read_report
from tinynet.types import Array, Shape

SIZES = (1, 2, 4, 8, 16, 32, 64)
"""Images in a batch. Batches are filled up to one of these: each size has its own kernels and recording, of
which a model keeps sixteen, and images of two dtypes come."""
LARGEST = SIZES[-1]
DTYPES = (np.uint8, np.float32)


@dataclass(frozen=True, eq=False)
class Served:
    """A classifier of images (H, W, C), of K classes, as the service knows it."""

    name: str
    path: Path
    model: Sequential
    loss: Loss
    classes: list[str]
    about: dict[str, Any]
    weights_sha256: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights_sha256", checkpoint.weights_sha256(self.model))

    @property
    def shape(self) -> Shape:
        """(H, W, C) of an image."""
        return self.model.input_shape

    @property
    def sees_whole_pictures(self) -> bool:
        """Whether pictures are of anything, and scaled as a whole; else of one sign on its ground."""
        return not self.is_grey or bool(self.about.get("whole"))

    @property
    def is_grey(self) -> bool:
        """Whether it takes (H, W, 1)."""
        return self.shape[2] == 1

    def probabilities(self, images: Array) -> Array:
        """(N, K) for images (N, H, W, C) of one of DTYPES, N at most LARGEST."""
        count = len(images)
        filled = np.zeros((next(size for size in SIZES if size >= count), *self.shape), images.dtype)
        filled[:count] = images
        return predict(self.model, self.loss, filled).probabilities[:count]

    def explain(self, image: Array) -> dict[str, Any]:
        """Why the net answers as it does for one image (H, W, C): maps as nested lists, the best two classes.

        `saliency` and `margin` are (H, W), per grey level; `grad_cam` has its layer, its map (h, w) and where
        that lies on the image (see `analysis.grad_cam.place`), or is None for a net without convolutions.
        """
        scores, probabilities = logits(self.model, image[None])[0][0], self.probabilities(image[None])[0]
        second, first = np.argsort(scores, kind="stable")[-2:].tolist()
        position = cam_position(self.model)
        return {
            "model": self.name,
            "top": [
                {
                    "index": k,
                    "label": self.classes[k],
                    "probability": float(probabilities[k]),
                    "logit": float(scores[k]),
                }
                for k in (first, second)
            ],
            "pixels": (image[..., 0] if self.is_grey else image).tolist(),
            "saliency": saliency(self.model, image, first).tolist(),
            "margin": margin_gradient(self.model, image, first, second).tolist(),
            "grad_cam": None
            if position is None
            else {
                "layer": self.model.layers[position].name,
                "map": grad_cam(self.model, image, first, position).tolist(),
                "place": place(self.model, position),
            },
        }

    def describe(self) -> dict[str, Any]:
        """What /v1/model says: the net, its classes, its data, and the figures of its run's report."""
        figures = None
        if self.path.is_dir():
            with suppress(RunError):  # a run without a report has no figures to tell
                if test := read_report(self.path)["test"]:
                    figures = {key: test.get(key) for key in ("samples", "errors", "accuracy", "interval")}
        config = self.model.config()
        return {
            "name": self.name,
            "classes": self.classes,
            "input_shape": config["input_shape"],
            "layers": config["layers"],
            "parameters": self.model.store.count,
            "dtype": self.model.dtype,
            "backend": self.model.backend.name,
            "weights_sha256": self.weights_sha256,
            "dataset": self.about.get("dataset"),
            "data_sha256": self.about.get("data_sha256"),
            "test": figures,
        }


def load(runs: Sequence[str], backend: str = "auto") -> dict[str, Served]:
    """The models of RUN or NAME=RUN, by their names: the folder's or the file's, where none is given.

    Raises ConfigError for two of a name, ShapeError for a net that is no classifier of images, and what
    `checkpoint.load_model` raises.
    """
    found: dict[str, Served] = {}
    for text in runs:
        name, path = _named(text)
        if name in found:
            raise ConfigError(
                f"two models are called {name!r}",
                received=f"{found[name].path} and {path}",
                fix="give them names: tinynet serve one=RUN other=RUN",
            )
        found[name] = _load(name, path, backend)
    return found


def _named(text: str) -> tuple[str, Path]:
    name, equals, rest = text.partition("=")
    if equals and name and "/" not in name and not Path(text).exists():
        return name, Path(rest)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"{text} is no name that can be sent: it is no UTF-8", fix="give it one: tinynet serve NAME=RUN"
        ) from error
    path = Path(text)
    return path.resolve().name if path.is_dir() else path.stem, path


def _load(name: str, path: Path, backend: str) -> Served:
    model, loss, about = checkpoint.load_model(path, backend=backend)
    count = loss.classes(model.output_shape[-1])
    if len(model.input_shape) != 3 or len(model.output_shape) != 1 or count < 2:
        raise ShapeError(
            f"{path} cannot be served",
            expected="a net that tells two or more classes of images (H, W, C)",
            received=f"inputs {model.input_shape}, outputs {model.output_shape}",
        )
    _check_answers(path)
    model.pack()
    return Served(name, path, model, loss, class_names(about.get("classes", []), count), about)


def _check_answers(path: Path) -> None:
    """Raise ConfigError where the net gives no probabilities for bytes. Before any kernel is compiled."""
    model, loss, _ = checkpoint.load_model(path, backend="numpy")
    try:
        predict(model, loss, np.zeros((1, *model.input_shape), np.uint8))
    except TinynetError as error:
        problem, *lines = str(error).splitlines()
        raise ConfigError("\n".join([f"{path} cannot be served: {problem}", *lines])) from error
