"""The evaluation: each figure recomputed here from what went in, by other means."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tinynet.analysis import evaluation
from tinynet.errors import DataError, ShapeError

sk = pytest.importorskip("sklearn.metrics", reason="scikit-learn, to compare with, is in the extra 'test'")

CLASSES = ["zero", "one", "two|three"]
_rng = np.random.default_rng(3)
LABELS = _rng.integers(0, 3, 200)
PROBABILITIES = _rng.dirichlet(np.ones(3), 200) * 0.5 + 0.5 * np.eye(3)[LABELS]
PROBABILITIES[:20] = np.roll(PROBABILITIES[:20], 1, axis=1)
IMAGES = _rng.integers(0, 256, (200, 5, 4, 1), dtype=np.uint8)


def _write(folder: Path, **changes: Any) -> tuple[dict[str, Any], str]:
    given: dict[str, Any] = {
        "images": IMAGES,
        "labels": LABELS,
        "probabilities": PROBABILITIES,
        "classes": CLASSES,
        "about": {"model": "a-run", "data": "200 images"},
    }
    written = evaluation.write_evaluation(folder, **(given | changes))
    return written, (folder / "evaluation.md").read_text(encoding="utf-8")


def test_figures() -> None:
    found = evaluation.figures(LABELS, PROBABILITIES, CLASSES)
    predicted = PROBABILITIES.argmax(axis=1)
    expected = sk.classification_report(LABELS, predicted, target_names=CLASSES, output_dict=True)
    assert 0 < found["errors"] == (predicted != LABELS).sum()
    for k, c in enumerate(found["classes"]):
        assert c["precision"] == pytest.approx(expected[c["name"]]["precision"])
        positive, scores = k == LABELS, PROBABILITIES[:, k]
        assert c["roc_auc"] == pytest.approx(sk.roc_auc_score(positive, scores))
        assert c["average_precision"] == pytest.approx(sk.average_precision_score(positive, scores))
    for mean in ("macro", "weighted"):
        theirs = sk.roc_auc_score(LABELS, PROBABILITIES, multi_class="ovr", average=mean)
        assert found[f"{mean}_roc_auc"] == pytest.approx(theirs)
        assert found[f"{mean}_f1"] == pytest.approx(expected[f"{mean} avg"]["f1-score"])
    assert found["calibration"]["bins"] == 15
    assert found["calibration"]["mean_confidence"] == pytest.approx(PROBABILITIES.max(axis=1).mean())
    assert [first["label"] for first in found["first"]] == [CLASSES[k] for k in LABELS[:5]]
    assert [first["confidence"] for first in found["first"]] == PROBABILITIES.max(axis=1)[:5].tolist()


def test_the_folder_has_the_page_the_figures_and_the_pictures_it_links(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "evaluation"
    written, text = _write(folder)
    assert json.loads((folder / "evaluation.json").read_text(), parse_constant=pytest.fail) == written
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", text)
    assert len(pictures) == 5
    assert sorted(os.listdir(folder)) == sorted([*pictures, "evaluation.json", "evaluation.md"])
    for name in pictures:
        with Image.open(folder / name) as image:
            image.verify()
    assert text.startswith(f"# {100 * written['accuracy']:.2f} % of 200 images right\n")
    assert "| two\\|three | " in text
    assert f"| macro | {written['macro_precision']:.4f} | " in text


def test_the_mistakes_of_which_the_model_was_surest_come_first(tmp_path: Path) -> None:
    path = tmp_path / "mistakes.svg"
    evaluation.draw_mistakes(IMAGES, LABELS, PROBABILITIES, ["a", "b", "c"], path)
    shares = [int(share) for share in re.findall(r"\((\d+) %\) -->", path.read_text(encoding="utf-8"))]
    wrong = PROBABILITIES.argmax(axis=1) != LABELS
    expected = np.sort(PROBABILITIES.max(axis=1)[wrong])[::-1][: evaluation.MISTAKES]
    assert len(shares) == len(expected) > 3
    assert shares == [int(f"{100 * share:.0f}") for share in expected]


def test_one_class_alone_has_no_curves_and_a_perfect_model_no_mistakes(tmp_path: Path) -> None:
    certain = np.eye(3)[np.zeros(200, int)]
    written, text = _write(tmp_path, labels=np.zeros(200, int), probabilities=certain)
    assert written["macro_roc_auc"] is None
    assert written["classes"][1]["average_precision"] is None
    assert written["calibration"]["expected_calibration_error"] == 0
    assert "| macro | 0.3333 | 0.3333 | 0.3333 | not defined | 1.0000 | 200 |" in text
    assert {"roc.png", "precision-recall.png", "mistakes.png"}.isdisjoint(os.listdir(tmp_path))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"labels": LABELS[:-1]}, ShapeError),
        ({"labels": LABELS + 1}, DataError),
        ({"probabilities": 2 * PROBABILITIES}, DataError),
        ({"classes": CLASSES[:2]}, DataError),
    ],
)
def test_nonsense_writes_nothing(changes: dict[str, Any], error: type[Exception], tmp_path: Path) -> None:
    with pytest.raises(error):
        _write(tmp_path / "folder", **changes)
    assert os.listdir(tmp_path) == []
