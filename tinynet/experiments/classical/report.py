"""The classical report: every figure in it is computed here, from predictions and measured times."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinynet import extras, machine, plots
from tinynet.analysis.evaluation import class_figures
from tinynet.data import overlap
from tinynet.data.kaggle import write_submission
from tinynet.experiments.classical.models import ClusterClassifier, Components, Scored
from tinynet.experiments.classical.rows import Rows
from tinynet.io.atomic import write_atomic
from tinynet.io.markdown import (
    duration,
    figure,
    markdown_table,
    percent,
    run_section,
    warning,
    write_json,
    write_page,
)
from tinynet.types import Array

CENTRES_DRAWN = 48


def write_report(
    folder: Path,
    rows: Rows,
    components: Components,
    results: Sequence[Scored],
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """Write the report, its plots, predictions.csv and a submission for each model into `folder`.

    facts: what only the caller knows, each optional: `command` (reproduces the report), `seed`, `threads`
    and `backend`. Returns what report.json holds. The files are written one by one, each atomically,
    report.md last. Raises OSError if the folder does not exist or cannot be written.
    """
    folder = Path(folder)
    report: dict[str, Any] = {
        "rows": {
            "train": len(rows.train),
            "validation": len(rows.validation),
            "test": len(rows.test),
            "source": rows.source,
            "sha256": rows.sha256,
            "notice": rows.notice,
            "in_train": {
                "validation": int(overlap(rows.validation.images, rows.train.images).sum()),
                "test": int(overlap(rows.test, rows.train.images).sum()),
            },
        },
        "pca": vars(components),
        "models": [_judge(rows, result) for result in results],
        "facts": facts,
        "machine": machine.facts(),
        "versions": machine.versions() | {"scikit-learn": extras.load("classical").__version__},
    }
    marks = {"95 %": components.kept}
    plots.explained_variance(components.shares, components.elbow, marks, folder / "explained-variance.png")
    for result, model in zip(results, report["models"], strict=True):
        confusion = model["validation"]["confusion"]
        plots.confusion_matrix(confusion, rows.classes, folder / f"confusion-{model['slug']}.png")
        if result.clusters:
            _draw_centres(result.clusters, rows, folder / f"centres-{model['slug']}.png")
        if len(rows.test):
            write_submission(folder / f"submission-{model['slug']}.csv", result.test_predicted)
    write_atomic(folder / "predictions.csv", _predictions(rows, results).encode())
    written: dict[str, Any] = write_json(folder / "report.json", report)
    write_page(folder / "report.md", _blocks(report))
    return written


def overview(report: Mapping[str, Any]) -> str:
    """All models in one Markdown table."""
    count = f"{report['rows']['validation']:,}"
    quality = ("model", "validation accuracy", "95 % interval", "macro F1", "test accuracy")
    head = (*quality, "trained on", "fit", f"predict {count}", "size")
    return markdown_table(head, [_overview_row(model) for model in report["models"]])


def _judge(rows: Rows, result: Scored) -> dict[str, Any]:
    test = None
    if rows.test_labels is not None and len(rows.test):
        test = class_figures(rows.test_labels, result.test_predicted, rows.classes)
    return {
        "name": result.name,
        "slug": re.sub(r"[^a-z0-9]+", "-", result.name.lower()).strip("-"),
        "run": result.run,
        "trained_on": result.trained_on,
        "fit_seconds": result.fit_seconds,
        "predict_seconds": result.predict_seconds,
        "numbers": result.numbers,
        "bytes": result.bytes,
        "clusters": _clusters(result.clusters, rows) if result.clusters else None,
        "validation": class_figures(rows.validation.labels, result.predicted, rows.classes),
        "test": test,
    }


def _clusters(clusters: ClusterClassifier, rows: Rows) -> dict[str, Any]:
    used = set(clusters.names.tolist())
    return {
        "count": len(clusters.names),
        "empty": int((~clusters.counts.any(axis=1)).sum()),
        "classes_without": [name for k, name in enumerate(rows.classes) if k not in used],
    }


def _draw_centres(clusters: ClusterClassifier, rows: Rows, path: Path) -> None:
    """The centres of the largest clusters as pictures, by class, each under its name and purity."""
    sizes = clusters.counts.sum(axis=1)
    drawn = np.argsort(-sizes, kind="stable")[:CENTRES_DRAWN]
    drawn = drawn[np.argsort(clusters.names[drawn], kind="stable")]
    centres = clusters.clustering.cluster_centers_[drawn]
    images = centres.clip(0, 255).round().astype(np.uint8).reshape(-1, *rows.train.images.shape[1:])
    titles = [_cluster_title(clusters, k, rows.classes) for k in drawn]
    which = "Centres of" if len(drawn) == len(sizes) else f"Centres of the {len(drawn)} largest of"
    title = f"{which} {len(sizes):,} clusters\nclass, and its share of their training images"
    plots.digits(images, titles, path, title=title)


def _cluster_title(clusters: ClusterClassifier, k: int, classes: Sequence[str]) -> str:
    size = int(clusters.counts[k].sum())
    share = clusters.counts[k].max() / max(size, 1)
    return f"{classes[clusters.names[k]]}: {share:.0%} of {size:,}"


def _predictions(rows: Rows, results: Sequence[Scored]) -> str:
    """A CSV line for each validation row: its label, and what each model said."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", "label", *(result.name for result in results)])
    columns: list[Array] = [rows.validation.labels, *(result.predicted for result in results)]
    writer.writerows(zip(range(len(rows.validation)), *columns, strict=True))
    return text.getvalue()


def seen_before(report: Mapping[str, Any]) -> str:
    """How many of the rows that models are tested on they were fitted to, in a sentence."""
    found = report["rows"]["in_train"]
    return (
        f"{found['validation']:,} of the validation rows and {found['test']:,} of the test table's are also"
        " among the training rows, pixel for pixel."
    )


def _blocks(report: Mapping[str, Any]) -> list[str]:
    """The page, block by block."""
    rows, facts = report["rows"], report["facts"]
    best = max(report["models"], key=lambda model: model["validation"]["accuracy"])
    share = percent(best["validation"]["accuracy"])
    return [
        f"# Best of {len(report['models'])}: {best['name']}, {share} of {rows['validation']:,} rows right",
        *warning(rows["notice"]),
        rows["source"],
        overview(report),
        "Intervals are Wilson's; they cover the choice of rows, not of the seed. Times are wall-clock on this"
        " machine; a net's fit is the sum of its epochs in its run's log, and a forest's after PCA includes"
        " the PCA. Size is what the model keeps to predict with."
        + (" Test accuracy is of the test table, whose labels were not used." if best["test"] else ""),
        seen_before(report),
        "## Principal components",
        "![Explained variance](explained-variance.png)",
        _components(report["pca"]),
        *(block for model in report["models"] for block in _model_blocks(model)),
        *run_section(
            [
                ("hash of the data", rows["sha256"]),
                *((key, facts.get(key)) for key in ("seed", "threads", "backend")),
            ],
            report,
        ),
    ]


def _overview_row(model: Mapping[str, Any]) -> tuple[Any, ...]:
    low, high = model["validation"]["interval"]
    return (
        model["name"],
        percent(model["validation"]["accuracy"]),
        f"{100 * low:.2f} to {100 * high:.2f}",
        figure(model["validation"]["macro_f1"]),
        percent(model["test"]["accuracy"]) if model["test"] else "not known",
        f"{model['trained_on']:,}",
        duration(model["fit_seconds"]),
        duration(model["predict_seconds"]),
        f"{model['numbers']:,} numbers, {model['bytes'] / 2**20:.3g} MiB",
    )


def _components(pca: Mapping[str, Any]) -> str:
    return markdown_table(
        ("", ""),
        [
            ("components kept", f"{pca['kept']} of {len(pca['shares'])}"),
            ("variance they keep", percent(pca["variance"])),
            ("elbow of the curve", f"{pca['elbow']} components"),
            ("reconstruction MSE, validation rows (pixels 0 to 255)", f"{pca['validation_error']:.1f}"),
            ("reconstruction MSE, training rows", f"{pca['training_error']:.1f}"),
            ("fit", duration(pca["fit_seconds"])),
            ("transform of the validation rows", duration(pca["transform_seconds"])),
        ],
    )


def _model_blocks(model: Mapping[str, Any]) -> list[str]:
    found = model["validation"]
    blocks = [f"## {model['name']}", f"![Confusion matrix](confusion-{model['slug']}.png)"]
    if clusters := model["clusters"]:
        without = ", ".join(clusters["classes_without"])
        blocks += [
            f"{clusters['count']:,} clusters, named by the training rows alone; {clusters['empty']} of them"
            " hold none." + (f" No cluster is called {without}." if without else ""),
            f"![Cluster centres](centres-{model['slug']}.png)",
        ]
    averages = {
        "name": "macro average",
        "precision": found["macro_precision"],
        "recall": found["macro_recall"],
        "f1": found["macro_f1"],
        "support": found["samples"],
    }
    lines = [
        (c["name"], figure(c["precision"]), figure(c["recall"]), figure(c["f1"]), f"{c['support']:,}")
        for c in (*found["classes"], averages)
    ]
    return [*blocks, markdown_table(("class", "precision", "recall", "F1", "support"), lines)]
