"""tinynet data: fetch the data sets, look at them, verify their files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tinynet.cli import options
from tinynet.cli.command import Group
from tinynet.cli.out import Out
from tinynet.printable import counted, quoted

if TYPE_CHECKING:
    from tinynet.data.augmentation import Augmentation
    from tinynet.data.datasets import Dataset
    from tinynet.types import Array

name = click.argument("name", default="mnist")


@click.group(cls=Group, short_help="Fetch, show and verify the data sets.")
def command() -> None:
    """Fetch, show and verify the data sets.

    \b
    Examples:
      tinynet data fetch
      tinynet data info sample
      tinynet data explore sample
      tinynet data show sample --augment
      tinynet data verify
    """


@command.command(short_help="Download a data set.")
@name
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to put the files in.  [default: the user's cache]",
)
def fetch(name: str, data_dir: Path | None) -> None:
    """Download what is missing of NAME (mnist, fashion-mnist; mnist by default), and verify it.

    \b
    Examples:
      tinynet data fetch
      tinynet data fetch fashion-mnist --data-dir data/fashion
    """
    import os

    from tinynet.cli.progress import downloads
    from tinynet.cli.screen import console
    from tinynet.data import datasets

    with downloads() as on_progress:
        folder = datasets.fetch(name, data_dir, on_progress=on_progress)
    console.print(f"{name}: four files, verified, in {folder}")
    if os.environ.get("TINYNET_DATA"):
        console.print("NOTE: TINYNET_DATA is set, and the folder it names comes first", style="bold yellow")


@command.command(short_help="The splits of a data set.")
@click.argument("name", default="auto")
@options.data_dir
def info(name: str, data_dir: Path | None) -> None:
    """Show the splits of NAME: auto (the default), mnist, fashion-mnist, sample or the path of a train.csv.

    A data set that is not there yet is fetched.

    \b
    Examples:
      tinynet data info
      tinynet data info fashion-mnist
      tinynet data info ../digit-recognizer/train.csv
    """
    from rich.table import Table

    from tinynet.cli.progress import load_dataset
    from tinynet.cli.screen import console
    from tinynet.data import datasets

    facts: Any = datasets.info(load_dataset(name, data_dir))
    splits = facts["splits"]
    console.print(f"Images of each class in {facts['name']}:")
    table = Table(show_footer=True)
    table.add_column("class", footer="all")
    for title, split in splits.items():
        table.add_column(title, justify="right", footer=f"{split['shape'][0]:,}")
    for kind in splits["train"]["labels"]:
        table.add_row(kind, *(f"{split['labels'][kind]:,}" for split in splits.values()))
    console.print(table)
    for title, split in splits.items():
        console.print(f"{title}: {' x '.join(map(str, split['shape']))}")
    console.print(f"source: {facts['source']}")
    console.print(f"sha256: {facts['sha256']}", soft_wrap=True)


MILD = {"rotation": 10, "shift": 0.08, "scale": 0.1, "shear": 5, "elastic": 1, "contrast": 0.2, "erase": 0.05}
"""What `show --augment` draws unless told otherwise: digits that a person still reads at a glance."""
COLUMNS = 8


@command.command(short_help="Draw images, as they are or distorted.")
@click.argument("name", default="auto")
@options.data_dir
@options.shown_size
@options.skip_broken
@click.option("--augment", is_flag=True, help="Beside each image, how training might distort it.")
@click.option("--recipe", "architecture", help="Distort as this recipe does: a name or a TOML file.")
@options.layers
@click.option("--rotation", type=options.Finite(0, 180), help="Degrees to either side.")
@click.option("--shift", type=options.Finite(0, 1), help="Share of the height and of the width.")
@click.option("--scale", type=options.Finite(0, 0.9), help="0.1: 0.9 to 1.1 times as large.")
@click.option("--shear", type=options.Finite(0, 60), help="Degrees to lean to either side.")
@click.option("--elastic", type=options.Finite(0, 20), help="Pixels of displacement, root mean square.")
@click.option(
    "--smoothness",
    type=options.Finite(0.5, 16),
    help="Sigma, in pixels, of the Gaussian that smooths the displacement.",
)
@click.option("--contrast", type=options.Finite(0, 1), help="0.2: 0.8 to 1.2 times the contrast.")
@click.option("--erase", type=options.Finite(0, 0.9), help="Largest share of the area to blank out.")
@click.option("--stroke", type=options.Finite(0, 4), help="Pixels by which strokes grow; half to shrink.")
@options.together(options.mixup, options.cutmix)
@click.option("--rows", type=click.IntRange(1, 20), default=5, show_default=True, help="Rows of images.")
@options.seed
@click.option(
    "--out",
    type=Out(dir_okay=False, is_picture=True),
    default=Path("images.png"),
    show_default=True,
    help="The picture, .png or .svg.",
)
def show(
    name: str,
    data_dir: Path | None,
    size: tuple[int, ...] | None,
    skip_broken: bool,
    augment: bool,
    architecture: str | None,
    rows: int,
    seed: int,
    out: Path,
    **asked: float | None,
) -> None:
    """Draw training images of NAME (as for info, or a folder with a folder of pictures for each class), as
    they are or as training distorts them.

    Distortions are mild ones unless a recipe or the options from --rotation to --cutmix name others.

    \b
    Examples:
      tinynet data show
      tinynet data show sample --augment
      tinynet data show --augment --rotation 15 --elastic 2 --smoothness 3
      tinynet data show sample --augment --cutmix 1
      tinynet data show --augment --recipe my.toml --out augmented.png
      tinynet data show flowers --size 32
    """
    from tinynet import plots
    from tinynet.cli.screen import console
    from tinynet.cli.sources import load_sized
    from tinynet.rng import Key, Stream, permutation

    given = {key: value for key, value in asked.items() if value is not None}
    if (given or architecture) and not augment:
        raise click.UsageError("options of the distortion need --augment.")
    settings = _distortions(architecture, given) if augment else None
    data = load_sized(name, data_dir, size, skip_broken)
    chosen = permutation(Key(seed, Stream.ORDER), len(data.train))[: rows if settings else rows * COLUMNS]
    title = f"Training images ({data.name})"
    if settings:
        images, titles = _beside_distorted(data, chosen, settings, seed)
        mixed = ", and mixtures: the share of the first"
        title += mixed if settings.mixes else ", and how training may distort them"
    else:
        images = data.train.images[chosen]
        titles = [data.classes[label] for label in data.train.labels[chosen]]
    plots.digits(images, titles, out, title=title)
    console.print(f"{counted(len(images), 'image')} drawn in {out}")
    if settings:
        console.print(f"distorted by {_as_options(settings) or 'nothing'}")


def _distortions(architecture: str | None, given: dict[str, float]) -> Augmentation:
    """What --recipe says, or mild ones where neither it nor an option does; options come last."""
    import dataclasses

    from tinynet.data.augmentation import Augmentation
    from tinynet.errors import ConfigError
    from tinynet.runs import recipe

    if architecture is None:
        return Augmentation(**(given or MILD))
    found = recipe.load(architecture).training.augmentation
    if found is None:
        raise ConfigError(
            f"the recipe {architecture} does not augment",
            expected="a table [training.augmentation]",
            fix="add one, or leave --recipe out",
        )
    return dataclasses.replace(found, **given)


def _as_options(settings: Augmentation) -> str:
    """The settings that are not at their default, as options."""
    import dataclasses

    changed = (
        (each.name, getattr(settings, each.name), each.default) for each in dataclasses.fields(settings)
    )
    return " ".join(f"--{name} {value:g}" for name, value, default in changed if value != default)


def _beside_distorted(
    data: Dataset, chosen: Array, settings: Augmentation, seed: int
) -> tuple[Array, list[str]]:
    """The chosen training images, each followed by versions that fill its row: distorted, and mixed with
    another image for each place. And a title for each: of a mixture both classes, and the first one's share.
    """
    import numpy as np

    from tinynet import backends
    from tinynet.data import mixing
    from tinynet.rng import Key, Stream, permutation

    def distorted(each: Array, stream: Stream) -> Array:
        drawn = settings.draw(Key(seed, stream), len(each), size, ops)
        return settings.apply(each, drawn, Key(seed, stream, layer=1), ops)

    images, labels, classes = data.train.images, data.train.labels, data.classes
    size, ops = images.shape[1:3], backends.get("numpy")
    places = np.repeat(chosen, COLUMNS)
    shown, titles = distorted(images[places], Stream.AUGMENTATION), [""] * len(places)
    if settings.mixes:
        partners = np.resize(permutation(Key(seed, Stream.MIXING, layer=2), len(images)), len(places))
        drawn = mixing.draw(
            settings.mixup, settings.cutmix, Key(seed, Stream.MIXING, layer=3), len(places), size
        )
        shown = mixing.mix(shown, distorted(images[partners], Stream.MIXING), drawn, np)
        titles = [
            f"{classes[one]} + {classes[other]}, {100 * share:.0f} %"
            for one, other, share in zip(labels[places], labels[partners], drawn.share, strict=True)
        ]
    shown[::COLUMNS] = images[chosen]
    titles[::COLUMNS] = [f"{classes[label]}, as it is" for label in labels[chosen]]
    return shown, titles


@command.command(short_help="A first look: labels, pixels, components, pictures.")
@click.argument("name", default="auto")
@click.option(
    "--out",
    type=Out(file_okay=False),
    help="Folder for the page and the pictures.  [default: exploration/ and the data set's name]",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**64 - 1),
    default=0,
    show_default=True,
    help="Chooses the sample images.",
)
@options.data_dir
@options.shown_size
@options.skip_broken
def explore(
    name: str,
    out: Path | None,
    seed: int,
    data_dir: Path | None,
    size: tuple[int, ...] | None,
    skip_broken: bool,
) -> None:
    """Take a first look at NAME: auto (the default), mnist, fashion-mnist, sample, the path of a train.csv or
    of a folder with a folder of pictures for each class.

    Writes a page with the counts of labels, missing and repeated values, and pictures: labels, pixels before
    and after scaling, mean images, samples, correlation of pixels, variance kept by principal components.

    \b
    Examples:
      tinynet data explore
      tinynet data explore ../digit-recognizer/train.csv --out first-look
      tinynet data explore flowers --size 32
    """
    from rich.table import Table

    from tinynet.analysis import explore as room
    from tinynet.cli.screen import console
    from tinynet.cli.sources import load_sized

    data = load_sized(name, data_dir, size, skip_broken)
    folder = out or Path("exploration") / data.name
    console.print(f"measuring and drawing {len(data.train) + len(data.test):,} images …")
    exploration = room.explore(data)
    found = exploration.figures
    for head, rows in (("", room.split_facts(found)), ("class", room.label_counts(found))):
        table = Table()
        for column in (head, *found["splits"]):
            table.add_column(column, justify="right" if column in found["splits"] else "left")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    for sentence in room.conclusions(found):
        console.print(sentence)
    room.write_exploration(folder, exploration, seed=seed)
    console.print(f"Page and pictures: {folder / 'exploration.md'}")


@command.command(short_help="Check the files byte for byte.")
@name
@options.data_dir
def verify(name: str, data_dir: Path | None) -> None:
    """Check the four files of NAME (mnist, fashion-mnist; mnist by default) byte for byte; exit 1 if one is
    wrong or missing.

    \b
    Examples:
      tinynet data verify
      tinynet data verify fashion-mnist --data-dir data/fashion
    """
    from rich.table import Table
    from rich.text import Text

    from tinynet.cli.screen import console
    from tinynet.data import datasets
    from tinynet.data.download import cache_dir

    folder = data_dir or datasets.locate(name) or cache_dir() / name
    table = Table(title=f"{name} in {folder}")
    for column in ("file", "status", "detail"):
        table.add_column(column, overflow="fold")
    results = datasets.verify(folder, name)
    into = f" --data-dir {data_dir}" if data_dir else ""
    if all(status == "missing" for _, status, _ in results):
        console.print(f"{name} is not fetched yet ({folder}): tinynet data fetch {name}{into}")
        sys.exit(1)
    for file, status, detail in results:
        style = "green" if status == "ok" else "bold red"
        table.add_row(file, Text(status, style), detail)
    console.print(table)
    wrong = [file for file, status, _ in results if status != "ok"]
    if wrong:
        console.print(f"{len(wrong)} of {len(results)} files are wrong or missing.")
        if other := datasets.found_instead(folder, name):
            again = f"These are the files of {other}. Fetch those of {name} into a folder of their own"
            into = f" --data-dir {quoted(folder / name)}"
        else:
            again = "Delete what is wrong, then"
        console.print(f"{again}: tinynet data fetch {name}{into}", soft_wrap=True)
        sys.exit(1)
    console.print(f"All {len(results)} files are genuine.")


@command.command("to-kaggle", short_help="Kaggle's files, made from MNIST.")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--dataset",
    type=click.Choice(["mnist", "fashion-mnist", "sample"]),
    default="mnist",
    show_default=True,
    help="Whose images, training and test together.",
)
@options.data_dir
@click.option(
    "--seed", type=click.IntRange(0, 2**64 - 1), default=0, show_default=True, help="Fixes the order."
)
def to_kaggle(folder: Path, dataset: str, data_dir: Path | None, seed: int) -> None:
    """Write files of the shape of Kaggle's digit-recognizer competition into FOLDER.

    All 70,000 images of MNIST in random order: train.csv (42,000 rows of label and 784 pixels), test.csv
    (28,000 rows of pixels), sample_submission.csv, and apart, in test-labels-for-scoring-only.csv, the labels
    of test.csv.

    Beware of leakage. Kaggle's own test.csv lies inside MNIST's 70,000 images too: a net trained on MNIST has
    seen it, and its score there means nothing. Train on train.csv alone. `tinynet audit RUN --test test.csv`
    says how many of the test images a run was trained on.

    \b
    Examples:
      tinynet data to-kaggle digits
      tinynet train --dataset digits/train.csv --out runs/mine
      tinynet predict runs/mine digits/test.csv --submission submission.csv
    """
    from tinynet.cli.progress import load_dataset
    from tinynet.cli.screen import console
    from tinynet.data import kaggle

    data = load_dataset(dataset, data_dir)
    train, test = kaggle.write_competition(folder, (data.train, data.test), seed=seed)
    console.print(f"{counted(train, 'row')} in {folder / kaggle.TRAIN}, {test:,} in {folder / kaggle.TEST}")
    console.print(f"Only for scoring: {folder / kaggle.TEST_LABELS}")
