"""Contenders in processes of their own, what they all get, and what a turn of each kind of row is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinynet import threads
from tinynet.benchmark.rows import Row
from tinynet.benchmark.turns import Summary, TakeTurn, Turn, clean, play, summary
from tinynet.data.datasets import load
from tinynet.errors import TinynetError
from tinynet.io import tables
from tinynet.runs.recipe import Recipe
from tinynet.types import Array

HERE = Path(__file__).parent
DIGIT = (28, 28, 1)
NOISE = 4096
"""Images of noise, for a net that takes no digits: as many as the steps of a turn go through."""
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    threads.VARIABLE,
)


class Contender(NamedTuple):
    name: str
    python: Path
    file: Path
    """With its class `Peer`; see net.py."""
    mode: str
    kinds: tuple[str, ...] = ("step", "epoch", "infer", "start-up", "memory")
    """The kinds of rows it takes part in."""


OURS = Contender("tinynet", Path(sys.executable), HERE / "tinynet_.py", "auto")


class Conditions(NamedTuple):
    folder: Path
    """Where nets, weights and data lie for all contenders."""
    rounds: int
    seconds: float
    """How long a turn should take."""
    most_lost: float
    """Rounds that lost a larger share of the processors to others are discarded."""
    threads: int

    def most_lost_in(self, row: Row) -> float:
        """Memory does not depend on who else computes; and a cold start has helpers of its own compile, which
        nobody waits for, so that their time counts as others'."""
        return 1.0 if row.kind == "memory" or row.cold else self.most_lost


class Result(NamedTuple):
    """What the turns of a row came to, without a second contender."""

    row: Row
    found: Summary | None
    """None when no round was clean."""
    images_per_second: float | None
    kept: int
    discarded: int
    turns: list[Turn]

    def as_dict(self) -> dict[str, Any]:
        """Named values, all the way down; times in seconds, memory in MiB."""
        found = self.found and self.found._asdict()
        turns = [turn._asdict() for turn in self.turns]
        return self._asdict() | {"row": self.row.name, "found": found, "turns": turns}


class ContenderError(TinynetError, RuntimeError):
    """A contender's process failed."""


class Process:
    """A contender at work. It computes between a request and its answer, at no other time."""

    def __init__(
        self, contender: Contender, net: str, batch: int, conditions: Conditions, **environment: str
    ) -> None:
        what = [contender.file, contender.mode, conditions.folder, net, batch]
        self.name = contender.name
        self.cpu = 0.0  # seconds of processor time it has used
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed with the process)
        self.process = subprocess.Popen(
            [contender.python, HERE / "worker.py", *map(str, what)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env=os.environ | dict.fromkeys(THREAD_VARIABLES, str(conditions.threads)) | environment,
        )

    def ask(self, do: str, **arguments: Any) -> Any:
        """The answer to a request. Raises ContenderError with what went wrong."""
        assert self.process.stdin
        assert self.process.stdout
        try:
            self.process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self.process.stdin.flush()
            reply = json.loads(self.process.stdout.readline() or "{}")
        except BrokenPipeError:
            reply = {}
        if "answer" not in reply:
            raise ContenderError(f"{self.name}: {reply.get('error') or self._last_words()}")
        self.cpu = reply["cpu"]
        return reply["answer"]

    def timed(self, do: str, **arguments: Any) -> tuple[Any, float]:
        """The answer, and the processor time (s) it took."""
        before = self.cpu
        return self.ask(do, **arguments), self.cpu - before

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            self.process.communicate(timeout=10)  # its input ends, so it does
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
        self.log.close()

    def _last_words(self) -> str:
        self.process.wait()
        self.log.seek(0)
        return self.log.read().strip().rpartition("\n")[2] or "ended without a word"


# --- what all contenders get ------------------------------------------------------------------------------


def write_net(folder: Path, name: str, plan: Recipe, seed: int = 0) -> None:
    """A net's layers and initial weights, for net.py to read; for one that takes no digits, noise as data."""
    model = plan.build_model(backend="numpy", seed=seed)
    table = {
        "layers": [tables.to_table(layer) for layer in model.layers],
        "input_shapes": [layer.input_shape for layer in model.layers],
        "loss": type(plan.training.loss).__name__,
        "seed": seed,
    }
    weights: dict[str, Array] = {
        f"{i}.{key}": a for i, layer in enumerate(model.layers) for key, a in layer.params.items()
    }
    (folder / f"{name}.json").write_text(json.dumps(table), "utf-8")
    np.savez(folder / f"{name}.npz", **weights)  # type: ignore[arg-type]
    if plan.input_shape != DIGIT:
        rng = np.random.default_rng(seed)
        images = rng.integers(0, 256, (NOISE, *plan.input_shape), np.uint8)
        write_data(folder, images, rng.integers(0, 10, NOISE), f"{name}-")


def write_data(folder: Path, images: Array, labels: Array, prefix: str = "") -> None:
    np.save(folder / f"{prefix}images.npy", images)
    np.save(folder / f"{prefix}labels.npy", labels)


def write_digits(folder: Path, count: int = 60_000) -> int:
    """The bundled digits, over and over, as many as MNIST has; returns `count`."""
    train = load("sample").train
    write_data(
        folder, np.resize(train.images, (count, *train.images.shape[1:])), np.resize(train.labels, count)
    )
    return count


# --- turns ------------------------------------------------------------------------------------------------


def measure(
    row: Row, contender: Contender, conditions: Conditions, on_round: Callable[[], None]
) -> list[Turn]:
    """The turns of one contender that has the machine to itself."""
    with Process(contender, row.net, row.batch, conditions) as process:
        turns = {contender.name: ready(contender, process, row, conditions)}
        rounds = min(conditions.rounds, row.most_rounds)
        return play(turns, rounds, conditions.most_lost_in(row), on_round)[contender.name]


def result(row: Row, turns: list[Turn], conditions: Conditions, samples: int) -> Result:
    """Over the clean turns, with `samples` training images."""
    values = [turn.value for turn in turns if clean(turn, most_lost=conditions.most_lost_in(row))]
    found = summary(values) if values else None
    images = {"step": row.batch, "infer": row.batch, "epoch": samples}.get(row.kind)
    speed = images / found.median if images and found else None
    return Result(row, found, speed, len(values), len(turns) - len(values), turns)


def ready(contender: Contender, process: Process, row: Row, conditions: Conditions) -> TakeTurn:
    """What a turn of this contender is, with all that comes before the first one done."""
    if row.kind in ("step", "epoch", "infer"):
        process.ask("warm", what=row.kind, seconds=conditions.seconds)
        return lambda: process.timed("turn")
    measure_fresh = {"start-up": start_up, "memory": memory}[row.kind]
    if row.kind == "start-up" and not row.cold:
        start_up(contender, row, conditions)  # fills the caches
    return lambda: fresh_turn(lambda: measure_fresh(contender, row, conditions))


def fresh_turn(run: Callable[[], float]) -> tuple[float, float]:
    """A turn that starts a process and ends it."""
    before, value, after = os.times(), run(), os.times()
    used = (b - a for a, b in zip(before, after, strict=True))
    return value, sum(list(used)[:4])  # of user and system time, ours and that of children that ended


def start_up(contender: Contender, row: Row, conditions: Conditions) -> float:
    """Seconds from nothing to the loss of the first step."""
    with tempfile.TemporaryDirectory() as empty:
        cache = empty if row.cold else str(conditions.folder / "kernels")
        began = time.perf_counter()
        with Process(contender, row.net, row.batch, conditions, NUMBA_CACHE_DIR=cache) as process:
            process.ask("losses", steps=1)
            return time.perf_counter() - began


def memory(contender: Contender, row: Row, conditions: Conditions) -> float:
    """The most memory (MiB) that a process training for an epoch holds."""
    with Process(contender, row.net, row.batch, conditions) as process:
        most: float = process.ask("memory")
        return most


# --- where it was measured --------------------------------------------------------------------------------


def about(contender: Contender, net: str, conditions: Conditions) -> list[str]:
    """The versions in a contender's environment."""
    with Process(contender, net, 1, conditions) as process:
        return [" ".join(item) for item in process.ask("about").items()]
