"""tinynet predict: what a trained model sees in pictures, IDX files and Kaggle's CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tinynet.cli import options

if TYPE_CHECKING:
    from tinynet.types import Array, Shape

ROWS_ON_SCREEN = 20
DIGITS = list("0123456789")


@click.command(short_help="What does a net see in pictures and tables?")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Write all predictions here (CSV).")
@click.option(
    "--submission", type=click.Path(path_type=Path), help="Write Kaggle's ImageId,Label here (digits only)."
)
@click.option(
    "--top", type=click.IntRange(min=1), default=2, show_default=True, help="Show so many classes an image."
)
@options.together(options.backend, options.threads)
def command(
    run: Path,
    files: tuple[Path, ...],
    out: Path | None,
    submission: Path | None,
    top: int,
    backend: str,
) -> None:
    """Say what RUN, a run's folder or a safetensors file, sees in FILES.

    FILES are pictures (PNG, JPEG, BMP, GIF, TIFF, WebP) of one digit each, IDX image files (plain or .gz) or
    Kaggle's test.csv. A picture is made to look like MNIST's first; the table says how.

    \b
    Examples:
      tinynet predict runs/cnn-1 my.png
      tinynet predict runs/cnn-1 *.jpg --top 3 --out predictions.csv
      tinynet predict runs/cnn-1 test.csv --submission submission.csv
    """
    import numpy as np

    from tinynet import checkpoint
    from tinynet.cli.console import console
    from tinynet.data import write_submission
    from tinynet.data.files import atomic_write
    from tinynet.errors import ConfigError
    from tinynet.runs.predictions import class_names, predict

    if submission and submission == out:
        raise click.UsageError("--out and --submission name the same file.")
    model, loss, about = checkpoint.load_model(run, backend=backend)
    names = class_names(about.get("classes", []), model.output_shape[-1])
    if submission and names != DIGITS:
        raise ConfigError(
            "a submission is for models of the ten digits",
            expected=", ".join(DIGITS),
            received=", ".join(names),
            fix="use --out",
        )
    parts = [read_images(file, model.input_shape) for file in files]
    found = predict(model, loss, np.concatenate([images for images, _ in parts]))
    ranked = np.argsort(-found.probabilities, axis=1, kind="stable")[:, :top]
    guesses = [
        [(names[k], float(p[k])) for k in order] for order, p in zip(ranked, found.probabilities, strict=True)
    ]
    places = [
        (file, index, fitted)
        for file, (images, fitted) in zip(files, parts, strict=True)
        for index in range(len(images))
    ]
    show(places, guesses)
    if out:
        with atomic_write(out) as stream:
            stream.write(as_csv(places, guesses).encode())
        console.print(f"{len(guesses):,} predictions in {out}")
    if submission:
        write_submission(submission, found.classes)
        console.print(f"{len(guesses):,} labels for Kaggle in {submission}")
        console.print(
            "Kaggle's images are MNIST's: a net trained on all of MNIST has seen them, and its score means "
            "nothing. `tinynet audit RUN --test test.csv` counts those that a run was trained on."
        )


def read_images(file: Path, shape: Shape) -> tuple[Array, str | None]:
    """The images of one file as (N, H, W, C) of the model's input shape; for a picture, how it was fitted.

    IDX is told by its first bytes, CSV by its first word or its name; anything else is taken for a picture.
    """
    from tinynet.data.files import open_payload
    from tinynet.data.idx import read_idx
    from tinynet.data.images import read_image
    from tinynet.data.kaggle import read_csv
    from tinynet.errors import DataError

    with open_payload(file) as stream:
        head = stream.read(8)
    if head[:2] == b"\0\0":
        images = read_idx(file)
        images = images[..., None] if images.ndim == 3 else images
    elif head.startswith((b"label", b"pixel")) or ".csv" in file.suffixes[-2:]:
        images, _ = read_csv(file)
    else:
        picture, fitted = read_image(file, shape)
        return picture[None], fitted
    if images.shape[1:] != shape or len(images) == 0 or images.dtype.kind != "u":
        raise DataError(
            f"the images in {file} do not fit this model",
            expected=f"one or more images of {shape}, of bytes",
            received=f"shape {images.shape} of {images.dtype}",
            fix="give a file of images (not of labels), of the size the model was trained on",
        )
    return images, None


def show(places: Sequence[tuple[Path, int, str | None]], guesses: Sequence[list[tuple[str, float]]]) -> None:
    """The first rows as a table on the screen."""
    from rich.markup import escape
    from rich.table import Table

    from tinynet.cli.console import console

    table = Table()
    table.add_column("image", overflow="fold")
    table.add_column("prediction")
    table.add_column("probability", justify="right")
    table.add_column("otherwise")
    pictures = any(fitted for _, _, fitted in places[:ROWS_ON_SCREEN])
    if pictures:
        table.add_column("how it was fitted")
    for (file, index, fitted), (best, *others) in zip(places[:ROWS_ON_SCREEN], guesses, strict=False):
        otherwise = ", ".join(f"{name} ({100 * p:.1f} %)" for name, p in others)
        image = f"{file}" if fitted else f"{file} #{index}"
        row = [image, best[0], f"{100 * best[1]:.1f} %", otherwise, *([fitted or ""] if pictures else [])]
        table.add_row(*map(escape, row))
    console.print(table)
    if len(places) > ROWS_ON_SCREEN:
        console.print(f"… and {len(places) - ROWS_ON_SCREEN:,} more (use --out)")


def as_csv(places: Sequence[tuple[Path, int, str | None]], guesses: Sequence[list[tuple[str, float]]]) -> str:
    """A line for every image: its file, index there, guesses with their probabilities, how it was fitted."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "index", *_columns(len(guesses[0])), "fitted"])
    for (file, index, fitted), ranked in zip(places, guesses, strict=True):
        values = [value for name, p in ranked for value in (name, f"{p:.6f}")]
        writer.writerow([file, index, *values, fitted or ""])
    return text.getvalue()


def _columns(top: int) -> Iterator[str]:
    """prediction, probability, then prediction_2, probability_2, …"""
    for rank in range(1, top + 1):
        suffix = "" if rank == 1 else f"_{rank}"
        yield from (f"prediction{suffix}", f"probability{suffix}")
