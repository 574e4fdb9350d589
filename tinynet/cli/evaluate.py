"""tinynet evaluate: how good a trained model is on a data set, class by class."""

from __future__ import annotations

from pathlib import Path

import click

from tinynet.cli import options


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--split", type=click.Choice(["test", "train"]), default="test", show_default=True)
@click.option(
    "--mistakes", type=click.Path(path_type=Path), help="Draw the most confident mistakes here (PNG)."
)
@options.together(options.dataset, options.data_dir, options.backend, options.threads)
def command(
    run: Path,
    split: str,
    mistakes: Path | None,
    dataset: str,
    data_dir: Path | None,
    backend: str,
    threads: int | None,
) -> None:
    """Evaluate RUN, a run's folder or a safetensors file: accuracy, precision, recall and F1 of each class.

    \b
    Examples:
      tinynet evaluate runs/cnn-1
      tinynet evaluate runs/cnn-1/best.safetensors --dataset fashion-mnist
      tinynet evaluate runs/cnn-1 --mistakes mistakes.png
    """
    import numpy as np
    from rich.table import Table

    from tinynet import metrics, plots, runs
    from tinynet import threads as thread_budget
    from tinynet.cli.console import console, load_dataset
    from tinynet.losses import check_label_range

    click.get_current_context().with_resource(thread_budget.limit(threads))
    model, loss, about = runs.load_model(run, backend=backend)
    data = load_dataset(dataset, data_dir)
    images, labels = (part := getattr(data, split)).images, part.labels
    check_label_range(labels, model.output_shape[-1])
    if list(data.classes) != about.get("classes"):
        console.print(
            f"NOTE: trained on {about.get('dataset', 'other data')}, evaluated on {data.name}",
            style="bold yellow",
        )
    found = runs.predict(model, loss, images)
    report = metrics.classification_report(labels, found.classes, len(data.classes))

    table = Table(title=f"{run} on {len(labels):,} {split} images of {data.name}")
    for column in ("class", "precision", "recall", "F1", "images"):
        table.add_column(column, justify="left" if column == "class" else "right")
    columns = (data.classes, report.precision, report.recall, report.f1, report.support)
    for name, precision, recall, f1, support in zip(*columns, strict=True):
        table.add_row(str(name), f"{precision:.4f}", f"{recall:.4f}", f"{f1:.4f}", f"{support:,}")
    console.print(table)
    wrong = np.flatnonzero(labels != found.classes)
    low, high = metrics.wilson_interval(len(labels) - len(wrong), len(labels))
    console.print(
        f"accuracy {100 * report.accuracy:.2f} % ({len(wrong)} wrong; 95 % interval "
        f"{100 * low:.2f} to {100 * high:.2f} %), macro F1 {report.macro_f1:.4f}"
    )
    if mistakes and len(wrong):
        worst = wrong[np.argsort(-found.confidence[wrong], kind="stable")][:25]
        titles = [
            f"{data.classes[labels[i]]}, seen as {data.classes[found.classes[i]]} ({found.confidence[i]:.0%})"
            for i in worst
        ]
        plots.digits(images[worst], titles, mistakes, title="The most confident mistakes")
        console.print(f"mistakes drawn in {mistakes}")
