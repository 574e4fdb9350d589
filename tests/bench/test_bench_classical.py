"""The page of the classical report: its figures beside the reference's."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from click.testing import CliRunner

from tinynet.analysis.evaluation import class_figures
from tinynet.io.markdown import plain

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

import classical

LABELS = np.arange(100) % 10


def model(name: str, wrong: int) -> dict[str, object]:
    """A model that takes the first so many digits for the next one."""
    found = class_figures(LABELS, np.where(np.arange(100) < wrong, (LABELS + 1) % 10, LABELS), "0123456789")
    costs = {"trained_on": 400, "fit_seconds": 1.5, "predict_seconds": 0.5, "numbers": 10, "bytes": 2**20}
    return {"name": name, "validation": found, "test": found, **costs}


def test_the_page_has_each_model_and_the_reference_beside_its_own(tmp_path: Path) -> None:
    names = [*classical.REFERENCE, "cnn (cnn-1)"]
    report = {
        "rows": {"train": 400, "validation": 100, "test": 100},
        "pca": {"kept": 7, "validation_error": 12.34},
        "models": [model(name, wrong) for wrong, name in enumerate(names)],
        "facts": {"seed": 42, "threads": 1},
        "machine": {"cpu": "a processor", "cores": 2},
        "versions": {"numpy": "2"},
    }
    (tmp_path / "report.json").write_text(json.dumps(plain(report)))
    page = tmp_path / "page.md"
    CliRunner().invoke(classical.main, [str(tmp_path), "--out", str(page)], catch_exceptions=False)
    text = page.read_text(encoding="utf-8")
    assert "| k-means | 98.00 % | 60 % | 98.00 % | 59.11 % |" in text
    assert "| components | 7 | 153 |" in text
    assert "| reconstruction MSE, validation rows | 12.3 | 220.2 |" in text
    assert text.count("| cnn (cnn-1) |") == 1
    assert "tinynet reproduce R4" in text
