"""tinynet beside other frameworks: same net, data, initial weights, Adam and threads, in interleaved rounds.

    python bench/compare.py                            # everything, with every peer that is set up
    python bench/compare.py --rows '*-step' --peers torch,jax

Each contender is a process of its own; only one computes at a time. A peer whose first losses (or outputs,
for inference) differ from ours is not timed. See bench/README.md.
"""

from __future__ import annotations

import datetime
import fnmatch
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import click
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import tables  # noqa: E402
from backends import machine  # noqa: E402
from pairs import Comparison, CpuTimes, Turn, clean, compare, disagreement  # noqa: E402

from tinynet import Sequential, config, data, recipe, threads  # noqa: E402

LOSS_TOLERANCES = (1e-5, 1e-3, 5e-3)
"""Within which the losses of the first steps must agree, relative for those above 1. Adam's first steps are
as long for a gradient that is mere rounding as for any other, so right answers drift apart quickly."""
OUTPUT_TOLERANCE = 1e-4
PAUSE = 0.05
"""Seconds before a turn: some libraries' threads spin on for a while, on cores that the next one needs."""
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    threads.VARIABLE,
)


TakeTurn: TypeAlias = Callable[[], tuple[float, float]]
"""Returns what was measured, and the processor time (s) that the contender used for it."""


class Contender(NamedTuple):
    name: str
    module: str
    mode: str
    kinds: tuple[str, ...] = ("step", "epoch", "infer", "start-up", "memory")
    """The kinds of rows it takes part in."""


class Row(NamedTuple):
    name: str
    kind: str
    net: str
    batch: int
    unit: str = "ms"
    most_rounds: int = 1000
    cold: bool = False
    """Start with an empty cache of compiled kernels."""


class Result(NamedTuple):
    row: str
    peer: str
    unit: str
    comparison: Comparison | None
    refused: str = ""
    """Why there is no comparison."""
    ours: Sequence[Turn] = ()
    theirs: Sequence[Turn] = ()


class Settings(NamedTuple):
    folder: Path
    """Where nets, weights and data lie for all contenders."""
    peers: Path
    rounds: int
    seconds: float
    most_lost: float
    threads: int


OURS = Contender("tinynet", "tinynet", "auto")
PEERS = [
    Contender("torch", "torch", "eager"),
    Contender("torch-compile", "torch", "compile", ("step", "epoch", "infer")),
    Contender("jax", "jax", "jit"),
    Contender("tensorflow", "tensorflow", "function"),
    Contender("onnxruntime", "onnxruntime", "session", ("infer",)),
]
BATCH = {"linear": 64, "mlp": 64, "lenet": 128, "kaggle-cnn": 32}
ROWS = [
    *(Row(f"{net}-step", "step", net, batch) for net, batch in BATCH.items()),
    Row("mlp-epoch", "epoch", "mlp", 64, "s", 10),
    *(Row(f"{net}-infer-{n}", "infer", net, n) for net in ("mlp", "lenet", "kaggle-cnn") for n in (1, 256)),
    Row("start-up-warm", "start-up", "mlp", 64, "s", 5),
    Row("start-up-cold", "start-up", "mlp", 64, "s", 3, cold=True),
    Row("mlp-memory", "memory", "mlp", 64, "MiB", 3),
]


class Worker:
    """A contender's process. It computes between a request and its answer, at no other time."""

    def __init__(self, contender: Contender, row: Row, settings: Settings, **environment: str) -> None:
        python = interpreter(contender, settings.peers)
        what = [contender.module, contender.mode, settings.folder, row.net, row.batch]
        self.name = contender.name
        self.cpu = 0.0  # seconds of processor time it has used
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed with the process)
        self.process = subprocess.Popen(
            [python, HERE / "peers" / "worker.py", *map(str, what)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env=os.environ | dict.fromkeys(THREAD_VARIABLES, str(settings.threads)) | environment,
        )

    def ask(self, do: str, **arguments: Any) -> Any:
        """The answer to a request; RuntimeError with what went wrong."""
        assert self.process.stdin
        assert self.process.stdout
        try:
            self.process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self.process.stdin.flush()
            reply = json.loads(self.process.stdout.readline() or "{}")
        except BrokenPipeError:
            reply = {}
        if "answer" not in reply:
            raise RuntimeError(f"{self.name}: {reply.get('error') or self._last_words()}")
        self.cpu = reply["cpu"]
        return reply["answer"]

    def __enter__(self) -> Worker:
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


def interpreter(contender: Contender, peers: Path) -> Path:
    if contender.module == OURS.module:
        return Path(sys.executable)
    return peers / contender.module / "bin" / "python"


# --- what all contenders get ------------------------------------------------------------------------------


def write_nets(folder: Path, names: set[str]) -> None:
    """Each net's layers and initial weights, for bench/peers/net.py to read."""
    for name in names:
        plan = recipe.load(name)
        model = Sequential.from_config(plan.as_table(), backend="numpy")
        table = {
            "layers": [config.to_table(layer) for layer in model.layers],
            "input_shapes": [layer.input_shape for layer in model.layers],
            "loss": plan.training.loss["type"],
        }
        weights = {f"{i}.{key}": a for i, layer in enumerate(model.layers) for key, a in layer.params.items()}
        (folder / f"{name}.json").write_text(json.dumps(table), "utf-8")
        np.savez(folder / f"{name}.npz", **weights)


def write_data(folder: Path, images: np.ndarray, labels: np.ndarray) -> None:
    np.save(folder / "images.npy", images)
    np.save(folder / "labels.npy", labels)


# --- one row ----------------------------------------------------------------------------------------------


def measure(
    row: Row, peers: list[Contender], settings: Settings, on_round: Callable[[], None]
) -> list[Result]:
    """Ours beside each of the peers."""
    with ExitStack() as stack:
        refused: dict[str, str] = {}
        turns: dict[str, TakeTurn] = {}
        expected: list[float] = []
        for contender in (OURS, *peers):
            try:
                worker = stack.enter_context(Worker(contender, row, settings))
                answer = check(worker, row)
                expected = expected or answer
                if problem := disagreement(expected, answer, tolerances(row, len(expected))):
                    refused[contender.name] = f"not timed: {problem}"
                else:
                    turns[contender.name] = ready(contender, worker, row, settings)
            except RuntimeError as error:
                if contender == OURS:
                    raise
                refused[contender.name] = f"failed: {error}"
        most_lost = 1.0 if row.kind == "memory" else settings.most_lost
        played = play(turns, min(settings.rounds, row.most_rounds), most_lost, on_round)
    return [outcome(row, peer, played, refused, most_lost) for peer in peers]


def check(worker: Worker, row: Row) -> list[float]:
    """What must be the same for all: outputs where the row is about inference, else the first losses."""
    return worker.ask("outputs") if row.kind == "infer" else worker.ask("losses", steps=len(LOSS_TOLERANCES))


def tolerances(row: Row, count: int) -> Sequence[float]:
    return [OUTPUT_TOLERANCE] * count if row.kind == "infer" else LOSS_TOLERANCES


def ready(contender: Contender, worker: Worker, row: Row, settings: Settings) -> TakeTurn:
    """What a turn of this contender is, with all that comes before the first one done."""
    if row.kind in ("step", "epoch", "infer"):
        worker.ask("warm", what=row.kind, seconds=settings.seconds)
        return lambda: turn(worker)
    measure_fresh = {"start-up": start_up, "memory": memory}[row.kind]
    if row.kind == "start-up" and not row.cold:
        start_up(contender, row, settings)  # fills the caches
    return lambda: fresh_turn(lambda: measure_fresh(contender, row, settings))


def turn(worker: Worker) -> tuple[float, float]:
    before = worker.cpu
    return worker.ask("turn"), worker.cpu - before


def fresh_turn(run: Callable[[], float]) -> tuple[float, float]:
    """A turn that starts a process and ends it."""
    before, value, after = os.times(), run(), os.times()
    used = (b - a for a, b in zip(before, after, strict=True))
    return value, sum(list(used)[:4])  # of user and system time, ours and that of children that ended


def start_up(contender: Contender, row: Row, settings: Settings) -> float:
    """Seconds from nothing to the loss of the first step."""
    with tempfile.TemporaryDirectory() as empty:
        cache = empty if row.cold else str(settings.folder / "kernels")
        began = time.perf_counter()
        with Worker(contender, row, settings, NUMBA_CACHE_DIR=cache) as worker:
            worker.ask("losses", steps=1)
            return time.perf_counter() - began


def memory(contender: Contender, row: Row, settings: Settings) -> float:
    """The most memory (MiB) that a process training for an epoch holds."""
    with Worker(contender, row, settings) as worker:
        return worker.ask("memory")


def play(
    turns: dict[str, TakeTurn], rounds: int, most_lost: float, on_round: Callable[[], None]
) -> dict[str, list[Turn]]:
    """Everyone in turn, round after round, until `rounds` are clean or twice as many were played."""
    played: dict[str, list[Turn]] = {name: [] for name in turns}
    clean_rounds = 0
    for _ in range(2 * rounds):
        for name, take_turn in turns.items():
            time.sleep(PAUSE)
            before = CpuTimes.now()
            value, own = take_turn()
            played[name].append(Turn(value, before.lost_until(CpuTimes.now(), own)))
        on_round()
        clean_rounds += clean(*(own[-1] for own in played.values()), most_lost=most_lost)
        if clean_rounds == rounds:
            break
    return played


def outcome(
    row: Row, peer: Contender, played: dict[str, list[Turn]], refused: dict[str, str], most_lost: float
) -> Result:
    if peer.name in refused:
        return Result(row.name, peer.name, row.unit, None, refused[peer.name])
    ours, theirs = played[OURS.name], played[peer.name]
    comparison = compare(ours, theirs, most_lost)
    why_not = "" if comparison else "no clean round"
    return Result(row.name, peer.name, row.unit, comparison, why_not, ours, theirs)


# --- all rows ---------------------------------------------------------------------------------------------


def about(contender: Contender, row: Row, settings: Settings) -> list[str]:
    """The versions in a contender's environment."""
    with Worker(contender, row, settings) as worker:
        return [" ".join(item) for item in worker.ask("about").items()]


def write(out: Path, report: dict[str, Any], results: list[Result]) -> None:
    """peers.json with every turn, peers.md and peers.png."""
    out.mkdir(parents=True, exist_ok=True)
    everything = report | {"loss_tolerances": LOSS_TOLERANCES, "output_tolerance": OUTPUT_TOLERANCE}
    everything |= {"results": [as_table(result) for result in results]}
    (out / "peers.json").write_text(json.dumps(everything, indent=1) + "\n", "utf-8")
    (out / "peers.md").write_text(tables.as_markdown(report, results), "utf-8")
    tables.draw(out / "peers.png", report, results)


def as_table(result: Result) -> dict[str, Any]:
    """Named values, all the way down."""
    found = result.comparison
    sides = ("ours", "theirs", "ratio")
    named = found and found._asdict() | {side: getattr(found, side)._asdict() for side in sides}
    return result._asdict() | {"comparison": named}


def chosen_rows(patterns: str) -> list[Row]:
    rows = [row for row in ROWS if any(fnmatch.fnmatch(row.name, p) for p in patterns.split(","))]
    if not rows:
        raise click.BadParameter(f"no row is called {patterns}; there are: {', '.join(r.name for r in ROWS)}")
    return rows


def chosen_peers(names: str, folder: Path) -> list[Contender]:
    """Those of these names, or of all names, that are set up."""
    known = {peer.name: peer for peer in PEERS}
    wanted = names.split(",") if names else list(known)
    if unknown := set(wanted) - set(known):
        raise click.BadParameter(f"no peer is called {unknown.pop()}; there are: {', '.join(known)}")
    there = [known[name] for name in wanted if interpreter(known[name], folder).exists()]
    if missing := [name for name in wanted if known[name] not in there]:
        console.print(f"not set up, left out: {', '.join(missing)} (bench/peers/setup makes them)")
    return there


console = Console()


@click.command()
@click.option("--rows", default="*", help="Names or patterns of rows, comma separated.  [default: all]")
@click.option("--peers", default="", help="Names of peers, comma separated.  [default: all that are set up]")
@click.option("--rounds", default=15, show_default=True, help="Clean rounds wanted of a row.")
@click.option("--seconds", default=0.5, show_default=True, help="How long a turn should take.")
@click.option("--threads", "count", type=int, help="Threads, and cores, of each contender.  [default: all]")
@click.option("--lost", default=0.05, show_default=True, help="Discard rounds that lost more to others.")
@click.option("--dataset", default="auto", show_default=True, help="mnist, sample, or auto.")
@click.option(
    "--environments", type=Path, envvar="TINYNET_PEERS", default=".peers", help="The peers' folder."
)
@click.option("--out", type=Path, default=HERE / "results", help="Folder for peers.json, .md and .png.")
@click.option("--date", default=str(datetime.date.today()), help="The date to write down.  [default: today]")
def main(
    rows: str,
    peers: str,
    rounds: int,
    seconds: float,
    count: int | None,
    lost: float,
    dataset: str,
    environments: Path,
    out: Path,
    date: str,
) -> None:
    """Compare tinynet with other frameworks, row by row; the files are written after each row."""
    plan, contenders = chosen_rows(rows), chosen_peers(peers, environments)
    count = count or threads.budget()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])  # the workers inherit it
    train = data.load(dataset).train
    with tempfile.TemporaryDirectory() as name:
        settings = Settings(Path(name), environments, rounds, seconds, lost, count)
        write_data(settings.folder, train.images, train.labels)
        write_nets(settings.folder, {row.net for row in plan})
        versions = {c.module: about(c, plan[0], settings) for c in (OURS, *contenders)}
        report = {
            "date": date,
            "machine": machine(),
            "threads": count,
            "samples": len(train),
            "most_lost": lost,
            "versions": versions,
        }
        results: list[Result] = []
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console, refresh_per_second=1) as progress:
            for row in plan:
                task = progress.add_task(row.name, total=min(rounds, row.most_rounds))
                taking_part = [peer for peer in contenders if row.kind in peer.kinds]
                results += measure(row, taking_part, settings, lambda task=task: progress.advance(task))
                write(out, report, results)
    for result in results:
        console.print("  ".join(tables.cells(result)), highlight=False)
    console.print(f"written to {out}")


if __name__ == "__main__":
    main()
