"""tinynet predict: what a trained model sees in pictures, IDX files and Kaggle's CSV."""

from __future__ import annotations

from pathlib import Path

import click

from tinynet.cli import options
from tinynet.cli.command import Command
from tinynet.cli.out import Out


@click.command(cls=Command, short_help="What does a net see in pictures and tables?")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", type=Out(), help="Write all predictions here (CSV).")
@click.option("--submission", type=Out(), help="Write Kaggle's ImageId,Label here (digits only).")
@click.option(
    "--top", type=click.IntRange(min=1), default=2, show_default=True, help="Show so many classes an image."
)
@click.option(
    "--seen",
    type=Out(dir_okay=False, is_picture=True),
    help="Draw what the net saw in each picture here, .png or .svg.",
)
@options.together(
    options.shifts, options.own_dataset, options.data_dir, options.backend, options.layers, options.threads
)
def command(
    run: Path,
    files: tuple[Path, ...],
    out: Path | None,
    submission: Path | None,
    top: int,
    seen: Path | None,
    shifts: int,
    dataset: str | None,
    data_dir: Path | None,
    backend: str,
) -> None:
    """Say what RUN, a run's folder or a safetensors file, sees in FILES.

    FILES are pictures (PNG, JPEG, BMP, GIF, TIFF, WebP) of one digit each, drawings (JSON: the strokes of a
    pen), IDX image files (plain or .gz), Kaggle's test.csv, or folders of pictures. A net that was trained on
    pictures of your own gets them as it was trained. For others a picture is made to look like MNIST's first:
    the ground under the ink is found, however the light falls, and lines of the paper, dust and the desk are
    left out. A drawing becomes pixels as in the page of `tinynet export`. The table says how; --seen draws
    it. Images in tables (IDX, CSV) that RUN was trained on are counted. A file that cannot be read is named,
    the others are read all the same, and the exit code is 1.

    \b
    Examples:
      tinynet predict runs/cnn-1 my.png
      tinynet predict runs/cnn-1 *.jpg --top 3 --out predictions.csv
      tinynet predict runs/flowers garden/ --out predictions.csv
      tinynet predict runs/cnn-1 photo.jpg drawing.json --seen seen.png
      tinynet predict runs/cnn-1 test.csv --submission submission.csv
    """
    from tinynet import checkpoint
    from tinynet.cli.answers import answer
    from tinynet.cli.sources import Sources

    members = [checkpoint.load_model(run, backend=backend)]
    sources = Sources(dataset, data_dir)
    answer(files, [run], members, sources, shifts=shifts, top=top, out=out, submission=submission, seen=seen)
