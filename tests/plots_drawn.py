"""One of each plot, on data small enough to read."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from tinynet import metrics, plots
from tinynet.plots.architecture import DrawnBlock
from tinynet.plots.disagreement import Bar, Card

HISTORY: list[dict[str, Any]] = [
    {
        "epoch": e,
        "loss": 1 / e,
        "accuracy": 1 - 0.3 / e,
        "val_loss": 1.2 / e,
        "val_accuracy": a,
        "learning_rate": 0.1 / e,
    }
    for e, a in ((1, 0.7), (2, 0.9), (3, 0.85))
]
MATRIX = np.array([[50, 0, 1], [2, 40, 3], [0, 0, 45]])
IMAGES = np.random.default_rng(0).integers(0, 256, (10, 6, 5, 1), dtype=np.uint8)
TRIALS: dict[str, Any] = {
    "accuracy": [0.9, 0.5, 0.98, 0.97],
    "complete": [True, False, True, True],
    "samples": 100,
}
SETTINGS: dict[str, Any] = {"rate": [0.1, 1e-4, 0.01, 0.02], "batch size": [0, 1, 1, 0]}
CHOICES = {"batch size": ["32", "64"]}
RATES = np.geomspace(1e-4, 1, 20)
FALLING = 2 - np.tanh(np.linspace(-3, 3, 20))

LABELS = np.arange(40) % 4
BELIEFS = np.random.default_rng(1).dirichlet(np.ones(4), 40)  # of a model that knows nothing
RANKINGS = metrics.one_against_rest(LABELS, BELIEFS)
SHARES = np.array([0.5, 0.3, 0.15, 0.05])
CALIBRATION = metrics.calibration(LABELS, BELIEFS)

LAYERS: list[dict[str, Any]] = [
    {
        "epoch": epoch,
        "step": 10 * epoch,
        "layer": layer,
        "mean": 0.5 - epoch,
        "deviation": 2.0**-epoch,
        "dead": 0.1 * epoch if layer == "conv2d_1 + relu_1" else None,
        "gradient_norm": 1 / (1 + epoch),
        "update_ratio": 1e-3 / epoch if epoch else None,
    }
    for epoch in range(3)
    for layer in ("conv2d_1 + relu_1", "dense_1")
]
BLOCKS = [
    DrawnBlock(["input"], "other", (8, 8, 1), 0),
    DrawnBlock(["conv2d_1", "relu_1"], "convolution", (6, 6, 40), 400),
    DrawnBlock(["dense_1"], "dense", (1234,), 5678),
]
DRAW: dict[str, Callable[[Path], None]] = {
    "learning_curve": lambda path: plots.learning_curve(HISTORY, path),
    "health": lambda path: plots.health(LAYERS, path),
    "confusion_matrix": lambda path: plots.confusion_matrix(MATRIX, ["a", "b", "c"], path),
    "search_history": lambda path: plots.search_history([0, 1, 2, 4], path=path, **TRIALS),
    "search_settings": lambda path: plots.search_settings(
        SETTINGS, path=path, log=["rate"], choices=CHOICES, **TRIALS
    ),
    "rate_curve": lambda path: plots.rate_curve(RATES, FALLING, FALLING, path, suggestion=RATES[9]),
    "digits": lambda path: plots.digits(IMAGES, [f"{i} → 9" for i in range(10)], path, title="Mistakes"),
    "disagreement": lambda path: plots.disagreement(
        [Card(IMAGES[0], "#7", Bar("label 3", 0.1), [Bar("8", 0.9), Bar("5", 0.6)])],
        path,
        title="t",
        caption="c",
    ),
    "roc": lambda path: plots.roc(RANKINGS, "abcd", path),
    "precision_recall": lambda path: plots.precision_recall(RANKINGS, "abcd", path),
    "reliability": lambda path: plots.reliability(CALIBRATION, path),
    "labels": lambda path: plots.labels({"train": np.arange(1, 5), "test": np.ones(4, int)}, "abcd", path),
    "pixels": lambda path: plots.pixels(np.arange(256)[None], path),
    "correlation": lambda path: plots.correlation(
        np.array(np.corrcoef(IMAGES.reshape(10, 30).T)), (6, 5), path
    ),
    "explained_variance": lambda path: plots.explained_variance(SHARES, 2, {"90 %": 3}, path),
    "architecture": lambda path: plots.architecture(BLOCKS, path, title="t"),
    "maps": lambda path: plots.maps(
        IMAGES[0], {"m": MATRIX}, path, title="t", caption="c", place=(1, 3, 4, 2)
    ),
    "filters": lambda path: plots.filters(IMAGES[..., 0] - 128.0, path, title="t"),
    "activations": lambda path: plots.activations([("a", IMAGES[0] / 9), ("b", np.arange(-3, 4))], 3, path),
}
every_plot = pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW.keys())


def svg_text(path: Path) -> str:
    """The strings of a drawing: matplotlib draws glyphs as paths, and leaves each string as a comment."""
    ElementTree.parse(path)
    return "\n".join(re.findall("<!-- (.*?) -->", path.read_text(encoding="utf-8")))
