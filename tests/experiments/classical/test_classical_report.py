"""The report: its figures recomputed from what lies beside it."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
from fitted import Fitted
from sklearn import metrics as sk

from tinynet.experiments import classical
from tinynet.experiments.classical.rows import Rows

FACTS = {"command": "tinynet classical --seed 42", "seed": 42, "threads": 1}


Written: TypeAlias = tuple[Path, dict[str, Any]]


@pytest.fixture(scope="session")
def written(fitted: Fitted, rows: Rows, tmp_path_factory: pytest.TempPathFactory) -> Written:
    """The folder of a report, and what was returned; look, do not touch."""
    folder = tmp_path_factory.mktemp("report")
    return folder, classical.write_report(folder, rows, fitted.components, [*fitted.results.values()], FACTS)


def test_every_figure_follows_from_the_predictions(written: Written, rows: Rows) -> None:
    folder, report = written
    with open(folder / "predictions.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    labels = [int(line["label"]) for line in lines]
    assert labels == rows.validation.labels.tolist()
    for model in report["models"]:
        predicted = [int(line[model["name"]]) for line in lines]
        expected = sk.classification_report(labels, predicted, output_dict=True, zero_division=0)
        found = model["validation"]
        assert found["accuracy"] == pytest.approx(expected["accuracy"])
        assert found["macro_f1"] == pytest.approx(expected["macro avg"]["f1-score"])
        for digit in found["classes"]:
            assert digit["f1"] == pytest.approx(expected[digit["name"]]["f1-score"])


def test_submissions_hold_the_predictions_of_the_test_table(
    written: Written, fitted: Fitted, rows: Rows
) -> None:
    folder, report = written
    for model in report["models"]:
        lines = (folder / f"submission-{model['slug']}.csv").read_text().splitlines()
        predicted = fitted.results[model["name"]].test_predicted
        assert lines == ["ImageId,Label", *(f"{i},{digit}" for i, digit in enumerate(predicted, 1))]
        assert model["test"]["accuracy"] == np.mean(predicted == rows.test_labels)


def test_the_page_says_what_the_json_says(written: Written, rows: Rows) -> None:
    folder, report = written
    assert json.loads((folder / "report.json").read_text(), parse_constant=pytest.fail) == report
    page = (folder / "report.md").read_text()
    assert rows.source in page
    assert "WARNING: this is the bundled sample" in page
    assert f"| components kept | {report['pca']['kept']} of {len(report['pca']['shares'])} |" in page
    for model in report["models"]:
        assert f"| {model['name']} | {100 * model['validation']['accuracy']:.2f} % |" in page
    for line in page.splitlines():
        if line.startswith("!["):
            assert (folder / line.partition("(")[2].rstrip(")")).read_bytes().startswith(b"\x89PNG")
    assert "tinynet classical --seed 42" in page


def test_rows_that_were_seen_are_counted(fitted: Fitted, rows: Rows, tmp_path: Path) -> None:
    leaky = dataclasses.replace(rows, test=np.concatenate([rows.test[:-7], rows.train.images[:7]]))
    report = classical.write_report(tmp_path, leaky, fitted.components, [fitted.results["k-means"]], {})
    assert report["rows"]["in_train"] == {"validation": 0, "test": 7}
    page = (tmp_path / "report.md").read_text()
    assert "0 of the validation rows and 7 of the test table's are also among the training rows" in page
