"""What nets see in files: the answers on a screen, as CSV, as a picture, as a submission for Kaggle."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from tinynet.printable import counted

if TYPE_CHECKING:
    from rich.table import Table

    from tinynet.checkpoint import Loaded
    from tinynet.cli.sources import Sources
    from tinynet.data.pictures import Reading
    from tinynet.errors import DataError
    from tinynet.types import Array, Shape

ROWS_ON_SCREEN = 20
WIDTH_OF_A_TABLE = 60
"""Columns of a screen; on a narrower one each image is a line."""
DIGITS = list("0123456789")


class Seen(NamedTuple):
    """One image, and what a model makes of it."""

    file: Path
    position: int
    """Which of the file's images."""
    reading: Reading | None
    """How it was made of a picture; None where the file has the net's own input."""
    ranked: list[tuple[str, float]]
    """The most probable classes and their probabilities, the best first."""

    @property
    def name(self) -> str:
        return str(self.file) if self.reading else f"{self.file} #{self.position}"

    @property
    def note(self) -> str:
        """What speaks against the answer, if anything does."""
        from tinynet.analysis.card import NOT_SURE

        if self.reading and self.reading.warning:
            return self.reading.warning
        return "not sure" if self.ranked[0][1] < NOT_SURE else ""

    @property
    def answer(self) -> str:
        return f"not sure: {self.ranked[0][0]}?" if self.note else self.ranked[0][0]

    @property
    def percent(self) -> str:
        """The probability of the answer."""
        return f"{100 * self.ranked[0][1]:.1f} %"

    @property
    def others(self) -> str:
        """The other classes that were asked for, with their probabilities."""
        return ", ".join(f"{name} ({100 * p:.1f} %)" for name, p in self.ranked[1:])


def answer(
    files: Sequence[Path],
    runs: Sequence[Path],
    members: Sequence[Loaded],
    sources: Sources,
    *,
    shifts: int = 0,
    top: int = 2,
    out: Path | None = None,
    submission: Path | None = None,
    seen: Path | None = None,
) -> None:
    """Say what the nets of these runs, by the mean of their probabilities, see in the files.

    A file that cannot be read is named and left out; the process then ends with exit code 1.
    """
    from functools import reduce
    from operator import or_

    import numpy as np

    from tinynet.cli.screen import console
    from tinynet.data import write_submission
    from tinynet.data.class_folders import pictures_below
    from tinynet.data.files import atomic_write
    from tinynet.errors import ConfigError
    from tinynet.experiments import ensemble
    from tinynet.runs import provenance
    from tinynet.runs.leakage import find_leakage, sentences
    from tinynet.runs.predictions import class_names

    if submission and submission == out:
        raise click.UsageError("--out and --submission name the same file.")
    model, loss, about = members[0]
    names = class_names(ensemble.class_names(members), loss.classes(model.output_shape[-1]))
    if submission and names != DIGITS:
        raise ConfigError(
            "a submission is for models of the ten digits",
            expected=", ".join(DIGITS),
            received=", ".join(names),
            fix="use --out",
        )
    files = [each for file in files for each in (pictures_below(file) if file.is_dir() else [file])]
    read, unread = _read_all(files, model.input_shape, bool(about.get("whole")))
    if unread and (submission or len(files) == 1):  # a submission has a row for each image
        raise unread[0]
    if not read:
        _say_unread(unread)
        sys.exit(1)
    images = np.concatenate([images for _, images, _ in read])
    probabilities = ensemble.mean(ensemble.predict(members, images, shifts=shifts)).probabilities
    ranked = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    guesses = [
        [(names[k], float(p[k])) for k in order] for order, p in zip(ranked, probabilities, strict=True)
    ]
    places = [(file, index, reading) for file, images, reading in read for index in range(len(images))]
    rows = [Seen(*place, guess) for place, guess in zip(places, guesses, strict=True)]
    show(rows)
    if tables := [images for _, images, reading in read if reading is None]:
        settings = [provenance.settings_of(run, each.about) for run, each in zip(runs, members, strict=True)]
        met = np.concatenate(tables)
        leakage = reduce(or_, (find_leakage(met, each, sources.find) for each in settings))
        whose = "its" if len(members) == 1 else "their"
        console.print(sentences(leakage.facts(), whose), style="" if leakage.is_clean else "bold yellow")
    if out:
        with atomic_write(out) as stream:
            stream.write(as_csv(rows).encode(errors="backslashreplace"))
        console.print(f"{counted(len(guesses), 'prediction')} in {out}")
    if seen:
        draw(rows, seen)
    if submission:
        write_submission(submission, probabilities.argmax(axis=1))
        console.print(f"{counted(len(guesses), 'label')} for Kaggle in {submission}")
        if tables and leakage.trained.any():
            console.print("A score on images that a net was trained on means nothing.", style="bold yellow")
    if unread:
        _say_unread(unread)
        sys.exit(1)


def _read_all(
    files: Sequence[Path], shape: Shape, whole: bool
) -> tuple[list[tuple[Path, Array, Reading | None]], list[DataError]]:
    """Of each file its images (N, H, W, C) and how they were read; and what is wrong with the others."""
    from tinynet.data.images import read_images
    from tinynet.errors import DataError

    read, unread = [], []
    for file in files:
        try:
            read.append((file, *read_images(file, shape, whole)))
        except DataError as error:
            unread.append(error)
    return read, unread


def _say_unread(unread: Sequence[DataError]) -> None:
    """A line for each file that is left out, with the reason."""
    from tinynet.cli.screen import console

    for error in unread:
        reason = "; ".join(line.strip() for line in str(error).splitlines())
        console.print(f"left out: {reason}", style="bold yellow")


def show(rows: Sequence[Seen]) -> None:
    """The first rows as a table on the screen, and every warning below."""
    from tinynet.cli.screen import console

    shown = rows[:ROWS_ON_SCREEN]
    if console.width < WIDTH_OF_A_TABLE:
        for row in shown:
            console.print(f"{row.name}: {row.answer} ({row.percent}); {row.others}")
    else:
        console.print(_table(shown))
    if len(rows) > ROWS_ON_SCREEN:
        console.print(f"… and {len(rows) - ROWS_ON_SCREEN:,} more (use --out)")
    for row in rows:
        if row.reading and row.reading.warning:
            console.print(f"{row.name}: {row.reading.warning}; crop the picture to one of them")


def _table(rows: Sequence[Seen]) -> Table:
    from rich.table import Table

    table = Table()
    table.add_column("image", overflow="fold")
    table.add_column("prediction")
    table.add_column("probability", justify="right")
    table.add_column("otherwise")
    pictures = any(row.reading for row in rows)
    if pictures:
        table.add_column("how it was fitted")
    for row in rows:
        fitted = [row.reading.fitted if row.reading else ""] if pictures else []
        table.add_row(row.name, row.answer, row.percent, row.others, *fitted)
    return table


def draw(rows: Sequence[Seen], path: Path) -> None:
    """The sheet of --seen: every picture, step by step."""
    from tinynet import plots
    from tinynet.cli.screen import console

    pictures = [row for row in rows if row.reading][:ROWS_ON_SCREEN]
    if not pictures:
        raise click.UsageError("--seen is for pictures: there is none among the files.")
    sheet = [
        (row.file.name, row.reading, f"{row.answer}  {100 * row.ranked[0][1]:.1f} %\n{row.note}")
        for row in pictures
        if row.reading
    ]
    plots.readings(sheet, path)
    console.print(f"What the net saw in {counted(len(sheet), 'picture')}: {path}")


def as_csv(rows: Sequence[Seen]) -> str:
    """A line for every image: its file, index there, guesses with their probabilities, how it was fitted, and
    what speaks against the answer."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "index", *_columns(len(rows[0].ranked)), "fitted", "note"])
    for row in rows:
        values = [value for name, p in row.ranked for value in (name, f"{p:.6f}")]
        writer.writerow(
            [row.file, row.position, *values, row.reading.fitted if row.reading else "", row.note]
        )
    return text.getvalue()


def _columns(top: int) -> Iterator[str]:
    """prediction, probability, then prediction_2, probability_2, …"""
    for rank in range(1, top + 1):
        suffix = "" if rank == 1 else f"_{rank}"
        yield from (f"prediction{suffix}", f"probability{suffix}")
