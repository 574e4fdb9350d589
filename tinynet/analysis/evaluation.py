"""The evaluation of a classifier: every figure from labels and predictions, as a page, JSON and pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from tinynet import metrics, plots
from tinynet.io.lock import one_at_a_time
from tinynet.io.markdown import count, markdown_table, percent, write_json, write_page
from tinynet.types import Array

FIRST = 5
"""Predictions shown beside their labels."""
MISTAKES = 24
"""The most confident of them, shown as pictures."""
SHEET = "disagreement.png"
"""Of several nets: see `disagreement`."""
SOMETIMES = ("roc.png", "precision-recall.png", "mistakes.png", SHEET)
"""Pictures that not every evaluation has."""
CLASS_COLUMNS = ("class", "precision", "recall", "F1", "ROC-AUC", "AP", "images")
COLUMN_KEYS = ("precision", "recall", "f1", "roc_auc", "average_precision")


def share_right(labels: Array, predicted: Array) -> dict[str, Any]:
    """The `errors`, the `accuracy`, and its 95 % `interval` (Wilson).

    labels (N,)   predicted (N,)   Raises as `metrics.accuracy` does.
    """
    accuracy = metrics.accuracy(labels, predicted)
    errors = int((labels != predicted).sum())
    wilson = metrics.wilson_interval(len(labels) - errors, len(labels))
    return {"errors": errors, "accuracy": accuracy, "interval": wilson}


def interval(found: Mapping[str, Any]) -> str:
    """The 95 % interval of `share_right`, in words: 98.76 to 99.87 %."""
    low, high = found["interval"]
    return f"{100 * low:.2f} to {percent(high)}"


def class_figures(labels: Array, predicted: Array, classes: Sequence[str]) -> dict[str, Any]:
    """Accuracy with its 95 % interval, the figures of each class and their means, the confusion matrix.

    labels (N,)   predicted (N,)   classes: K names. Raises as `metrics.classification_report` does.
    """
    figures = metrics.classification_report(labels, predicted, len(classes))
    confusion = metrics.confusion_matrix(labels, predicted, len(classes))
    columns = zip(classes, figures.precision, figures.recall, figures.f1, figures.support, strict=True)
    return {
        "samples": len(labels),
        **share_right(labels, predicted),
        "macro_precision": figures.macro_precision,
        "macro_recall": figures.macro_recall,
        "macro_f1": figures.macro_f1,
        "weighted_precision": figures.weighted_precision,
        "weighted_recall": figures.weighted_recall,
        "weighted_f1": figures.weighted_f1,
        "classes": [
            dict(zip(("name", "precision", "recall", "f1", "support"), c, strict=True)) for c in columns
        ],
        "confusion": confusion,
    }


def figures(labels: Array, probabilities: Array, classes: Sequence[str]) -> dict[str, Any]:
    """The figures of `class_figures`; of each class against the rest the areas under its ROC and
    precision-recall curves, with their means over the classes that have them; calibration; the first rows.

    labels (N,)   probabilities (N, K)   classes: K names. Raises as the functions of `metrics` do.
    """
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    found = class_figures(labels, predicted, classes)
    rankings = metrics.one_against_rest(labels, probabilities)
    support = np.array([c["support"] for c in found["classes"]])
    for key in ("roc_auc", "average_precision"):
        areas = np.array([getattr(ranking, key) for ranking in rankings])
        for c, area in zip(found["classes"], areas, strict=True):
            c[key] = float(area)
        known = ~np.isnan(areas)
        found[f"macro_{key}"] = float(areas[known].mean()) if known.any() else np.nan
        found[f"weighted_{key}"] = (
            float(areas[known] @ support[known] / support[known].sum()) if known.any() else np.nan
        )
    calibration = metrics.calibration(labels, probabilities)
    found["calibration"] = {
        "expected_calibration_error": calibration.error,
        "mean_confidence": float(confidence.mean(dtype=np.float64)),
        "bins": len(calibration.count),
        "count": calibration.count,
        "confidence": calibration.confidence,
        "accuracy": calibration.accuracy,
    }
    found["first"] = [
        {
            "index": i,
            "label": classes[labels[i]],
            "predicted": classes[predicted[i]],
            "confidence": float(confidence[i]),
        }
        for i in range(min(FIRST, len(labels)))
    ]
    return found


def write_evaluation(
    folder: Path,
    *,
    images: Array,
    labels: Array,
    probabilities: Array,
    classes: Sequence[str],
    about: Mapping[str, Any],
    remarks: Sequence[str] = (),
    pictures: Mapping[str, Callable[[Path], None]] = MappingProxyType({}),
) -> dict[str, Any]:
    """Write evaluation.md, evaluation.json and the pictures into `folder`, which is made where it is missing.

    images (N, H, W, C) uint8, C 1 or 3   labels (N,)   probabilities (N, K)   classes: K names
    about: `model` and `data`, in words, and what else is to be kept   remarks: blocks below the headline
    pictures: more of them, by the names of their files, which `remarks` link: what draws each
    Returns what evaluation.json holds (a NaN there is null).

    Each file is written atomically, evaluation.md last. Raises as `figures` does, before anything is
    written, and RunError if the folder cannot be made.
    """
    found: dict[str, Any] = {**about, **figures(labels, probabilities, classes)}
    return _write(folder, found, images, labels, probabilities, classes, remarks, pictures)


@one_at_a_time
def _write(
    folder: Path,
    found: dict[str, Any],
    images: Array,
    labels: Array,
    probabilities: Array,
    classes: Sequence[str],
    remarks: Sequence[str],
    more: Mapping[str, Callable[[Path], None]],
) -> dict[str, Any]:
    # an interruption leaves no old page beside new pictures; nor does an old picture stay that this has not
    for old in ("evaluation.md", "evaluation.json", *SOMETIMES):
        (folder / old).unlink(missing_ok=True)
    rankings = metrics.one_against_rest(labels, probabilities)
    pictures = {"Confusion matrix": "confusion-matrix.png", "Reliability": "reliability.png"}
    plots.confusion_matrix(found["confusion"], classes, folder / "confusion-matrix.png")
    plots.reliability(metrics.calibration(labels, probabilities), folder / "reliability.png")
    if any(ranking.is_curve for ranking in rankings):
        pictures |= {"ROC curves": "roc.png", "Precision and recall": "precision-recall.png"}
        plots.roc(rankings, classes, folder / "roc.png")
        plots.precision_recall(rankings, classes, folder / "precision-recall.png")
    if found["errors"]:
        pictures["Mistakes"] = "mistakes.png"
        draw_mistakes(images, labels, probabilities, classes, folder / "mistakes.png")
    for name, draw in more.items():
        draw(folder / name)
    written: dict[str, Any] = write_json(folder / "evaluation.json", found)
    write_page(folder / "evaluation.md", _blocks(found, pictures, remarks))
    return written


def draw_mistakes(
    images: Array, labels: Array, probabilities: Array, classes: Sequence[str], path: Path
) -> None:
    """Draw the wrong predictions of which the model was surest, at least one, each with the image's number
    among all, counted from 0.

    images (N, H, W, C) uint8, C 1 or 3   labels (N,)   probabilities (N, K)   classes: K names
    """
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(labels != predicted)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:MISTAKES]
    titles = [
        f"#{i}: {classes[labels[i]]}, predicted\n{classes[predicted[i]]} ({100 * confidence[i]:.0f} %)"
        for i in worst
    ]
    shown = "all" if len(wrong) == len(worst) else f"the most confident {len(worst)} of"
    plots.digits(
        images[worst], titles, path, title=f"Mistakes: {shown} {len(wrong):,} (#: number of the image)"
    )


def class_table(found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """A row of text for each class of `figures`, then for their means, under CLASS_COLUMNS."""
    rows = [
        (c["name"], *(_figure(c[key]) for key in COLUMN_KEYS), f"{c['support']:,}") for c in found["classes"]
    ]
    means = [
        (mean, *(_figure(found[f"{mean}_{key}"]) for key in COLUMN_KEYS), f"{found['samples']:,}")
        for mean in ("macro", "weighted")
    ]
    return rows + means


def _figure(value: float) -> str:
    return "not defined" if np.isnan(value) else f"{value:.4f}"


def _blocks(found: Mapping[str, Any], pictures: Mapping[str, str], remarks: Sequence[str]) -> list[str]:
    calibration = found["calibration"]
    return [
        f"# {percent(found['accuracy'])} of {count(found['samples'])} images right",
        f"{found['model']} on {found['data']}: {count(found['errors'])} errors. The 95 % interval of the"
        f" accuracy (Wilson) is {interval(found)}. The expected calibration error is"
        f" {percent(calibration['expected_calibration_error'])} over {calibration['bins']} bins: a mean"
        f" confidence of {percent(calibration['mean_confidence'])}.",
        *remarks,
        "## Classes",
        markdown_table(CLASS_COLUMNS, class_table(found)),
        "ROC-AUC and average precision are of each class against the rest. Macro means weight classes"
        " equally, weighted means by their images; a class without a curve is left out of the mean.",
        "## First predictions",
        markdown_table(
            ("image", "label", "predicted", "confidence"),
            [(p["index"], p["label"], p["predicted"], percent(p["confidence"])) for p in found["first"]],
        ),
        *(f"![{name}]({file})" for name, file in pictures.items()),
    ]
