"""tinynet ensemble: several nets together."""

from __future__ import annotations

from pathlib import Path

import click

from tinynet.cli import options
from tinynet.cli.command import Command
from tinynet.cli.out import Out


@click.command(cls=Command, short_help="Several nets together: the mean of their probabilities.")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--file",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Say what they see in this file, as `tinynet predict` does. Can be repeated.",
)
@click.option(
    "--out",
    type=Out(),
    help="Write all figures (JSON), a page (Markdown) and the plots of the ensemble into this folder; with "
    "--file, all predictions into this CSV file.",
)
@click.option(
    "--submission",
    type=Out(),
    help="With --file: write Kaggle's ImageId,Label here (digits only).",
)
@options.together(
    options.shifts,
    options.measured_dataset,
    options.data_dir,
    options.skip_broken,
    options.backend,
    options.layers,
    options.threads,
)
def command(
    runs: tuple[Path, ...],
    files: tuple[Path, ...],
    out: Path | None,
    submission: Path | None,
    shifts: int,
    dataset: str | None,
    data_dir: Path | None,
    skip_broken: bool,
    backend: str,
) -> None:
    """Average the probabilities that the nets of RUNS give each test image, and evaluate that.

    With --file, they say together what they see in files of the kinds that `tinynet predict` reads.

    RUNS are runs' folders or safetensors files, for the same images and classes. Nets trained with different
    seeds make different errors, so their mean makes fewer. The images are those of the runs' own data set
    unless --dataset names others.

    \b
    Examples:
      tinynet ensemble runs/cnn-1 runs/cnn-2 runs/cnn-3
      tinynet ensemble runs/R3/kaggle-cnn-ours-* --out together
      tinynet ensemble runs/cnn-1 runs/cnn-2 --file test.csv --submission submission.csv
    """
    import statistics
    from functools import reduce
    from operator import or_

    from rich.table import Table

    from tinynet import metrics
    from tinynet.analysis import evaluation
    from tinynet.cli.answers import answer
    from tinynet.cli.progress import say_other_data
    from tinynet.cli.screen import console
    from tinynet.cli.sources import Sources
    from tinynet.experiments import ensemble
    from tinynet.runs import provenance
    from tinynet.runs.leakage import find_leakage, sentences
    from tinynet.runs.predictions import class_names

    if submission and not files:
        raise click.UsageError("--submission is for files: name Kaggle's test.csv by --file.")
    if out and not files and out.is_file():
        raise click.UsageError(f"--out: {out} is a file, and figures and plots need a folder.")
    members = ensemble.load_members(runs, backend=backend)
    sources = Sources(dataset, data_dir, skip_broken)
    if files:
        answer(files, runs, members, sources, shifts=shifts, out=out, submission=submission)
        return
    settings = [provenance.settings_of(run, each.about) for run, each in zip(runs, members, strict=True)]
    if dataset is None and len({each.data_sha256 for each in settings if each}) > 1:
        raise click.UsageError("the nets were trained on different data sets: name the images by --dataset.")
    data, part, said = sources.to_test(next(filter(None, settings), None), members[0])
    images, labels = part.images, part.labels
    say_other_data(members[0].about, data)
    if said:
        console.print(said)
    with console.status(f"predicting with {len(members)} nets"):
        each = ensemble.predict(members, images, shifts=shifts)
    accuracies = [metrics.accuracy(labels, probabilities.argmax(axis=1)) for probabilities in each]
    together = each.mean(axis=0)
    classes = class_names(data.classes, together.shape[1])
    found = evaluation.figures(labels, together, classes)

    leakage = reduce(or_, (find_leakage(images, each, sources.find) for each in settings))
    table = Table(title=f"{len(labels):,} test images of {data.name}{options.shifted(shifts)}")
    for column in ("net", "accuracy", "wrong"):
        table.add_column(column, justify="left" if column == "net" else "right")
    for run, accuracy in zip(runs, accuracies, strict=True):
        table.add_row(str(run), f"{100 * accuracy:.2f} %", str(round((1 - accuracy) * len(labels))))
    table.add_section()
    table.add_row("all together", f"{100 * found['accuracy']:.2f} %", str(found["errors"]), style="bold")
    console.print(table)
    mean, spread = statistics.fmean(accuracies), statistics.stdev(accuracies)
    console.print(
        f"single nets {100 * mean:.2f} ± {100 * spread:.2f} % (mean and standard deviation); together "
        f"{100 * found['accuracy']:.2f} %, calibration error "
        f"{100 * found['calibration']['expected_calibration_error']:.2f} %"
    )
    met = sentences(leakage.facts(), "their")
    console.print(met, style="" if leakage.is_clean else "bold yellow")
    if out:
        about = {
            "model": ", ".join(map(str, runs)),
            "data": f"{len(labels):,} test images of {data.name}{options.shifted(shifts)}",
            "leakage": leakage.facts(),
        }
        evaluation.write_evaluation(
            out,
            images=images,
            labels=labels,
            probabilities=together,
            classes=classes,
            about=about,
            remark=f"{said} {met}".strip(),
        )
        console.print(f"Figures, page and plots: {out / 'evaluation.md'}")
