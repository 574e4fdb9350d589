"""tinynet train: from an architecture's name to a folder with a trained model and its report."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from tinynet.cli import options, own_layers
from tinynet.cli.command import Command
from tinynet.cli.out import Out
from tinynet.cli.process import INTERRUPTED, command_line
from tinynet.printable import counted

if TYPE_CHECKING:
    from tinynet.distributed.group import Group
    from tinynet.runs.report import Report
    from tinynet.runs.run import Run


@dataclass(frozen=True)
class Asked:
    """The options that a new run is started with."""

    variant: str
    start: Path | None
    freeze: tuple[str, ...]
    epochs: int | None
    batch_size: int | None
    optimizer: str | None
    learning_rate: float | None
    schedule: str | None
    class_weight: str | None
    mixup: float | None
    cutmix: float | None
    validation: float | None
    dataset: str
    data_dir: Path | None
    size: tuple[int, ...] | None
    test: float | None
    skip_broken: bool
    seed: int
    backend: str
    convolution: str
    precision: str
    dtype: str
    out: Path | None


@click.command(cls=Command, short_help="Train a net; leave a folder with its weights and a report.")
@click.argument("architecture", required=False)
@options.variant
@click.option(
    "--from",
    "start",
    type=click.Path(path_type=Path),
    help="Start from the weights of this finished run, or of a safetensors file.",
)
@click.option(
    "--freeze",
    multiple=True,
    metavar="PATTERN",
    help='With --from: layers or parameters to freeze, such as "conv2d_*" or dense_1.W. Can be repeated.',
)
@click.option("--epochs", type=click.IntRange(min=1), help="Passes over the training images.")
@options.together(options.batch_size, options.optimizer)
@click.option(
    "--lr", "--learning-rate", "learning_rate", type=options.Finite(min=0), help="Base learning rate."
)
@options.together(options.class_weight, options.mixup, options.cutmix)
@click.option("--schedule", type=str, help="Constant, Step, Cosine or OneCycle.")
@click.option(
    "--validation",
    type=options.Finite(min=0),
    help="Training images held out for validation, the last ones: a share if below 1, else a count.",
)
@options.together(options.sources_and_backend, options.thread_count)
@options.dtype
@click.option("--out", type=Out(), help="The run's folder.  [default: runs/NAME-1, -2, …]")
@click.option(
    "--save-every",
    type=options.Finite(min=0),
    default=30.0,
    show_default=True,
    help="Seconds between checkpoints within an epoch. Every epoch ends with one, too.",
)
@click.option("--tensorboard", is_flag=True, help="Also write a TensorBoard log. Needs tensorboardX.")
@click.option(
    "--inspect",
    is_flag=True,
    help="Also record what each layer does, once an epoch, and draw it: health.jsonl, health.png.",
)
@click.option("--distributed", is_flag=True, help="Train in all processes started by mpiexec. Needs mpi4py.")
@click.option("--resume", type=click.Path(path_type=Path), help="Continue the run in this folder.")
def command(
    architecture: str | None,
    resume: Path | None,
    threads: int | None,
    save_every: float,
    tensorboard: bool,
    inspect: bool,
    distributed: bool,
    **asked: Any,
) -> None:
    """Train ARCHITECTURE: a TOML file, or a name (linear, mlp, lenet, cnn, race, resnet, best,
    kaggle-cnn, freehand).

    Without ARCHITECTURE it is cnn.

    Options that are not given come from the architecture's recipe. The run's folder holds the configuration,
    the log, checkpoints, predictions, plots and a report. Ctrl-C saves, and prints how to continue.

    --from starts from the weights of another run, with that run's recipe unless ARCHITECTURE is given. If the
    classes differ, the last dense layer is re-initialised. Frozen layers keep their weights, and their
    BatchNorm statistics.

    Pictures of your own: --dataset FOLDER, with a folder for each class in it, called after it. They are
    scaled to one size, and the last dense layer gets a unit for each class. A picture of other proportions
    than that size gets black bars, in training and in prediction: cut it to them if its ground is light.
    With FOLDER/train and FOLDER/test the classes lie in these; else a share of each class (--test) is tested.

    Layers of your own: --layers FILE.py, whose classes ARCHITECTURE may then name. Every command that works
    with such a net takes the option.

    Data that moved are named with --resume: --data-dir, or --dataset for Kaggle's CSV.

    --inspect shows why a training goes badly: for each layer the spread of its outputs, dead ReLUs, gradients
    and updates. It does not change what is learned.

    With --distributed each process computes a share of every batch, and the result is that of one process.
    Processes on one machine share its cores.

    \b
    Examples:
      tinynet train
      tinynet train mlp --epochs 20 --batch 64 --seed 3
      tinynet train kaggle-cnn --recipe reference
      tinynet train lenet --optimizer SGD --lr 0.05 --schedule Cosine
      tinynet train my.toml --dataset fashion-mnist --out runs/clothes
      tinynet train cnn --dataset flowers --size 32
      tinynet train my.toml --layers my_layers.py
      tinynet train --from runs/cnn-1 --freeze "conv2d_*" --dataset fashion-mnist
      tinynet train lenet --mixup 0.2 --cutmix 1
      tinynet train lenet --inspect
      tinynet train --resume runs/cnn-1
      mpiexec -n 2 tinynet train mlp --distributed
    """
    from tinynet import extras
    from tinynet import threads as thread_budget
    from tinynet.cli.screen import console
    from tinynet.distributed.mpi import joined

    if tensorboard:
        extras.load("tensorboard")
    with joined(distributed) as group:
        console.quiet = group.rank > 0
        click.get_current_context().with_resource(thread_budget.limit(threads or group.threads()))
        with group.in_turn():  # so that data are downloaded once
            if resume:
                run = _resumed(resume, asked["dataset"], asked["data_dir"], group)
            else:
                run = _started(architecture, Asked(**asked), group)
        click.get_current_context().with_resource(run)
        run.agree_on_folder()
        group.watch(f"go on with: {_how_to_resume(run)}")
        complete = _train(run, save_every, tensorboard, inspect)
    if not complete:
        sys.exit(INTERRUPTED)


def _train(run: Run, save_every: float, tensorboard: bool, inspect: bool) -> bool:
    """Train and report; False when it was interrupted. Of several processes only the first reports."""
    from tinynet import threads as thread_budget
    from tinynet.cli.progress import TrainingProgress
    from tinynet.cli.screen import console
    from tinynet.errors import OutOfMemoryError
    from tinynet.printable import quoted

    model, trainer, group = run.trainer.model, run.trainer, run.group
    processes = f" in each of {group.size} processes" if group.size > 1 else ""
    plan = run.settings.recipe.training
    why = f" ({plan.epochs_in_words()})" if plan.min_steps else ""
    console.print(
        f"{run.settings.name}: {model.store.count + model.store.state_count:,} parameters, "
        f"{counted(trainer.train.samples, 'training image')}, {counted(trainer.epochs, 'epoch')}{why}, "
        f"{model.backend.name} backend, {counted(thread_budget.size(), 'thread')}{processes}, "
        f"into {run.folder}"
    )
    _say_origin(run)
    if (run.folder / "report.md").exists():
        longer = f"To train longer: tinynet train --from {quoted(run.folder)}"
        console.print(f"This run was finished already; only its results are written again. {longer}")
    progress = TrainingProgress()
    try:
        complete = run.train([progress], save_every=save_every, tensorboard=tensorboard, inspect=inspect)
    except OutOfMemoryError:
        _say_kept(run, "With more memory")
        raise
    except KeyboardInterrupt:
        _say_kept(run, "Continue with")
        return False
    finally:
        progress.close()
    if not complete:
        return _say_interrupted(run)
    if trainer.state.stopped:
        kept = run.settings.recipe.training.best_by.final(trainer.state.history)
        weights = f" The weights of epoch {kept['epoch']} are kept." if kept else ""
        console.print(f"Stopped early: {trainer.state.stopped}.{weights}")
    if group.rank == 0:
        try:
            report = run.finish(threads=thread_budget.size())
        except KeyboardInterrupt:
            return _say_interrupted(run)
        _say_result(run, report)
    return True


def _started(architecture: str | None, asked: Asked, group: Group) -> Run:
    from tinynet import backends
    from tinynet.cli.plan import changed
    from tinynet.cli.sources import lasting_name, load_for
    from tinynet.data.datasets import Choices
    from tinynet.runs import provenance, recipe
    from tinynet.runs.run import Run
    from tinynet.runs.settings import Settings

    if asked.freeze and not asked.start:
        raise click.UsageError("--freeze goes with --from: what is frozen keeps the weights of another run.")
    reference = asked.variant == "reference"
    if reference and asked.start and not architecture:
        raise click.UsageError("--recipe goes with an ARCHITECTURE; without one, that of --from is kept.")
    found = provenance.find(asked.start) if asked.start else None
    if found and not architecture:
        plan, name = found.recipe, found.name
    else:
        architecture = architecture or "cnn"
        plan, name = recipe.load(architecture, reference=reference), Path(architecture).stem
    plan = changed(
        plan,
        epochs=asked.epochs,
        batch_size=asked.batch_size,
        validation=asked.validation,
        optimizer=asked.optimizer,
        learning_rate=asked.learning_rate,
        schedule=asked.schedule,
        class_weight=asked.class_weight,
        mixup=asked.mixup,
        cutmix=asked.cutmix,
    )
    group.choose_device(partial(backends.use_device, asked.backend))
    backend = backends.get(asked.backend, convolution=asked.convolution, precision=asked.precision)
    choices = Choices(asked.size, test=asked.test, skip_broken=asked.skip_broken)
    plan, dataset = load_for(plan, asked.dataset, asked.data_dir, choices)
    plan = changed(plan, validation=asked.validation)  # which goes before the recipe's share
    settings = Settings(
        name=name,
        recipe=plan,
        dataset=lasting_name(asked.dataset, dataset.name),
        data_dir=str(asked.data_dir.resolve()) if asked.data_dir else None,
        data_sha256=dataset.sha256,
        seed=asked.seed,
        backend=backend.name,
        dtype=asked.dtype,
        command=command_line(group.launcher),
        convolution=asked.convolution,
        precision=asked.precision,
        start=found.start if found else None,
        freeze=list(asked.freeze),
        test=asked.test,
        skip_broken=asked.skip_broken,
    )
    return Run.start(asked.out, settings, dataset, group)


def _resumed(folder: Path, dataset: str, data_dir: Path | None, group: Group) -> Run:
    from tinynet import backends
    from tinynet.cli.sources import Sources
    from tinynet.runs.run import Run
    from tinynet.runs.settings import read_settings

    _refuse_changes(click.get_current_context(), folder)
    settings = read_settings(folder)
    group.choose_device(partial(backends.use_device, settings.backend))
    backends.get(settings.backend)  # before the data are loaded
    source = click.get_current_context().get_parameter_source("dataset")
    named = source is ParameterSource.COMMANDLINE
    own = Sources(dataset if named else None, data_dir).own(settings, notice=True)
    return Run.resume(folder, settings, own, group)


def _refuse_changes(context: click.Context, resume: Path) -> None:
    """A resumed run keeps its recipe, data, seed and backend: to name another one is an error."""
    from tinynet.printable import quoted

    kept = (
        *("resume", "threads", "dataset", "data_dir", "layers"),
        *("save_every", "tensorboard", "inspect", "distributed"),
    )
    for parameter in context.command.params:
        name = parameter.name or ""
        given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if given and name not in kept:
            longer = f" To train longer: --from {quoted(resume)} instead." if name == "epochs" else ""
            hint = parameter.get_error_hint(context).replace("[ARCHITECTURE]", "ARCHITECTURE")
            raise click.UsageError(f"{hint} does not go with --resume.{longer}")


def _say_origin(run: Run) -> None:
    """Say which weights the run started from, and which of them are frozen."""
    from tinynet.cli.screen import console

    start, store = run.settings.start, run.trainer.model.store
    if start:
        new = f"; {start.reinitialised} re-initialised for other classes" if start.reinitialised else ""
        console.print(f"Started from {start.path} (weights {start.weights_sha256[:16]}){new}.")
    if store.frozen:
        console.print(
            f"Frozen: {', '.join(run.settings.freeze)}; {store.learning_count:,} trainable parameters."
        )


def _say_interrupted(run: Run) -> bool:
    from tinynet.cli.screen import console

    console.print(f"Interrupted and saved. Continue with: {_how_to_resume(run)}", soft_wrap=True)
    return False


def _how_to_resume(run: Run) -> str:
    several = ["--distributed"] if run.group.size > 1 else []
    own = own_layers.again(click.get_current_context())
    return shlex.join([*run.group.launcher, "tinynet", "train", *several, *own, "--resume", str(run.folder)])


def _say_kept(run: Run, why: str) -> None:
    from tinynet.cli.screen import console

    if (run.folder / "last.safetensors").exists():
        console.print(f"The last checkpoint is kept. {why}: {_how_to_resume(run)}", soft_wrap=True)


def _say_result(run: Run, report: Report) -> None:
    from tinynet.cli.screen import console
    from tinynet.printable import quoted
    from tinynet.runs import leakage

    if test := report["test"]:
        console.print(
            f"Test accuracy {100 * test['accuracy']:.2f} % ({test['errors']} of {test['samples']:,} wrong) "
            f"on {run.dataset.name}.",
            style="bold green",
        )
    else:
        console.print("Trained on all data; there is no test part to say how good it is.", style="yellow")
    met = report["facts"]["leakage"]
    if run.settings.start or not leakage.is_clean(met):
        console.print(leakage.sentences(met), style="yellow")
    if run.dataset.notice:
        console.print("Measured on the bundled sample's test images, not on MNIST's 10,000.", style="yellow")
    own = "".join(f" {word}" for word in map(quoted, own_layers.again(click.get_current_context())))
    part = "" if test else " --split train"
    console.print(
        f"Report: {run.folder / 'report.md'}   try: tinynet evaluate {quoted(run.folder)}{part}{own}"
    )
    if report["facts"]["health"]:
        console.print(f"{report['facts']['health']} See {run.folder / 'health.png'}")
    if (run.folder / "tensorboard").exists():
        console.print(f"For TensorBoard: tensorboard --logdir {run.folder.parent}")
