"""tinynet crossval: how good a recipe is, and how much that varies, by folds of the training set."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tinynet.cli import options
from tinynet.cli.command import Command
from tinynet.cli.out import Out
from tinynet.cli.process import INTERRUPTED, command_line
from tinynet.printable import counted

if TYPE_CHECKING:
    from tinynet.training import Callback


@click.command(cls=Command, short_help="Mean and deviation of a recipe over folds of the training set.")
@click.argument("architecture", default="cnn")
@click.option(
    "--folds",
    type=click.IntRange(min=2),
    default=5,
    show_default=True,
    help="Number of folds, one model each.",
)
@click.option(
    "--epochs", type=click.IntRange(min=1), help="Epochs of each training.  [default: the recipe's]"
)
@options.together(
    options.dataset, options.data_dir, options.seed, options.backend, options.layers, options.threads
)
@click.option(
    "--out",
    type=Out(),
    help="The folder of all folds and the report.  [default: runs/NAME-crossval-1, -2, …]",
)
def command(
    architecture: str,
    folds: int,
    epochs: int | None,
    dataset: str,
    data_dir: Path | None,
    seed: int,
    backend: str,
    out: Path | None,
) -> None:
    """Cross-validate ARCHITECTURE: a name or a TOML file; cnn by default.

    The training set is cut into folds with the same share of each class. For each fold a model is trained on
    the others and tested on it. The test images are not used. A report gives the figures of each fold, their
    mean and standard deviation, and a prediction for each training image by a model trained without it.

    Each training is a run in a folder of its own, fold-1, fold-2, … Ctrl-C saves. The same command with --out
    continues; finished folds are kept.

    \b
    Examples:
      tinynet crossval mlp
      tinynet crossval cnn --folds 10 --seed 1
      tinynet crossval my.toml --dataset sample --epochs 5 --out folds
    """
    from tinynet import backends
    from tinynet import threads as thread_budget
    from tinynet.cli.progress import TrainingProgress
    from tinynet.cli.screen import console
    from tinynet.cli.sources import lasting_name, load_for
    from tinynet.experiments import crossval
    from tinynet.io.lock import FolderLock
    from tinynet.runs import folders, leakage, recipe
    from tinynet.runs.settings import Settings

    context = click.get_current_context()
    name = Path(architecture).stem
    if out:
        crossval.check_folder(out)
    plan = recipe.load(architecture)
    if epochs is not None:
        plan = plan.with_epochs(epochs)
    ops = backends.get(backend)
    plan, data = load_for(plan, dataset, data_dir)
    facts = {
        "command": command_line(),
        "notice": data.notice,
        "dataset": data.name,
        "data_sha256": data.sha256,
        "seed": seed,
        "threads": thread_budget.size(),
        "backend": ops.name,
    }
    asked = Settings(
        name=name,
        recipe=plan,
        dataset=lasting_name(dataset, data.name),
        data_dir=str(data_dir.resolve()) if data_dir else None,
        data_sha256=data.sha256,
        seed=seed,
        backend=ops.name,
        dtype="float32",
        command=command_line(),
    )
    crossval.check(data, folds, plan, seed)
    lock = FolderLock(out) if out else folders.take_next(f"{name}-crossval")
    folder = context.with_resource(lock).folder
    crossval.check_folder(folder)
    console.print(
        f"{name}: {folds} folds of {len(data.train):,} training images, {ops.name} backend, "
        f"{counted(thread_budget.size(), 'thread')}, into {folder}",
    )

    def listen(number: int) -> Callback:
        progress = TrainingProgress(f"fold {number}/{folds}: ", epoch_lines=False)
        context.call_on_close(progress.close)
        return progress

    results = []
    try:
        for fold in crossval.run(folder, data, folds, asked, threads=thread_budget.size(), listen=listen):
            _say(crossval.figures(fold), folds)
            results.append(fold)
    except KeyboardInterrupt:
        again = command_line() + ("" if out else f" --out {shlex.quote(str(folder))}")
        console.print(
            f"Interrupted after {len(results)} of {folds} folds; all is kept. Continue with: {again}"
        )
        sys.exit(INTERRUPTED)
    report = crossval.write_report(folder, name, plan, data.train, data.classes, results, facts)
    console.print(
        f"Accuracy {crossval.summary(report)}: mean and standard deviation over {folds} folds",
        style="bold green",
    )
    if not leakage.is_clean(report["leakage"]):
        console.print(leakage.sentences(report["leakage"], "their"), style="yellow")
    console.print(f"Report: {folder / 'report.md'}", soft_wrap=True)


def _say(row: dict[str, Any], folds: int) -> None:
    from tinynet.cli.screen import console
    from tinynet.io.markdown import duration, percent

    console.print(
        f"fold {row['fold']}/{folds}  {percent(row['accuracy'])}  "
        f"{row['errors']:,} of {row['tested_on']:,} wrong  "
        f"{counted(row['epochs'], 'epoch')}  {duration(row['seconds'])}"
    )
