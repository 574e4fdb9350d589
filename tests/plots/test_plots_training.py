"""The learning curve: what its title says, and histories with gaps."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from plots_drawn import HISTORY, svg_text

from tinynet import plots
from tinynet.errors import DataError
from tinynet.history import BestBy


def test_learning_curve_says_what_to_see(tmp_path: Path) -> None:
    plots.learning_curve(HISTORY, tmp_path / "plot.svg")
    text = svg_text(tmp_path / "plot.svg")
    assert "Validation accuracy 85.00 % in epoch 3,\nthe best of 3 by loss (ring)" in text
    assert "epoch 3, best by loss: 85.00 %" in text
    plots.learning_curve(HISTORY, tmp_path / "plot.svg", best_by=BestBy("val_accuracy"))
    text = svg_text(tmp_path / "plot.svg")
    assert "Validation accuracy 90.00 % in epoch 2,\nthe best of 3 by accuracy (ring)" in text
    assert "epoch 2, best by accuracy: 90.00 %" in text


def test_the_title_of_a_long_training_fits(tmp_path: Path) -> None:
    history = [{"epoch": n + 1, "loss": 1.0, "val_accuracy": 0.4999 + n / 1000} for n in range(500)]
    plots.learning_curve(history, tmp_path / "plot.png", best_by=BestBy("val_accuracy"))
    drawn = np.asarray(Image.open(tmp_path / "plot.png").convert("L"))
    assert (drawn[:, -5:] == 255).all()


@pytest.mark.parametrize(
    ("history", "title"),
    [
        ([{"epoch": 1, "loss": 0.5, "accuracy": 0.8}], "Training accuracy 80.00 % after 1 epoch"),
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
            "Validation accuracy 50.00 % after 3 epochs",
        ),
    ],
)
def test_learning_curve_of_an_incomplete_history(
    history: list[dict[str, Any]], title: str, tmp_path: Path
) -> None:
    plots.learning_curve(history, tmp_path / "plot.svg")
    assert title in svg_text(tmp_path / "plot.svg")


@pytest.mark.parametrize("monitor", ["val_loss", "val_accuracy"])
@pytest.mark.parametrize("seed", range(5))
def test_title_and_ring_name_the_same_epoch(seed: int, monitor: str, tmp_path: Path) -> None:
    drawn = np.random.default_rng(seed).random((8, 2))
    history = [
        {"epoch": epoch, "loss": 1.0, "val_loss": loss, "val_accuracy": accuracy}
        for epoch, (loss, accuracy) in enumerate(drawn, 1)
    ]
    plots.learning_curve(history, tmp_path / "plot.svg", best_by=BestBy(monitor))
    text = svg_text(tmp_path / "plot.svg")
    titled = re.search(r"Validation accuracy (.+ %) in epoch (\d)", text)
    ringed = re.search(r"epoch (\d), best by \w+: (.+ %)", text)
    assert titled is not None
    assert ringed is not None
    assert titled.groups() == ringed.groups()[::-1]
    best = drawn[:, 0].argmin() if monitor == "val_loss" else drawn[:, 1].argmax()
    assert int(titled[2]) == best + 1


@pytest.mark.parametrize("history", [[], [{"loss": 1.0}]])
def test_learning_curve_of_no_epochs(history: list[dict[str, Any]], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no epochs"):
        plots.learning_curve(history, tmp_path / "plot.png")
