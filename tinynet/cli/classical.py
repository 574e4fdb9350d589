"""tinynet classical: forests, k-means, SVM and others, and nets of finished runs, on the same rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from tinynet.cli import options
from tinynet.cli.command import Command
from tinynet.cli.comparing import write_comparison
from tinynet.cli.out import Out
from tinynet.cli.process import command_line

if TYPE_CHECKING:
    from tinynet.data import Dataset
    from tinynet.runs.settings import Settings


@click.command(cls=Command, short_help="Forests, k-means, SVM and others beside our nets.")
@click.option(
    "--kaggle",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Folder with Kaggle's train.csv and test.csv.  [default: rows of --dataset]",
)
@click.option(
    "--dataset",
    type=click.Choice(["auto", "mnist", "fashion-mnist", "sample"]),
    default="auto",
    show_default=True,
    help="Without --kaggle: the first 42,000 of its training images, and its test images.",
)
@options.data_dir
@click.option(
    "--run",
    "folders",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Also test the net of this finished run. Can be repeated.",
)
@click.option(
    "--rows",
    "rows_folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Only write the rows here, so that `tinynet train --dataset` can train a net on them.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=42,
    show_default=True,
    help="Fixes the 80/20 split, the forests, PCA and the clusters.",
)
@options.together(options.backend, options.threads)
@click.option(
    "--out",
    type=Out(),
    help="The report's folder.  [default: runs/classical-1, -2, …]",
)
def command(
    kaggle: Path | None,
    dataset: str,
    data_dir: Path | None,
    folders: tuple[Path, ...],
    rows_folder: Path | None,
    seed: int,
    backend: str,
    out: Path | None,
) -> None:
    """Fit classical models on 80 % of the rows, and test them on the other 20 %.

    The models: a random forest; a random forest on the principal components that keep 95 % of the variance;
    k-means with 10 clusters, and mini-batch k-means with 2,000, labelled by the training rows; a decision
    tree, logistic regression, the five nearest neighbours, and an SVM with a radial kernel. A report
    compares accuracy, time and size, also with nets of finished runs. A net that was trained on any of the
    test rows is refused. Each model writes a submission for Kaggle. Needs scikit-learn: the extra
    `classical`. Takes minutes on all of MNIST.

    \b
    Examples:
      tinynet classical
      tinynet classical --dataset sample
      tinynet classical --kaggle digit-recognizer
    A net on the same rows:
      tinynet classical --rows rows
      tinynet train cnn --dataset rows --out runs/beside
      tinynet classical --run runs/beside
    """
    from functools import partial

    from tinynet import backends, extras
    from tinynet.cli.progress import load_dataset
    from tinynet.cli.screen import console
    from tinynet.experiments import classical
    from tinynet.runs import folders as taken

    context = click.get_current_context()
    if kaggle and context.get_parameter_source("dataset") is ParameterSource.COMMANDLINE:
        raise click.UsageError("--kaggle and --dataset do not go together.")
    if out:
        taken.check_free(out)
    if not rows_folder:
        extras.load("classical")  # before a download
    ops = backends.get(backend) if folders else None
    if kaggle:
        rows = classical.from_kaggle(kaggle, seed)
    else:
        rows = classical.from_dataset(load_dataset(dataset, data_dir), seed)
    console.print(rows.source, soft_wrap=True)
    if rows_folder:
        classical.write_rows(rows_folder, rows)
        console.print(f"Rows written. A net on the same ones: tinynet train --dataset {rows_folder}")
        return

    def load(settings: Settings) -> Dataset:
        return load_dataset(settings.dataset, data_dir or settings.data_dir)

    take = partial(taken.take, out) if out else partial(taken.take_next, "classical")
    write_comparison(take, rows, folders, load, seed=seed, backend=ops, command=command_line())
