"""Cross-validation: each training image is predicted once, by a model that was trained without it.

The training set is cut into K folds with the same share of each class. For each fold a model is trained on
the other K-1 by the recipe, which holds out its validation images from them; the fold serves as test set. The
spread of the K accuracies shows the uncertainty of one.

Each training is a run in a folder of its own: what was interrupted goes on, and what is there already is not
trained again.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tinynet import machine, plots
from tinynet.analysis.evaluation import class_figures
from tinynet.data import folds as folding
from tinynet.data.datasets import Dataset, Split
from tinynet.errors import RunError
from tinynet.io.atomic import write_atomic
from tinynet.io.markdown import (
    duration,
    figure,
    markdown_table,
    percent,
    plain,
    run_section,
    warning,
    write_json,
    write_page,
)
from tinynet.runs import leakage, recipe
from tinynet.runs.folders import check_free
from tinynet.runs.predictions import read_predictions
from tinynet.runs.recipe import Recipe
from tinynet.runs.report import Report, leaked
from tinynet.runs.run import train_once
from tinynet.runs.settings import Settings
from tinynet.training import Callback
from tinynet.types import Array


@dataclass(frozen=True, eq=False)
class Fold:
    """What the model of one fold, counted from 1, came to."""

    number: int
    trained_on: int
    validated_by: int
    indices: Array
    """Of the fold's images (F,) in the training set."""
    predicted: Array
    """The predicted class (F,) of each, …"""
    confidence: Array
    """… and the probability (F,) of that."""
    report: Report
    """Of the run."""


def check_folder(folder: Path) -> None:
    """Raise RunError unless `folder` is new, empty, or has folds to go on with."""
    if not (folder / _name(0)).is_dir():
        check_free(folder)


def check(data: Dataset, folds: int, plan: Recipe, seed: int) -> None:
    """Raise ConfigError for what every fold would raise, before a folder is made."""
    first = folding.part(data, 1, folds, seed)
    plan.training.cut(len(first.train))


def run(
    folder: Path,
    data: Dataset,
    folds: int,
    asked: Settings,
    *,
    threads: int | None = None,
    listen: Callable[[int], Callback] = lambda number: Callback(),
) -> Iterator[Fold]:
    """Train and test fold by fold, each in a folder of its own below `folder`; continue what was interrupted.

    asked: the settings of all, with the hash of the whole data set. `listen(number)` makes a listener for
    each training. Every model begins with the same weights: those of the seed. Raises RunError where a fold
    is there with other settings. Ctrl-C raises KeyboardInterrupt.
    """
    plan, fold = asked.recipe.training, folding.assign(data.train.labels, folds, asked.seed)
    for k in range(folds):
        part = folding.part(data, k + 1, folds, asked.seed)
        own = dataclasses.replace(asked, data_sha256=part.sha256, fold=(k + 1, folds))
        place = folder / _name(k)
        report = train_once(place, own, part, listen=partial(listen, k + 1), threads=threads)
        labels, predicted, confidence, _ = read_predictions(place)
        if not np.array_equal(labels, part.test.labels):
            raise RunError(
                f"the predictions in {place} are of other images",
                expected=f"{len(part.test):,} rows with the labels of the fold",
                received=f"{len(labels):,} rows",
                fix="delete that folder, and repeat the command",
            )
        yield Fold(
            k + 1,
            *plan.cut(len(part.train)),
            np.flatnonzero(fold == k),
            predicted,
            confidence,
            report,
        )


def _name(k: int) -> str:
    """The folder of a fold's run."""
    return f"fold-{k + 1}"


def write_report(
    folder: Path,
    name: str,
    plan: Recipe,
    train: Split,
    classes: Sequence[str],
    results: Sequence[Fold],
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """Write report.md, report.json, predictions.csv and confusion-matrix.png; return what report.json holds.

    `facts` are the caller's: `command`, `notice`, `dataset`, `data_sha256`, `seed`, `threads`, `backend`.
    """
    rows = [figures(fold) for fold in results]
    indices = np.concatenate([fold.indices for fold in results])
    predicted = np.concatenate([fold.predicted for fold in results])
    report: dict[str, Any] = plain(
        {
            "name": name,
            "mean": statistics.fmean(row["accuracy"] for row in rows),
            "deviation": statistics.stdev(row["accuracy"] for row in rows),
            "folds": rows,
            "all": class_figures(train.labels[indices], predicted, classes),
            "leakage": leakage.together(row["leakage"] for row in rows),
            "recipe": recipe.to_toml(plan),
            "facts": facts,
            "machine": machine.facts(),
            "versions": machine.versions(),
        }
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / "predictions.csv", _predictions(train.labels, results).encode())
    plots.confusion_matrix(np.array(report["all"]["confusion"]), classes, folder / "confusion-matrix.png")
    write_json(folder / "report.json", report)
    write_page(folder / "report.md", _blocks(report))
    return report


def summary(report: Mapping[str, Any]) -> str:
    """The mean over the folds, and how far one fold typically lies from it."""
    return f"{100 * report['mean']:.2f} ± {100 * report['deviation']:.2f} %"


COLUMNS = ("fold", "trained on", "tested on", "epochs", "accuracy", "errors", "macro F1", "training")


def cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    """A row of the table of folds."""
    return (
        str(row["fold"]),
        f"{row['trained_on']:,}",
        f"{row['tested_on']:,}",
        str(row["epochs"]),
        percent(row["accuracy"]),
        str(row["errors"]),
        figure(row["macro_f1"]),
        duration(row["seconds"]),
    )


def figures(fold: Fold) -> dict[str, Any]:
    """The figures of a fold."""
    found, training = fold.report["test"], fold.report["training"]
    return {
        "fold": fold.number,
        "trained_on": fold.trained_on,
        "validated_by": fold.validated_by,
        "tested_on": found["samples"],
        "accuracy": found["accuracy"],
        "errors": found["errors"],
        "macro_f1": found["macro_f1"],
        "epochs": training["epochs"],
        "final_loss": training["final_loss"],
        "seconds": training["seconds_total"],
        "stopped": fold.report["facts"].get("stopped"),
        "leakage": fold.report["facts"]["leakage"],
    }


def _predictions(labels: Array, results: Sequence[Fold]) -> str:
    """A CSV line for each training image in order: by the model that was trained without it."""
    lines = {}
    for fold in results:
        for i, guess, p in zip(fold.indices.tolist(), fold.predicted, fold.confidence, strict=True):
            lines[i] = f"{i},{fold.number},{labels[i]},{guess},{p:.6f}"
    return "\n".join(["index,fold,label,predicted,confidence", *(lines[i] for i in sorted(lines))]) + "\n"


def _blocks(report: Mapping[str, Any]) -> list[str]:
    """The page, block by block."""
    rows, whole, facts = report["folds"], report["all"], report["facts"]
    lowest, highest = (pick(row["accuracy"] for row in rows) for pick in (min, max))
    validated = f", with {rows[0]['validated_by']:,} more for validation" if rows[0]["validated_by"] else ""
    return [
        f"# {report['name']}: {summary(report)} over {len(rows)} folds",
        *warning(facts.get("notice")),
        *leaked(report["leakage"]),
        "Accuracy, mean and standard deviation over folds of the training set; the lowest is"
        f" {percent(lowest)}, the highest {percent(highest)}. Each fold holds the same share of every class,"
        f" and its model was trained on the others, {rows[0]['trained_on']:,} images{validated}."
        " Test images were not used.",
        markdown_table(COLUMNS, [cells(row) for row in rows]),
        f"All folds together: {whole['errors']:,} of {whole['samples']:,} wrong, macro F1"
        f" {figure(whole['macro_f1'])}. predictions.csv has each image with what its"
        " fold's model predicted.",
        "![Confusion matrix](confusion-matrix.png)",
        "## Recipe",
        f"```toml\n{report['recipe']}```",
        *run_section(
            [
                ("data set", facts.get("dataset")),
                ("hash of the data", facts.get("data_sha256")),
                *((key, facts.get(key)) for key in ("seed", "backend", "threads")),
            ],
            report,
        ),
    ]
