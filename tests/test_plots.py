"""The plots: made whole or not at all, the same bytes each time, whatever the caller does."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from tinynet import metrics, plots
from tinynet.errors import ConfigError, DataError, ShapeError
from tinynet.plots.architecture import DrawnBlock

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
TRIALS = {"accuracy": [0.9, 0.5, 0.98, 0.97], "complete": [True, False, True, True], "samples": 100}
SETTINGS = {"rate": [0.1, 1e-4, 0.01, 0.02], "batch size": [0, 1, 1, 0]}
CHOICES = {"batch size": ["32", "64"]}

LABELS = np.arange(40) % 4
BELIEFS = np.random.default_rng(1).dirichlet(np.ones(4), 40)  # of a model that knows nothing
RANKINGS = metrics.one_against_rest(LABELS, BELIEFS)
SHARES = np.array([0.5, 0.3, 0.15, 0.05])
CALIBRATION = metrics.calibration(LABELS, BELIEFS)

BLOCKS = [
    DrawnBlock(["input"], "other", (8, 8, 1), 0),
    DrawnBlock(["conv2d_1", "relu_1"], "convolution", (6, 6, 40), 400),
    DrawnBlock(["dense_1"], "dense", (1234,), 5678),
]
DRAW: dict[str, Callable[[Path], None]] = {
    "learning_curve": lambda path: plots.learning_curve(HISTORY, path),
    "confusion_matrix": lambda path: plots.confusion_matrix(MATRIX, ["a", "b", "c"], path),
    "search_history": lambda path: plots.search_history([0, 1, 2, 4], path=path, **TRIALS),
    "search_settings": lambda path: plots.search_settings(
        SETTINGS, path=path, log=["rate"], choices=CHOICES, **TRIALS
    ),
    "digits": lambda path: plots.digits(IMAGES, [f"{i} → 9" for i in range(10)], path, title="Mistakes"),
    "roc": lambda path: plots.roc(RANKINGS, "abcd", path),
    "precision_recall": lambda path: plots.precision_recall(RANKINGS, "abcd", path),
    "reliability": lambda path: plots.reliability(CALIBRATION, path),
    "labels": lambda path: plots.labels({"train": np.arange(1, 5), "test": np.ones(4, int)}, "abcd", path),
    "pixels": lambda path: plots.pixels(np.arange(256), path),
    "correlation": lambda path: plots.correlation(np.corrcoef(IMAGES.reshape(10, 30).T), (6, 5), path),
    "explained_variance": lambda path: plots.explained_variance(SHARES, 2, {"90 %": 3}, path),
    "architecture": lambda path: plots.architecture(BLOCKS, path, title="t"),
    "maps": lambda path: plots.maps(
        IMAGES[0], {"m": MATRIX}, path, title="t", caption="c", place=(1, 3, 4, 2)
    ),
    "filters": lambda path: plots.filters(IMAGES[..., 0] - 128.0, path, title="t"),
    "activations": lambda path: plots.activations([("a", IMAGES[0] / 9), ("b", np.arange(-3, 4))], 3, path),
}
every_plot = pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW.keys())


def _settings() -> dict[str, Any]:
    """The caller's settings, without the one that imports pyplot when it is read."""
    return {key: mpl.rcParams[key] for key in mpl.rcParams if key != "backend"}


def _svg_text(path: Path) -> str:
    """The strings of a drawing: matplotlib draws glyphs as paths, and leaves each string as a comment."""
    ElementTree.parse(path)
    return "\n".join(re.findall("<!-- (.*?) -->", path.read_text(encoding="utf-8")))


@every_plot
def test_png(draw: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "plot.png"
    draw(path)
    assert os.listdir(tmp_path) == ["plot.png"]
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert min(image.size) > 200
        pixels = np.asarray(image.convert("L"))
    assert pixels.min() < 100 < 250 < pixels.max()


@pytest.mark.parametrize(("name", "suffix"), [*((name, "svg") for name in DRAW), ("digits", "png")])
def test_the_same_bytes_whatever_the_settings_of_the_caller(name: str, suffix: str, tmp_path: Path) -> None:
    draw = DRAW[name]
    first, second = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    draw(first)
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red"}):
        before = _settings()
        draw(second)
        assert _settings() == before
    assert first.read_bytes() == second.read_bytes()


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "plot.png"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        DRAW["digits"](path)
    assert os.listdir(tmp_path) == ["plot.png"]
    assert path.read_bytes() == b"old"


@every_plot
@pytest.mark.parametrize("name", ["plot.jpg", "plot"])
def test_refuses_other_kinds_of_file(draw: Callable[[Path], None], name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\.png or \.svg"):
        draw(tmp_path / name)
    assert os.listdir(tmp_path) == []


def test_neither_import_nor_drawing_loads_more_than_it_needs(tmp_path: Path) -> None:
    code = (
        "import sys; from tinynet import plots; assert 'matplotlib' not in sys.modules\n"
        "plots.confusion_matrix([[3, 1], [0, 2]], ['a', 'b'], sys.argv[1])\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(tmp_path / "plot.png")], check=True, timeout=60
    )


def test_learning_curve_says_what_to_see(tmp_path: Path) -> None:
    plots.learning_curve(HISTORY, tmp_path / "plot.svg")
    text = _svg_text(tmp_path / "plot.svg")
    assert "Learning curve: validation accuracy 85.00 % after 3 epochs" in text
    assert "best: 90.00 %, epoch 2" in text


@pytest.mark.parametrize(
    ("history", "title"),
    [
        ([{"epoch": 1, "loss": 0.5, "accuracy": 0.8}], "training accuracy 80.00 % after 1 epoch"),
        ([{"epoch": 1, "loss": float("nan")}, {"epoch": 2, "loss": float("inf")}], "Learning curve"),
        ([{"epoch": 1, "loss": 0.0, "learning_rate": 0.0, "val_accuracy": None}], "Learning curve"),
        (
            [
                {
                    "epoch": e,
                    "loss": 1.0,
                    "val_accuracy": 0.5 if e % 2 else None,
                    "learning_rate": np.float32(0.1),
                }
                for e in range(1, 5)
            ],
            "validation accuracy 50.00 % after 3 epochs",
        ),
    ],
)
def test_learning_curve_of_an_incomplete_history(
    history: list[dict[str, Any]], title: str, tmp_path: Path
) -> None:
    plots.learning_curve(history, tmp_path / "plot.svg")
    assert title in _svg_text(tmp_path / "plot.svg")


@pytest.mark.parametrize("history", [[], [{"loss": 1.0}]])
def test_learning_curve_of_no_epochs(history: list[dict[str, Any]], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no epochs"):
        plots.learning_curve(history, tmp_path / "plot.png")


@pytest.mark.parametrize(
    ("matrix", "title"),
    [
        (MATRIX, ["Confusion matrix: 95.74 % right", "most confused: b → c (3 times)"]),
        ([[1, 1], [0, 1]], ["66.67 % right", "a → b (1 time)"]),
        ([[2, 0], [0, 0]], ["100.00 % right, no errors"]),
        ([[4]], ["100.00 % right, no errors"]),
    ],
)
def test_confusion_matrix_says_what_to_see(matrix: Any, title: list[str], tmp_path: Path) -> None:
    plots.confusion_matrix(np.asarray(matrix), "abc"[: len(matrix)], tmp_path / "plot.svg")
    text = _svg_text(tmp_path / "plot.svg")
    assert all(line in text for line in title)


def test_confusion_matrix_of_many_classes_writes_no_counts(tmp_path: Path) -> None:
    plots.confusion_matrix(
        np.eye(31, dtype=int) * 777, [f"class {i}" for i in range(31)], tmp_path / "plot.svg"
    )
    assert "777" not in _svg_text(tmp_path / "plot.svg")


def test_confusion_matrix_refuses(tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match=r"(?s)expected: shape \(2, 2\).*received: \(3, 3\)"):
        plots.confusion_matrix(MATRIX, ["a", "b"], tmp_path / "plot.png")
    with pytest.raises(ShapeError):
        plots.confusion_matrix(np.zeros((0, 0), int), [], tmp_path / "plot.png")
    with pytest.raises(DataError, match="empty"):
        plots.confusion_matrix(0 * MATRIX, ["a", "b", "c"], tmp_path / "plot.png")


@pytest.mark.parametrize(
    ("images", "titles"),
    [
        (IMAGES, ["one"]),
        (IMAGES / 255, ["x"] * 10),
        (IMAGES[0, ..., 0], ["x"] * 6),
        (IMAGES[:0], []),
        (np.zeros((1, 4, 4, 3), np.uint8), ["colour"]),
    ],
)
def test_digits_refuses(images: Any, titles: list[str], tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match=r"(?s)expected: uint8.*received: .*fix: "):
        plots.digits(images, titles, tmp_path / "plot.png")


def test_the_curves_name_the_lowest_area(tmp_path: Path) -> None:
    for draw, name in ((plots.roc, "roc_auc"), (plots.precision_recall, "average_precision")):
        draw(RANKINGS, "abcd", tmp_path / "plot.svg")
        areas = [getattr(ranking, name) for ranking in RANKINGS]
        text = _svg_text(tmp_path / "plot.svg")
        assert f"lowest {min(areas):.5f} ({'abcd'[int(np.argmin(areas))]})" in text
        assert f"mean {'area' if name == 'roc_auc' else 'average precision'} {np.mean(areas):.5f}" in text
        assert text.count("the others") == 1


def test_a_class_without_a_curve_is_left_out(tmp_path: Path) -> None:
    rankings = metrics.one_against_rest(
        np.array([0, 1, 1]), np.array([[0.8, 0.2, 0], [0.1, 0.9, 0], [1, 0, 0]])
    )
    for draw in (plots.roc, plots.precision_recall):
        draw(rankings, "abc", tmp_path / "plot.svg")
        text = _svg_text(tmp_path / "plot.svg")
        assert "c (" not in text
        assert "nan" not in text
        every = metrics.ranking(np.array([True]), np.array([0.5]))  # all positive: no curve either
        with pytest.raises(DataError, match="no curve"):
            draw([rankings[2], every], "cd", tmp_path / "plot.svg")


def test_reliability_says_which_way_it_leans(tmp_path: Path) -> None:
    for labels, leaning in (
        (np.ones(4, int), "not sure enough"),
        (np.zeros(4, int), "too sure"),
        (np.array([1, 1, 0, 1]), "as sure as it is right"),
    ):
        calibration = metrics.calibration(labels, np.array([[0.2, 0.8]] * 4))
        plots.reliability(calibration, tmp_path / "plot.svg")
        assert leaning in _svg_text(tmp_path / "plot.svg")


def test_labels_and_pixels_say_what_to_see(tmp_path: Path) -> None:
    DRAW["labels"](tmp_path / "plot.svg")
    assert "Labels: from 10.00 % (a) to 40.00 % (d)" in _svg_text(tmp_path / "plot.svg")
    plots.labels({"train": np.array([6, 6])}, "ab", tmp_path / "plot.svg")
    assert "Labels: all classes alike, 50.00 % each" in _svg_text(tmp_path / "plot.svg")
    plots.pixels(np.array([3, *[0] * 254, 1]), tmp_path / "plot.svg")
    text = _svg_text(tmp_path / "plot.svg")
    assert "Pixels: 75.00 % are 0" in text
    assert "mean 63.8" in text
    assert "mean 0.25" in text
    assert "deviation 0.433" in text


def test_the_net_is_drawn_block_by_block(tmp_path: Path) -> None:
    DRAW["architecture"](tmp_path / "plot.svg")
    text = _svg_text(tmp_path / "plot.svg")
    for part in ("conv2d_1", "relu_1", "6 × 6 × 40", "400 parameters", "1234", "5,678 parameters"):
        assert part in text
    assert text.index("input") < text.index("conv2d_1") < text.index("dense_1")
    assert "pooling" not in text


def test_maps_say_what_was_seen(tmp_path: Path) -> None:
    plots.maps(IMAGES[0], {"heat": MATRIX}, tmp_path / "plot.svg", title="Why", caption="seen as 3 (99.00 %)")
    text = _svg_text(tmp_path / "plot.svg")
    assert all(part in text for part in ("Why", "seen as 3 (99.00 %)", "heat"))


def test_a_long_logarithmic_axis_has_few_numbers(tmp_path: Path) -> None:
    """So many that they lie over each other, if there were more."""
    for low, numbers in ((0.04, 3), (0.002, 4), (0.0001, 4)):
        values = np.geomspace(low, 0.1, 4)
        plots.search_settings(
            {"rate": values}, [0.5] * 4, [True] * 4, tmp_path / "plot.svg", samples=10, log={"rate"}
        )
        shown = re.findall(r"\b0\.\d+\b", _svg_text(tmp_path / "plot.svg"))
        assert len(shown) <= numbers, shown


def test_explained_variance_says_what_to_see(tmp_path: Path) -> None:
    DRAW["explained_variance"](tmp_path / "plot.svg")
    text = _svg_text(tmp_path / "plot.svg")
    assert "2 of 4 components keep 80.0 % of the variance" in text
    assert "90 %: 3" in text


def test_activations_are_the_strongest_channels_in_their_order(tmp_path: Path) -> None:
    values = np.array([1.0, -9.0, 2.0, 5.0]) * np.ones((2, 2, 1))
    plots.activations([("conv", values), ("dense", np.arange(30))], 2, tmp_path / "plot.svg")
    text = _svg_text(tmp_path / "plot.svg")
    assert [channel for channel in range(4) if f"#{channel}" in text] == [1, 3]
    assert text.index("#1") < text.index("#3")
    assert "conv: 2 × 2 × 4 values, -9 … 5" in text
    assert "dense: 30 values, 0 … 29" in text


def test_search_plots_say_what_to_see(tmp_path: Path) -> None:
    DRAW["search_history"](tmp_path / "history.svg")
    text = _svg_text(tmp_path / "history.svg")
    assert "Best of 4 trials: trial 2, 98.00 % right" in text
    assert "given up early" in text
    DRAW["search_settings"](tmp_path / "settings.svg")
    text = _svg_text(tmp_path / "settings.svg")
    for part in ("4 trials", "rate", "batch size", "32", "64", "0.001", "validation error (%)"):
        assert part in text


def test_a_search_without_an_error_or_with_one_trial(tmp_path: Path) -> None:
    plots.search_history([7], [1.0], [True], tmp_path / "plot.svg", samples=10)
    assert "Best of 1 trials: trial 7, 100.00 % right" in _svg_text(tmp_path / "plot.svg")


def test_search_plots_refuse(tmp_path: Path) -> None:
    path = tmp_path / "plot.png"
    with pytest.raises(ShapeError, match="cannot be drawn"):
        plots.search_history([0, 1], [0.5], [True], path, samples=10)
    with pytest.raises(ShapeError, match="cannot be drawn"):
        plots.search_settings({"rate": [1.0, 2.0]}, [0.5], [True], path, samples=10)
    with pytest.raises(DataError, match="no trial is complete"):
        plots.search_history([0], [0.5], [False], path, samples=10)
