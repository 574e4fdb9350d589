"""The reference systems, run here: the same nets by their settings and by ours, beside their figures.

R1 to R3 are nets, each trained with several seeds; a goal is for the mean of their test accuracies. (R4 is
`classical`.) "best" is a net of our own, beside what is known of single nets. Every run is a folder
of its own, with a submission as Kaggle takes them; so what was interrupted goes on, and what is there already
is not run again.
"""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tinynet import machine
from tinynet.callbacks.log import as_lines, read_log
from tinynet.data import kaggle
from tinynet.data.datasets import Dataset, load
from tinynet.experiments import classical
from tinynet.experiments.systems import SYSTEMS, Entry
from tinynet.io.markdown import markdown_table, run_section, warning, write_json, write_page
from tinynet.runs import recipe
from tinynet.runs.predictions import read_predictions
from tinynet.runs.run import train_once
from tinynet.runs.settings import Settings
from tinynet.training import Callback

BESIDE_CLASSICAL = ("mlp", "cnn")
"""Our nets in the report of R4."""


@dataclass(frozen=True)
class Outcome:
    """What the runs of an entry came to: accuracies on the test images, seconds of training, and two hashes
    that are the same when they are made again, interrupted or not: of the weights, and of what the log says
    of steps and epochs but for the seconds they took."""

    entry: Entry
    accuracies: list[float]
    losses: list[float]
    seconds: list[float]
    weights: list[str]
    logs: list[str]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.accuracies)

    @property
    def deviation(self) -> float | None:
        """The sample's standard deviation; None for a single seed."""
        return statistics.stdev(self.accuracies) if len(self.accuracies) > 1 else None

    @property
    def reached(self) -> bool | None:
        """Whether the mean reaches the goal; None without one."""
        return None if self.entry.goal is None else self.mean >= self.entry.goal

    def cells(self) -> list[str]:
        """A row of the table: net, seeds, accuracy, goal, seconds a run."""
        spread = "" if self.deviation is None else f" ± {100 * self.deviation:.2f}"
        goal = "" if self.entry.goal is None else f"{100 * self.entry.goal:g} %"
        verdict = {None: "", True: " reached", False: " MISSED"}[self.reached]
        return [
            self.entry.name,
            str(len(self.accuracies)),
            f"{100 * self.mean:.2f}{spread} %",
            goal + verdict,
            f"{statistics.fmean(self.seconds):.0f}",
        ]


COLUMNS = ("net", "seeds", "test accuracy, mean ± standard deviation", "goal", "seconds a run")


def run_entry(
    entry: Entry,
    dataset: Dataset,
    folder: Path,
    *,
    settings: dict[str, Any],
    listen: Callable[[str], Callback],
    threads: int,
) -> Outcome:
    """Train `entry` seed by seed, each into a folder below `folder`; Ctrl-C raises KeyboardInterrupt.

    `settings` are the `runs.Settings` that no entry decides; `listen(title)` makes a listener for a run.
    """
    reports = []
    for seed in range(entry.seeds):
        kind = "reference" if entry.reference else "ours"
        place = folder / f"{entry.architecture}-{kind}-{seed}"
        asked = Settings(
            name=entry.architecture,
            recipe=recipe.load(entry.architecture, reference=entry.reference),
            data_sha256=dataset.sha256,
            seed=seed,
            **{"dataset": dataset.name, **settings},
        )
        reports.append(train_with_submission(place, asked, dataset, listen, threads))
    return Outcome(
        entry,
        [each["test"]["accuracy"] for each in reports],
        [each["training"]["final_loss"] for each in reports],
        [each["training"]["seconds_total"] for each in reports],
        [each["facts"]["weights_sha256"] for each in reports],
        [each["log_sha256"] for each in reports],
    )


def run_beside_classical(
    dataset: Dataset,
    folder: Path,
    *,
    settings: dict[str, Any],
    listen: Callable[[str], Callback],
    threads: int,
) -> list[Path]:
    """R4: train our mlp and cnn on the rows that the classical models are fitted on; return their folders.

    Arguments as for `run_entry`. The rows are kept in `folder`/rows.
    """
    rows = folder.resolve() / "rows"
    if not (rows / kaggle.TRAIN).exists():  # it is written last
        (rows / kaggle.TEST).unlink(missing_ok=True)
        classical.write_rows(rows, classical.from_dataset(dataset))
    cut = load(str(rows))
    for name in BESIDE_CLASSICAL:
        asked = Settings(
            name=name,
            recipe=recipe.load(name),
            data_sha256=cut.sha256,
            seed=0,
            **{**settings, "dataset": str(rows), "data_dir": None},
        )
        train_with_submission(folder / name, asked, cut, listen, threads)
    return [folder / name for name in BESIDE_CLASSICAL]


def train_with_submission(
    place: Path,
    asked: Settings,
    dataset: Dataset,
    listen: Callable[[str], Callback],
    threads: int,
) -> dict[str, Any]:
    """`train_once` in the folder `place`, and beside its report a submission for Kaggle.

    Returns the run's report, with the hash of its log: see `Outcome`.
    """
    found = train_once(place, asked, dataset, listen=partial(listen, place.name), threads=threads)
    submission = place / "submission.csv"
    if not submission.exists():
        kaggle.write_submission(submission, read_predictions(place).predicted)
    return {**found, "log_sha256": log_sha256(place / "log.jsonl")}


def log_sha256(path: Path) -> str:
    """The hash of what a log says was learned: its steps and epochs without the seconds they took."""
    lines = [line for line in read_log(path) if line["event"] in ("step", "epoch")]
    timeless = [{name: value for name, value in line.items() if name != "seconds"} for line in lines]
    return hashlib.sha256(as_lines(timeless).encode()).hexdigest()


def goals_of_other_data(name: str) -> str:
    """Words for a data set that the goals are not for; none for MNIST."""
    return "" if name == "mnist" else "; the goals are those for MNIST"


def write_report(
    folder: Path, name: str, dataset: Dataset, outcomes: Sequence[Outcome], facts: dict[str, Any]
) -> None:
    """report.md and report.json in `folder`; `facts` as for a run's report."""
    system = SYSTEMS[name]
    report = {
        "system": name,
        "theirs": system.theirs,
        "dataset": {"name": dataset.name, "source": dataset.source, "hash": dataset.sha256},
        "outcomes": [asdict(each) | {"mean": each.mean, "deviation": each.deviation} for each in outcomes],
        "facts": facts,
        "machine": machine.facts(),
        "versions": machine.versions(),
    }
    write_json(folder / "report.json", report)
    blocks = [
        f"# {name}: {system.title}",
        *warning(facts.get("notice")),
        f"Theirs: {system.theirs}.",
        f"Ours, on {dataset.name} ({len(dataset.test):,} test images{goals_of_other_data(dataset.name)}):",
        markdown_table(COLUMNS, [each.cells() for each in outcomes]),
        *_hashes("weights", {each.entry.name: each.weights for each in outcomes}),
        *_hashes("logs, without the seconds in them", {each.entry.name: each.logs for each in outcomes}),
        *run_section(
            [
                ("hash of the data", dataset.sha256),
                *((key, facts.get(key)) for key in ("date", "backend", "threads")),
            ],
            report,
        ),
    ]
    write_page(folder / "report.md", blocks)


def _hashes(what: str, found: Mapping[str, Sequence[str]]) -> list[str]:
    """A sentence and a list: the beginning of each hash, by the names of the nets."""
    lines = [f"- {name}: {', '.join(each[:16] for each in hashes)}" for name, hashes in found.items()]
    return [f"SHA-256 of the {what}, seed by seed:", "\n".join(lines)]
