"""The short report of a run: every figure in it is computed here, from the history and the predictions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from tinynet import machine, plots
from tinynet.analysis.evaluation import class_figures
from tinynet.errors import RunError, ShapeError
from tinynet.history import BY_LOSS, BestBy
from tinynet.io import html
from tinynet.io.atomic import write_atomic
from tinynet.io.markdown import (
    NOT_RECORDED,
    count,
    duration,
    figure,
    markdown_table,
    page,
    percent,
    run_section,
    warning,
    write_json,
)
from tinynet.io.reading import read_json, reason
from tinynet.printable import counted, quoted
from tinynet.runs import leakage
from tinynet.types import Array

SOMETIMES = (
    ("processes", "processes"),
    ("started from", "started_from"),
    ("hash of those weights", "started_from_sha256"),
    ("re-initialised", "reinitialised"),
    ("frozen", "frozen"),
)
"""Rows of the page for a run of several processes, or one that did not start from random weights."""

KEYS = ("test", "training", "facts", "machine", "versions", "config", "history")
MAX_BYTES = 2**25
"""Of a report.json; ours have 200 for each epoch."""


class Report(Mapping[str, Any]):
    """What a run's report.json holds, by key: `test`, `training`, `facts`, `history`, …

    A notebook shows the main figures as a table.
    """

    def __init__(self, content: Mapping[str, Any]) -> None:
        self.content = content

    def __getitem__(self, key: str) -> Any:
        return self.content[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.content)

    def __len__(self) -> int:
        return len(self.content)

    def __repr__(self) -> str:
        return f"<{headline(self)}; keys {', '.join(self)}>"

    def _repr_html_(self) -> str:
        facts = self["facts"]
        rows = [
            *test_rows(self["test"]),
            *training_rows(self["training"]),
            *((key, facts.get(key, NOT_RECORDED)) for key in ("parameters", "seed", "backend", "threads")),
        ]
        return html.html_table(("", ""), rows, caption=headline(self))


def write_report(
    folder: Path,
    *,
    config: Mapping[str, Any],
    history: Sequence[Mapping[str, Any]],
    best_by: BestBy = BY_LOSS,
    labels: Array,
    predicted: Array,
    classes: Sequence[str],
    facts: Mapping[str, Any],
) -> Report:
    """Write report.md, report.json, learning-curve.png and confusion-matrix.png into `folder`.

    history    as for `plots.learning_curve`, with `seconds`, the time each epoch took
    best_by    what makes an epoch the best one, and whether its weights are the final ones
    labels (N,)   predicted (N,)   of the test set   classes: the names of the K classes
    facts      what only the caller knows, each optional: `command` (reproduces the run), `notice` (a
               warning to print on top, such as that the bundled sample was used), `backend`, `threads`,
               `dtype`, `seed`, `parameters`, `evaluation_seconds`, and `data`, a mapping with `name`,
               `source` and `hash`. For a run of several `processes` their number; for one that did not
               start from random weights those of `runs.origin`; for one with a picture health.png a
               sentence on it, `health`. Others are kept in the JSON.

    Returns what report.json holds (a NaN
    there is null). The files are written one by one, each atomically, report.md last.

    Raises ShapeError, DTypeError or DataError if the history or the predictions make no sense, and OSError
    if the folder does not exist or cannot be written.
    """
    if not len(classes):
        raise ShapeError(
            "a report needs the names of the classes",
            expected="K names",
            received="none",
            fix="pass the classes of the data set",
        )
    report: dict[str, Any] = {
        "test": class_figures(labels, predicted, classes) if len(labels) else None,
        "training": summarise(history, best_by),
        "facts": facts,
        "machine": machine.facts(),
        "versions": machine.versions(),
        "config": config,
        "history": history,
    }
    folder = Path(folder)
    plots.learning_curve(history, folder / "learning-curve.png", best_by=best_by)
    if test := report["test"]:
        plots.confusion_matrix(test["confusion"], classes, folder / "confusion-matrix.png")
    written = Report(write_json(folder / "report.json", report))
    write_atomic(folder / "report.md", markdown(report).encode(errors="backslashreplace"))
    return written


def summarise(history: Sequence[Mapping[str, Any]], best_by: BestBy = BY_LOSS) -> dict[str, Any]:
    """The figures of a training: of its best epoch, of the one whose weights are the final ones, its time."""
    seconds = [row["seconds"] for row in history if row.get("seconds") is not None]
    best, final = best_by.best(history) or {}, best_by.final(history) or {}
    kept = [row for row in history if row["epoch"] <= final["epoch"]]
    return {
        "epochs": len(history),
        "best_by": best_by.monitor,
        "best_epoch": best.get("epoch"),
        "best_val_loss": best.get("val_loss"),
        "best_val_accuracy": best.get("val_accuracy"),
        "final_epoch": final.get("epoch"),
        "final_loss": _last(kept, "loss"),
        "final_accuracy": _last(kept, "accuracy"),
        "final_val_loss": _last(kept, "val_loss"),
        "final_val_accuracy": _last(kept, "val_accuracy"),
        "seconds_per_epoch": median(seconds) if seconds else None,
        "seconds_total": math.fsum(seconds) if seconds else None,
    }


def _last(history: Sequence[Mapping[str, Any]], key: str) -> Any:
    """The last value recorded; validation may run every few epochs only."""
    return next((row[key] for row in reversed(history) if row.get(key) is not None), None)


def read_report(folder: Path) -> Report:
    """What report.json in a run's folder holds. Raises RunError where there is none, or it is damaged."""
    path = folder / "report.json"
    try:
        content = read_json(path, MAX_BYTES)
        lacking = [key for key in KEYS if key not in content]
        if not isinstance(content, dict) or lacking:
            raise ValueError(f"no {', '.join(lacking or KEYS)}")
        tested = (("test", "accuracy"), ("test", "macro_f1")) if content["test"] else ()
        for part, name in (*tested, ("training", "seconds_total")):
            if not isinstance(content[part][name], int | float):
                raise ValueError(f"{part}: {name} is {content[part][name]!r}")
        markdown(content)  # which looks at all the rest
    except FileNotFoundError as error:
        raise RunError(
            f"the run in {folder} has no report",
            received="no report.json",
            fix=f"finish it: tinynet train --resume {quoted(folder)}",
        ) from error
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise RunError(
            f"{path} is damaged: it is no report of a run",
            expected=f"a table with {', '.join(KEYS)}",
            received=reason(error),
            fix=f"delete report.md and report.json, then: tinynet train --resume {quoted(folder)}",
        ) from error
    return Report(content)


def headline(report: Mapping[str, Any]) -> str:
    """The result in one line."""
    test = report["test"]
    if not test:
        return "A net without a test"
    return f"{percent(test['accuracy'])} of {counted(test['samples'], 'test sample')} right"


def test_rows(test: Mapping[str, Any] | None) -> list[tuple[str, Any]]:
    """(name, figure) for the main figures of a test; none where there was none."""
    if not test:
        return []
    low, high = test["interval"]
    return [
        ("test accuracy", percent(test["accuracy"])),
        ("95 % interval (Wilson)", f"{percent(low)} to {percent(high)}"),
        ("macro F1", figure(test["macro_f1"])),
    ]


def training_rows(training: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """(name, figure) for each figure of a training, as `summarise` gives them."""
    return [
        ("epochs", training["epochs"]),
        ("best epoch", training["best_epoch"]),
        ("best by", training["best_by"]),
        ("validation accuracy of the best epoch", percent(training["best_val_accuracy"])),
        ("validation loss of the best epoch", figure(training["best_val_loss"])),
        ("final weights, of epoch", training["final_epoch"]),
        ("final validation accuracy", percent(training["final_val_accuracy"])),
        ("final validation loss", figure(training["final_val_loss"])),
        ("training accuracy, while it learned", percent(training["final_accuracy"])),
        ("training loss, while it learned", figure(training["final_loss"])),
        ("time per epoch, median", duration(training["seconds_per_epoch"])),
        ("time of all epochs", duration(training["seconds_total"])),
    ]


def leaked(facts: Mapping[str, Any] | None) -> list[str]:
    """The block that warns of test images which the net has met before; none where there are none."""
    return warning(leakage.sentences(facts)) if facts and not leakage.is_clean(facts) else []


def _tested(test: Mapping[str, Any] | None) -> str:
    """What the test says, in words."""
    if not test:
        return "It learned from all data it was given; none were left to test it with."
    low, high = test["interval"]
    return (
        f"{counted(test['errors'], 'error')}. The 95 % interval of the accuracy (Wilson) is {percent(low)} to"
        f" {percent(high)}; it covers the choice of test samples, not of the seed."
        f" Macro F1 is {figure(test['macro_f1'])}."
    )


def _class_table(test: Mapping[str, Any]) -> str:
    return markdown_table(
        ("class", "precision", "recall", "F1", "support"),
        [
            (c["name"], *(figure(c[key]) for key in ("precision", "recall", "f1")), count(c["support"]))
            for c in test["classes"]
        ],
    )


def markdown(report: Mapping[str, Any]) -> str:
    """The page of a report."""
    test, training, facts = report["test"], report["training"], report["facts"]
    data = facts.get("data") or {}
    blocks = [
        f"# {headline(report)}",
        *warning(facts.get("notice")),
        *leaked(facts.get("leakage")),
        _tested(test),
        f"These figures are of `model.safetensors`, the weights of epoch {training['final_epoch']}.",
        "![Learning curve](learning-curve.png)",
        *(["![Confusion matrix](confusion-matrix.png)"] if test else []),
        *([facts["health"], "![Health of the layers](health.png)"] if facts.get("health") else []),
        "## Training",
        markdown_table(
            ("", ""),
            [
                *training_rows(training),
                ("time of the evaluation", duration(facts.get("evaluation_seconds"))),
            ],
        ),
        *(["## Classes", _class_table(test)] if test else []),
        *run_section(
            [
                ("data set", data.get("name")),
                ("source", data.get("source")),
                *([("parts", data["parts"])] if data.get("parts") else []),
                ("hash", data.get("hash")),
                ("parameters", count(facts.get("parameters"))),
                *((label, facts[key]) for label, key in SOMETIMES if facts.get(key)),
                *((key, facts.get(key)) for key in ("seed", "backend", "threads", "dtype")),
            ],
            report,
        ),
    ]
    return page(blocks)
