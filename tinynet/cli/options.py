"""Options that several commands share."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

from tinynet.backends import CONVOLUTIONS, PRECISIONS
from tinynet.cli import own_layers
from tinynet.printable import counted
from tinynet.threads.budget import VARIABLE, limit

Command = TypeVar("Command", bound=Callable[..., Any])


class Finite(click.FloatRange):
    """A number in a range: no NaN, which is in every range, and no infinity."""

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> float:
        number = super().convert(value, parameter, context)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", parameter, context)
        return number


variant = click.option(
    "--recipe",
    "variant",
    type=click.Choice(["ours", "reference"]),
    default="ours",
    show_default=True,
    help="For a named architecture: our recipe, or the settings of the reference system.",
)
batch_size = click.option(
    "--batch", "--batch-size", "batch_size", type=click.IntRange(min=1), help="Images in a batch."
)
optimizer = click.option("--optimizer", type=str, help="SGD, Adam or AdamW.")
class_weight = click.option(
    "--class-weight",
    type=click.Choice(["balanced"]),
    help="balanced: errors count alike for all classes, however many images each has.",
)
mixup = click.option(
    "--mixup",
    metavar="ALPHA",
    type=Finite(min=0, max=100),
    help="Blend each training image and its label with another's, by shares of Beta(ALPHA, ALPHA), such as "
    "0.2; 0: do not.",
)
cutmix = click.option(
    "--cutmix",
    metavar="ALPHA",
    type=Finite(min=0, max=100),
    help="Put a rectangle of another training image into each, its area by Beta(ALPHA, ALPHA), such as 1; "
    "0: do not.",
)
backend = click.option(
    "--backend",
    envvar="TINYNET_BACKEND",
    default="auto",
    show_default=True,
    help="numpy (the readable reference), numba (fast on a CPU), cupy (GPU; CUDA_VISIBLE_DEVICES=1 chooses "
    "the second); auto picks numba.",
)
convolution = click.option(
    "--conv",
    "convolution",
    type=click.Choice(CONVOLUTIONS),
    default="auto",
    show_default=True,
    help="Convolution algorithm of numba and cupy. auto picks the fastest for each layer.",
)
precision = click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="float32",
    show_default=True,
    help="Precision of matrix products on a GPU. For tensor cores tf32 and bf16 round each factor, by up to "
    "0.05 % and 0.4 % of it; parameters, sums and all else stay float32.",
)


def _limit_threads(context: click.Context, parameter: click.Parameter, count: int | None) -> None:
    """Let the command compute with so many threads until it ends."""
    if not context.resilient_parsing:  # else a shell asks for completions
        context.with_resource(limit(count))


_threads = partial(
    click.option,
    "--threads",
    type=click.IntRange(min=1),
    envvar=VARIABLE,
    help="Number of threads.  [default: the cores this process may use]",
)
thread_count = _threads()
"""Hands the command the number of threads, for it to set the limit."""
threads = _threads(callback=_limit_threads, expose_value=False)
"""Sets the limit before the command begins."""
layers = click.option(
    "--layers",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    multiple=True,
    expose_value=False,
    callback=own_layers.enter,
    help="A Python file with layers of your own. It is run. Can be repeated.",
)
dtype = click.option(
    "--dtype",
    type=click.Choice(["float32", "float64"]),
    default="float32",
    show_default=True,
    help="Data type of weights and arithmetic.",
)
split = click.option(
    "--split",
    type=click.Choice(["test", "validation", "train", "all"]),
    default="test",
    show_default=True,
    help="Which images. validation: those of its training set that a run held out. Of data without a test "
    "part a fifth is taken for one: all measures them all.",
)
shifts = click.option(
    "--tta",
    "shifts",
    metavar="PIXELS",
    type=click.IntRange(0, 3),
    default=0,
    show_default=True,
    help="Test-time augmentation: the mean of what the net says of each image and of itself moved by up to "
    "so many pixels. 1 takes 5 times the time, 2 takes 13 times, 3 takes 25 times. `evaluate` and "
    "`ensemble` say what it gained.",
)


def _joined(context: click.Context, parameter: click.Parameter, names: tuple[str, ...]) -> str | None:
    """The name of all data sets together, as `tinynet.data.load` takes it."""
    if len(names) < 2:
        return names[0] if names else None
    from tinynet.data.datasets import AND

    return AND.join(names)


_dataset = partial(click.option, "--dataset", multiple=True, callback=_joined)
dataset = _dataset(
    default=("auto",),
    show_default=True,
    help="auto, mnist, fashion-mnist, sample, the path of a Kaggle train.csv, of its folder, of a pattern "
    "such as rows/train_*.csv, or of an .npz file; or a folder with a folder of pictures for each class. "
    "auto is mnist, or the bundled sample if it cannot be downloaded. Given again, the data sets are joined.",
)


class ImageSize(click.ParamType["tuple[int, ...]"]):
    """A size of images: 32, 32x48 (rows x columns), or 32x48x1 for grey."""

    name = "SIZE"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        if isinstance(value, tuple):
            return value
        parts = str(value).lower().split("x")
        if not all(part.isascii() and part.isdigit() and 1 <= int(part) <= 4096 for part in parts):
            parts = []
        sizes = tuple(map(int, parts))
        if len(sizes) == 1:
            sizes *= 2
        if len(sizes) not in (2, 3) or sizes[2:] not in ((), (1,), (3,)):
            self.fail(
                f"{value!r} is no size: expected 32, or 32x48, or 32x48x1 for grey.", parameter, context
            )
        return sizes


_size = partial(click.option, "--size", type=ImageSize())
SIZES = "Pictures in folders: scale them to 32, or 32x48 (rows x columns); 32x48x1 for grey.  [default: "
size = _size(help=f"{SIZES}the architecture's, in colour if any of them is]")
shown_size = _size(help=f"{SIZES}28, in colour if any of them is]")
test_share = click.option(
    "--test",
    "test",
    type=Finite(min=0, max=1, max_open=True),
    help="Data without a test part (CSV, folders): the share that becomes one; 0: learn from all.  [default: "
    "0.2]",
)
skip_broken = click.option(
    "--skip-broken", is_flag=True, help="Leave out pictures that cannot be read, instead of refusing all."
)
measured_dataset = _dataset(
    help="Other images than the run's own: auto, mnist, fashion-mnist, sample, or the path of a "
    "Kaggle train.csv, an .npz file or a folder of pictures.  [default: the run's own]",
)
own_dataset = _dataset(
    help="The data set that RUN was trained on, where it lies now: a name or the path of a Kaggle train.csv. "
    "Its hash is checked.  [default: where it was]",
)
data_dir = click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="TINYNET_DATA",
    help="Folder with the data set's files.  [default: that in TINYNET_DATA, else the user's cache, filled "
    "on first use]",
)
seed = click.option(
    "--seed",
    type=click.IntRange(0, 2**64 - 1),
    default=0,
    show_default=True,
    help="Seed of everything random: weights, order, dropout, augmentation.",
)


def measured(images: int, split: str, data: str, shifts: int) -> str:
    """What a title says of --split, the data set and --tta."""
    kind = "image" if split == "all" else f"{split} image"
    moved = f", each moved by up to {counted(shifts, 'pixel')}" if shifts else ""
    return f"{counted(images, kind)} of {data}{moved}"


def together(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """One decorator for several options, listed in the order of `--help`."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


sources_and_backend = together(
    dataset, data_dir, size, test_share, skip_broken, seed, backend, convolution, precision, layers
)
"""Of the commands that train a net: what it learns from, and what computes it."""
