"""tinynet ensemble: several nets together."""

from __future__ import annotations

from collections.abc import Sequence
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
    type=Out(is_own=True),
    help="Write all figures (JSON), a page (Markdown) and the plots of the ensemble into this folder, with a "
    "sheet of the images that all nets call otherwise than their label; with "
    "--file, all predictions into this CSV file.",
)
@click.option(
    "--submission",
    type=Out(),
    help="With --file: write Kaggle's ImageId,Label here (digits only).",
)
@options.together(
    options.split,
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
    split: str,
    shifts: int,
    dataset: str | None,
    data_dir: Path | None,
    skip_broken: bool,
    backend: str,
) -> None:
    """Average the probabilities that the nets of RUNS give each image, and evaluate that.

    The mean of the probabilities is a rule fixed beforehand: all nets count alike, whatever the figures say.
    Each net's accuracy stands beside it, with the 95 % interval. --out also draws the images that all nets
    call otherwise than their label.

    With --file, they say together what they see in files of the kinds that `tinynet predict` reads.

    RUNS are runs' folders or safetensors files, for the same images and classes. Nets trained with different
    seeds make different errors, so their mean makes fewer. The images are those of the runs' own data set
    unless --dataset names others. --split validation takes those that all the runs held out of their
    training; runs that held out others are refused.

    \b
    Examples:
      tinynet ensemble runs/cnn-1 runs/cnn-2 runs/cnn-3
      tinynet ensemble runs/R3/kaggle-cnn-ours-* --out together
      tinynet ensemble runs/cnn-1 runs/cnn-2 --split validation --tta 1
      tinynet ensemble runs/cnn-1 runs/cnn-2 --file test.csv --submission submission.csv
    """
    from functools import partial, reduce
    from operator import or_

    import numpy as np

    from tinynet import metrics
    from tinynet.analysis import disagreement, evaluation, shifting
    from tinynet.cli.answers import answer
    from tinynet.cli.progress import say_other_data
    from tinynet.cli.screen import console
    from tinynet.cli.sources import Sources
    from tinynet.experiments import ensemble
    from tinynet.io.markdown import markdown_table, percent
    from tinynet.runs import provenance
    from tinynet.runs.leakage import find_leakage, sentences
    from tinynet.runs.predictions import class_names

    if submission and not files:
        raise click.UsageError("--submission is for files: name Kaggle's test.csv by --file.")
    if files and split != "test":
        raise click.UsageError("--split is for a data set, and --file names the images.")
    if out and not files and out.is_file():
        raise click.UsageError(f"--out: {out} is a file, and figures and plots need a folder.")
    if out and files and out.is_dir():
        raise click.UsageError(f"--out: {out} is a folder, and predictions go into a file (CSV).")
    members = ensemble.load_members(runs, backend=backend)
    for note in ensemble.twins(runs, members):
        console.print(f"NOTE: {note}", style="bold yellow")
    sources = Sources(dataset, data_dir, skip_broken)
    if files:
        answer(files, runs, members, sources, shifts=shifts, out=out, submission=submission)
        return
    settings = [provenance.settings_of(run, each.about) for run, each in zip(runs, members, strict=True)]
    if split == "validation":
        sources.check_validated_alike(runs, settings)
    elif dataset is None and len({each.data_sha256 for each in settings if each}) > 1:
        raise click.UsageError("the nets were trained on different data sets: name the images by --dataset.")
    data, part, said = sources.to_test(next(filter(None, settings), None), members[0], split)
    images, labels = part.images, part.labels
    say_other_data(members[0].about, data)
    if said:
        console.print(said)
    with console.status(f"predicting with {len(members)} nets"):
        answers = ensemble.predict(members, images, shifts=shifts)
    together = ensemble.mean(answers)
    classes = class_names(data.classes, together.probabilities.shape[1])
    found = ensemble.figures([*map(str, runs)], labels, answers)
    against = disagreement.against_label(
        labels, np.stack([each.probabilities for each in answers]), classes, part.files
    )

    leakage = reduce(or_, (find_leakage(images, each, sources.find) for each in settings))
    met = sentences(leakage.facts(), "their")
    what = options.measured(len(labels), split, data.name, shifts)
    rows = ensemble.table(found)
    _show(what, rows)
    calibration = metrics.calibration(labels, together.probabilities).error
    lines = [ensemble.RULE, ensemble.sentence(found)]
    if shifts:
        lines.append(shifting.sentence(found["together"]["tta"], shifts))
    for line in lines:
        console.print(line)
    console.print(f"Calibration error of all together: {percent(calibration)}.")
    console.print(met, style="" if leakage.is_clean else "bold yellow")
    asked = options.measured(len(labels), split, data.name, shifts=0)
    otherwise = disagreement.sentence(against, len(runs), asked)
    console.print(f"{otherwise} To see them: --out FOLDER." if against and not out else otherwise)
    if out:
        evaluation.write_evaluation(
            out,
            images=images,
            labels=labels,
            probabilities=together.probabilities,
            classes=classes,
            about={
                "model": ", ".join(map(str, runs)),
                "data": what,
                "leakage": leakage.facts(),
                "ensemble": found,
                "against_label": against,
            },
            remarks=[
                f"{said} {met}".strip(),
                "## Nets",
                markdown_table(rows[0], rows[1:]),
                " ".join(lines),
                *disagreement.section(against, otherwise),
            ],
            pictures={
                evaluation.SHEET: partial(
                    disagreement.draw, images, against, otherwise, nets=[*map(str, runs)]
                )
            }
            if against
            else {},
        )
        console.print(f"Figures, page and plots: {out / 'evaluation.md'}")
        if against:
            console.print(f"The images with what each net says: {out / evaluation.SHEET}")


def _show(title: str, rows: Sequence[tuple[str, ...]]) -> None:
    """The rows of `ensemble.table`, the last one apart."""
    from rich.table import Table

    from tinynet.cli.screen import console

    head, *nets, together = rows
    table = Table(title=title)
    for column in head:
        table.add_column(column, justify="left" if column == "net" else "right")
    for row in nets:
        table.add_row(*row, end_section=row is nets[-1])
    table.add_row(*together, style="bold")
    console.print(table)
