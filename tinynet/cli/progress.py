"""Progress: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from tinynet.backends.base import Backend
from tinynet.cli.screen import console
from tinynet.data.datasets import Choices, Dataset, load
from tinynet.data.download import Progress as DownloadProgress
from tinynet.training import Callback, EpochEnd, StepEnd, Trainer

COMPILING = (
    "compiling kernels for this processor: up to a minute, once for each kind of net"
    " (`tinynet warmup` does all) …"
)
QUIET = 2.0
"""Seconds of silence before `steps` prints lines where there is no terminal."""


def bar_of(*columns: ProgressColumn) -> Progress:
    """A bar that is gone when it ends, and that nobody sees without a terminal."""
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def steps(names: Sequence[str], verb: str) -> Iterator[str]:
    """The names one after another: a bar says which, or lines after QUIET seconds without a terminal."""
    start = time.monotonic()
    with bar_of(TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn()) as bar:
        task = bar.add_task("", total=len(names))
        for number, name in enumerate(names, 1):
            bar.update(task, description=f"{verb} {name}")
            if not console.is_terminal and time.monotonic() - start >= QUIET:
                console.print(f"{verb} {name} ({number} of {len(names)})")
            yield name
            bar.advance(task)


@contextmanager
def fits(total: int, every: float = 10.0) -> Iterator[Callable[[str], None]]:
    """Inside the block: what to call with the name of each of `total` fits that cannot say how far they are.

    A bar counts them and shows the time of each; without a terminal, a line every so many seconds.
    """
    ended = threading.Event()
    name, start, done = "", 0.0, -1

    def announce(begun: str) -> None:
        nonlocal name, start, done
        name, start, done = begun, time.monotonic(), done + 1
        bar.reset(task, completed=done, description=name)
        if not console.is_terminal:
            console.print(f"fitting {name} …")

    def tell() -> None:
        while not ended.wait(every):
            console.print(f"fitting {name} … {time.monotonic() - start:.0f} s")

    columns = (SpinnerColumn(), TextColumn("fitting {task.description}", markup=False), BarColumn())
    with bar_of(*columns, MofNCompleteColumn(), TimeElapsedColumn()) as bar:
        task = bar.add_task("", total=total)
        teller = threading.Thread(target=tell, daemon=True)
        if not console.is_terminal:
            teller.start()
        try:
            yield announce
        finally:
            ended.set()


class TrainingProgress(Callback):
    """A bar for the epoch under way and a line for every epoch done; without a terminal, lines only.

    `title` stands before each of them; without `epoch_lines` an epoch that is done is not announced.
    """

    LINE_EVERY = 10.0
    """Seconds between two lines within an epoch where there is no terminal."""

    def __init__(self, title: str = "", *, epoch_lines: bool = True) -> None:
        self.title, self.epoch_lines = title, epoch_lines
        self.bar = bar_of(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            TimeRemainingColumn(),
        )
        self.task: TaskID | None = None
        self.compiling: TaskID | None = None
        self.backend: Backend | None = None
        self.said_at = time.monotonic()

    def on_start(self, trainer: Trainer) -> None:
        self.task = self.bar.add_task(
            f"{self.title}epoch 0/{trainer.epochs}", total=len(trainer.train), note=""
        )
        self.bar.start()
        self.backend = trainer.model.backend
        self.backend.announce_compiling(self._say_compiling)
        trainer.interrupt.announce = self._say_stopping

    def _say_stopping(self) -> None:
        console.print("Stopping after this step; Ctrl-C again stops at once.")

    def _say_compiling(self, done: int, needed: int) -> None:
        """A line once, and a bar as soon as it is known how many there are."""
        if self.compiling is None:
            self.bar.console.print(COMPILING)
            self.compiling = self.bar.add_task("compiling", total=None, note="kernels", visible=False)
        self.bar.update(self.compiling, completed=done, total=needed or None, visible=needed > 0)

    def steps_to_look(self, trainer: Trainer) -> float:
        return math.inf

    def on_step(self, trainer: Trainer, event: StepEnd) -> None:
        now = time.monotonic()
        wait = 0.1 if console.is_terminal else self.LINE_EVERY
        if self.task is None or now - self.said_at < wait:
            return
        self.said_at = now
        if self.compiling is not None:
            self.bar.update(self.compiling, visible=False)
        epoch, batch, loss = event.epoch + 1, trainer.state.batch, float(event.loss)
        if console.is_terminal:
            self.bar.update(
                self.task,
                completed=batch,
                description=f"{self.title}epoch {epoch}/{trainer.epochs}",
                note=f"loss {loss:.4f}",
            )
        else:
            console.print(
                f"{self.title}epoch {epoch}/{trainer.epochs}  "
                f"batch {batch}/{len(trainer.train)}  loss {loss:.4f}"
            )

    def on_epoch(self, trainer: Trainer, event: EpochEnd) -> None:
        if not self.epoch_lines:
            return
        r = event.record
        epoch = f"{r['epoch']:>{len(str(trainer.epochs))}}/{trainer.epochs}"
        figures = [f"{self.title}epoch {epoch}  loss {r['loss']:.4f}"]
        figures += _measured(r, "")
        if "val_loss" in r:
            figures.append(f"validation {r['val_loss']:.4f}")
        figures += _measured(r, "val_")
        self.bar.console.print(", ".join([*figures, f"{r['seconds']:.1f} s"]))
        self.said_at = time.monotonic()

    def on_end(self, trainer: Trainer) -> None:
        self.close()

    def close(self) -> None:
        """Take the bar off the screen; harmless when it is off already."""
        self.bar.stop()
        self.close_announcements()

    def close_announcements(self) -> None:
        """Let kernels compile in silence."""
        if self.backend is not None:
            self.backend.announce_compiling(None)


class RateProgress(TrainingProgress):
    """A bar for the steps of a search for a learning rate; without a terminal a line now and then."""

    def __init__(self, steps: int) -> None:
        super().__init__(epoch_lines=False)
        self.steps = steps

    def on_start(self, trainer: Trainer) -> None:
        super().on_start(trainer)
        assert self.task is not None
        self.bar.update(self.task, description="learning rates", total=self.steps)

    def on_step(self, trainer: Trainer, event: StepEnd) -> None:
        now = time.monotonic()
        if self.task is None or now - self.said_at < (0.1 if console.is_terminal else self.LINE_EVERY):
            return
        self.said_at = now
        if self.compiling is not None:
            self.bar.update(self.compiling, visible=False)
        note = f"{event.learning_rate:.1e}  loss {float(event.loss):.4f}"
        self.bar.update(self.task, completed=event.step, note=note)
        if not console.is_terminal:
            console.print(f"step {event.step}/{self.steps}  learning rate {note}")


def _measured(record: Mapping[str, Any], prefix: str) -> Iterator[str]:
    """The accuracy, or the errors of values, with their names where no other figures stand before them."""
    if f"{prefix}accuracy" in record:
        yield f"{'' if prefix else 'accuracy '}{100 * record[f'{prefix}accuracy']:5.2f} %"
    for name, label in (("mae", "MAE"), ("rmse", "RMSE"), ("r2", "R²")):
        if f"{prefix}{name}" in record:
            yield f"{label} {record[f'{prefix}{name}']:.4g}"


@contextmanager
def downloads() -> Iterator[DownloadProgress]:
    """Inside the block: what to call with (file, bytes received, bytes in all or None) to show a download."""
    tasks: dict[str, TaskID] = {}
    columns = (BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with bar_of(TextColumn("{task.description}", markup=False), *columns) as progress:

        def show(file: str, received: int, total: int | None) -> None:
            if file not in tasks:
                tasks[file] = progress.add_task(file, total=total)
                if not console.is_terminal:
                    console.print(file if file.startswith("reading ") else f"downloading {file}")
            progress.update(tasks[file], completed=received, total=total)

        yield show


def load_dataset(
    name: str,
    data_dir: object,
    *,
    notice: bool = True,
    choices: Choices = Choices(),  # noqa: B008 (frozen)
) -> Dataset:
    """`tinynet.data.load` with a progress bar where it takes long, and its notice, if any, said loudly."""
    with downloads() as show:
        folder = str(data_dir) if data_dir else None
        dataset = load(name, data_dir=folder, on_progress=show, choices=choices)
    if dataset.notice and notice:
        console.print(f"NOTE: {dataset.notice}", style="bold yellow")
    return dataset


def say_other_data(about: Mapping[str, Any], data: Dataset) -> None:
    """Point out a model that was made for other classes than the data's; `about`: of its checkpoint."""
    if list(data.classes) != about.get("classes"):
        console.print(
            f"NOTE: trained on {about.get('dataset', 'other data')}, evaluated on {data.name}",
            style="bold yellow",
        )
