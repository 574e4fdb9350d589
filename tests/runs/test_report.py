"""The report: each figure recomputed here from what went in, by other means."""

from __future__ import annotations

import errno
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn import metrics as sk

from tinynet.errors import DataError, RunError, ShapeError
from tinynet.history import BestBy
from tinynet.runs.report import Report, read_report, write_report

CLASSES = ["zero", "one", "two|three", "never"]
HISTORY: list[dict[str, Any]] = [
    {
        "epoch": 1,
        "loss": 0.9,
        "accuracy": 0.6,
        "val_loss": 0.8,
        "val_accuracy": 0.70,
        "seconds": 3.0,
        "learning_rate": 0.1,
    },
    {
        "epoch": 2,
        "loss": 0.5,
        "accuracy": 0.8,
        "val_loss": 0.4,
        "val_accuracy": 0.85,
        "seconds": 1.0,
        "learning_rate": 0.1,
    },
    {
        "epoch": 3,
        "loss": 0.4,
        "accuracy": 0.9,
        "val_loss": 0.6,
        "val_accuracy": 0.85,
        "seconds": 1.5,
        "learning_rate": 0.01,
    },
]
FACTS: dict[str, Any] = {
    "command": "tinynet train --seed 1234567",
    "notice": "the bundled sample was used",
    "backend": "numba",
    "threads": 2,
    "dtype": "float32",
    "seed": 1234567,
    "parameters": 121930,
    "evaluation_seconds": 0.25,
    "data": {"name": "mnist", "source": "bundled sample", "hash": "sha256:00ff"},
}
_rng = np.random.default_rng(3)
LABELS = _rng.integers(0, 3, 500)
PREDICTED = np.where(_rng.random(500) < 0.2, _rng.integers(0, 3, 500), LABELS)


def _write(folder: Path, **changes: Any) -> tuple[Report, str]:
    given: dict[str, Any] = {
        "config": {"epochs": 3, "folder": folder, "shape": (28, 28, 1), "rate": np.float64(0.5)},
        "history": HISTORY,
        "labels": LABELS,
        "predicted": PREDICTED,
        "classes": CLASSES,
        "facts": FACTS,
    }
    report = write_report(folder, **(given | changes))
    return report, (folder / "report.md").read_text(encoding="utf-8")


def _row(text: str, name: str) -> list[str]:
    """The cells of the Markdown row that starts with `name`."""
    line = next(line for line in text.splitlines() if line.startswith(f"| {name} |"))
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[2:-1]]


def test_json_and_result_are_the_same(tmp_path: Path) -> None:
    report, _ = _write(tmp_path)
    text = (tmp_path / "report.json").read_text(encoding="utf-8")
    assert json.loads(text, parse_constant=pytest.fail) == report
    assert report["config"] == {"epochs": 3, "folder": str(tmp_path), "shape": [28, 28, 1], "rate": 0.5}
    assert report["facts"] == FACTS
    assert report["history"] == HISTORY


def test_figures_of_the_test_set(tmp_path: Path) -> None:
    report, text = _write(tmp_path)
    test = report["test"]
    errors = sum(a != b for a, b in zip(LABELS, PREDICTED, strict=True))
    assert (test["samples"], test["errors"]) == (500, errors)
    assert test["accuracy"] == pytest.approx(1 - errors / 500)
    assert text.startswith(f"# {100 - errors / 5:.2f} % of 500 test samples right\n")
    low, high = test["interval"]
    assert low < test["accuracy"] < high
    assert f"{100 * low:.2f} % to {100 * high:.2f} %" in text
    np.testing.assert_array_equal(test["confusion"], sk.confusion_matrix(LABELS, PREDICTED, labels=range(4)))
    expected = sk.classification_report(
        LABELS, PREDICTED, labels=range(4), target_names=CLASSES, output_dict=True, zero_division=0
    )
    assert test["macro_f1"] == pytest.approx(expected["macro avg"]["f1-score"])
    assert [c["name"] for c in test["classes"]] == CLASSES
    for figures in test["classes"]:
        theirs = expected[figures["name"]]
        ours = [figures[key] for key in ("precision", "recall", "f1", "support")]
        assert ours == pytest.approx([theirs[k] for k in ("precision", "recall", "f1-score", "support")])
        cells = [f"{value:.4f}" for value in ours[:3]] + [str(ours[3])]
        assert _row(text, figures["name"].replace("|", "\\|")) == cells


def test_figures_of_the_training(tmp_path: Path) -> None:
    report, text = _write(tmp_path)
    assert report["training"] == {
        "epochs": 3,
        "best_by": "val_loss",
        "best_epoch": 2,
        "best_val_loss": 0.4,
        "best_val_accuracy": 0.85,
        "final_epoch": 3,
        "final_loss": 0.4,
        "final_accuracy": 0.9,
        "final_val_loss": 0.6,
        "final_val_accuracy": 0.85,
        "seconds_per_epoch": 1.5,
        "seconds_total": 5.5,
    }
    rows = {
        "epochs": "3",
        "best epoch": "2",
        "best by": "val_loss",
        "final weights, of epoch": "3",
        "validation loss of the best epoch": "0.4000",
        "validation accuracy of the best epoch": "85.00 %",
        "training loss, while it learned": "0.4000",
        "final validation loss": "0.6000",
        "time per epoch, median": "1.5 s",
        "time of all epochs": "5.5 s",
        "time of the evaluation": "0.25 s",
        "parameters": "121,930",
        "seed": "1234567",
        "data set": "mnist",
        "hash": "sha256:00ff",
        "backend": "numba",
    }
    assert {name: _row(text, name) for name in rows} == {name: [value] for name, value in rows.items()}


def test_figures_of_weights_that_early_stopping_put_back_are_those_of_their_epoch(tmp_path: Path) -> None:
    """Not those of the last epoch, whose weights were thrown away."""
    training = _write(tmp_path, best_by=BestBy("val_loss", 0.0, True))[0]["training"]
    assert (training["best_epoch"], training["final_epoch"], training["epochs"]) == (2, 2, 3)
    assert (training["final_val_loss"], training["final_val_accuracy"]) == (0.4, 0.85)
    assert (training["final_loss"], training["final_accuracy"]) == (0.5, 0.8)


def test_the_plots_are_there_and_linked(tmp_path: Path) -> None:
    _, text = _write(tmp_path)
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", text)
    assert pictures == ["learning-curve.png", "confusion-matrix.png"]
    for name in pictures:
        with Image.open(tmp_path / name) as image:
            image.verify()
    assert sorted(os.listdir(tmp_path)) == sorted([*pictures, "report.json", "report.md"])


def test_the_notice_is_loud_and_the_command_is_there(tmp_path: Path) -> None:
    _, text = _write(tmp_path)
    assert text.splitlines()[2] == "> **WARNING: the bundled sample was used**"
    assert text.endswith("```sh\ntinynet train --seed 1234567\n```\n")


def test_a_bare_run_says_what_was_not_recorded(tmp_path: Path) -> None:
    report, text = _write(tmp_path, history=[{"epoch": 1, "loss": float("nan")}], facts={})
    assert "WARNING" not in text
    assert "Reproduce" not in text
    assert report["training"]["final_loss"] is None
    assert _row(text, "training loss, while it learned") == ["nan"]
    for name in ("best epoch", "time per epoch, median", "seed", "data set", "parameters"):
        assert _row(text, name) == ["not recorded"]


def test_validation_every_other_epoch_reports_the_last_made(tmp_path: Path) -> None:
    history = [*HISTORY, {"epoch": 4, "loss": 0.3, "accuracy": 0.95, "val_loss": None}]
    training = _write(tmp_path, history=history)[0]["training"]
    assert (training["final_loss"], training["final_val_loss"], training["epochs"]) == (0.3, 0.6, 4)


def test_the_same_input_makes_the_same_files(tmp_path: Path) -> None:
    _write(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    _write(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"history": []}, DataError),
        ({"labels": LABELS[:-1]}, ShapeError),
        ({"classes": CLASSES[:2]}, DataError),
        ({"classes": []}, ShapeError),
    ],
)
def test_nonsense_writes_nothing(changes: dict[str, Any], error: type[Exception], tmp_path: Path) -> None:
    with pytest.raises(error):
        _write(tmp_path, **changes)
    assert os.listdir(tmp_path) == []


def test_a_full_disk_keeps_the_old_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    _write(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        _write(tmp_path, facts={})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        _write(tmp_path / "nowhere")


def test_a_notebook_shows_the_main_figures(tmp_path: Path) -> None:
    report, _ = _write(tmp_path, facts={**FACTS, "backend": "<b>numba</b>"})
    shown = report._repr_html_()
    test = report["test"]
    assert f"<caption>{100 * test['accuracy']:.2f} % of 500 test samples right</caption>" in shown
    assert "<tr><td>validation accuracy of the best epoch</td><td>85.00 %</td></tr>" in shown
    assert "&lt;b&gt;numba&lt;/b&gt;" in shown
    assert "<b>" not in shown
    assert list(report) == list(json.loads((tmp_path / "report.json").read_text()))
    assert len(report) == 7
    assert "test samples right; keys test, training" in repr(report)


def test_a_notebook_shows_a_bare_report(tmp_path: Path) -> None:
    report, _ = _write(tmp_path, history=[{"epoch": 1, "loss": 0.5}], facts={})
    assert "<tr><td>seed</td><td>not recorded</td></tr>" in report._repr_html_()


@pytest.mark.parametrize(
    "content",
    ["[]", "null", "5", "", "{}", "[" * 10_000, '{"test": 1}', None, "test", "training", "facts", "machine"],
)
def test_a_damaged_report_is_a_sentence(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "report.json"
    if content is None:
        path.write_bytes(b'{"test": "\xff"}')
    elif content in (table := dict(_write(tmp_path)[0])):
        path.write_text(json.dumps(table | {content: [1]}))
    else:
        path.write_text(content)
    with pytest.raises(RunError, match=r"report.json is damaged(.|\n)*fix: delete"):
        read_report(tmp_path)


def test_a_report_is_read_back(tmp_path: Path) -> None:
    written = dict(_write(tmp_path)[0])
    assert dict(read_report(tmp_path)) == written
    (tmp_path / "report.json").unlink()
    with pytest.raises(RunError, match="has no report"):
        read_report(tmp_path)
