"""What `bench/gpu.py` finds, as it finds it: one JSON file with every turn, and one of Markdown to read."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from compare import Result, as_table
from gpu_kernels import Roofs, StepTimes, Timed
from race import Heat

from tinynet.benchmark.harness import OURS
from tinynet.benchmark.rows import Row
from tinynet.benchmark.turns import SCALES, Summary, Turn, figure
from tinynet.experiments.race import mean


class GpuCheck(NamedTuple):
    what: str
    passed: bool
    found: str


class Measured(NamedTuple):
    """A row: ours (None without a clean round), its floor in seconds, and the peers beside ours."""

    row: Row
    ours: Summary | None
    floor: float
    turns: list[Turn]
    peers: list[Result]


class Race(NamedTuple):
    """The heats of each contender, a seed each; and who did not take part, and why."""

    heats: dict[str, list[Heat]]
    refused: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        heats = {name: [heat._asdict() for heat in each] for name, each in self.heats.items()}
        return {"heats": heats, "refused": self.refused}


class StepFound(NamedTuple):
    """A step of ours: how many launches it records, the model's seconds for it, and those that it took."""

    row: Row
    launches: float
    predicted: float | None
    times: StepTimes

    def as_dict(self) -> dict[str, Any]:
        return self._asdict() | {"row": self.row.name, "times": self.times._asdict()}


class Report:
    """What is known so far. `about`: what was asked for, and where it is measured."""

    def __init__(self, out: Path, name: str, about: dict[str, Any]) -> None:
        self.out, self.name, self.about = out, name, about
        self.checks: list[GpuCheck] = []
        self.roofs: Roofs | None = None
        self.floors: dict[str, float] = {}
        """The least seconds of each row, by the roofs."""
        self.steps: list[StepFound] = []
        self.rows: list[Measured] = []
        self.kernels: dict[str, list[Timed]] = {}
        """Those of a step, by its row."""
        self.race: Race | None = None
        self.left_out: list[str] = []
        """What there was no time for."""

    def write(self) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        everything = self.about | {
            "checks": [check._asdict() for check in self.checks],
            "roofs": self.roofs and self.roofs._asdict(),
            "steps": [each.as_dict() for each in self.steps],
            "rows": [as_named(each) for each in self.rows],
            "kernels": {row: [each.as_dict() for each in found] for row, found in self.kernels.items()},
            "race": self.race and self.race.as_dict(),
            "left_out": self.left_out,
        }
        (self.out / f"{self.name}.json").write_text(json.dumps(everything, indent=1) + "\n", "utf-8")
        (self.out / f"{self.name}.md").write_text("\n".join(self._as_markdown()) + "\n", "utf-8")

    def _as_markdown(self) -> Iterator[str]:
        about = self.about
        yield from ("# tinynet on a GPU", "")
        yield f"`python bench/gpu.py {self.name.removeprefix('gpu-')}`, {about['date']}: {about['device']}."
        yield f"Around it: {about['machine']}; {about['threads']} threads. Precision: {about['precision']}."
        if self.checks:
            yield from ("", "## Is it right?", "", "| what | | found |", "|---|---|---|")
        for check in self.checks:
            verdict, found = "holds" if check.passed else "**does not hold**", " ".join(check.found.split())
            yield f"| {check.what} | {verdict} | {found} |"
        if self.roofs:
            yield from _roofs_in_markdown(self.roofs)
        if self.steps:
            yield from _steps_in_markdown(self.steps)
        if self.rows:
            yield from self._rows_in_markdown()
        if self.race:
            yield from self._race_in_markdown(self.race)
        for row, found in self.kernels.items():
            yield from ("", f"## Kernels of {row}", "")
            yield from kernels_in_markdown(found)
        if self.left_out:
            yield from ("", f"No time was left for: {', '.join(self.left_out)}.")
        yield ""
        yield from (f"- {name}: {', '.join(versions)}" for name, versions in about["versions"].items())

    def _rows_in_markdown(self) -> Iterator[str]:
        peers = list(dict.fromkeys(result.peer for each in self.rows for result in each.peers))
        yield from ("", "## How fast is it?", "")
        yield "Median ± half the interquartile range; in brackets ours / theirs, formed round by round: below"
        yield f"1, tinynet needs less. An epoch has {self.about['samples']:,} images. The floor is what the"
        yield "operations take one after the other where each array is moved once, at the speed of the large"
        yield "copy and the large product above."
        yield "Arrays that stay in a cache move faster."
        yield from ("", f"| | tinynet | floor | floor / tinynet |{''.join(f' {peer} |' for peer in peers)}")
        yield f"|---|---:|---:|---:|{'---:|' * len(peers)}"
        yield from (in_markdown(each, peers) for each in self.rows)
        refused = [(each, result) for each in self.rows for result in each.peers if result.refused]
        yield from [""] * bool(refused)
        yield from (f"- {each.row.name}, {result.peer}: {result.refused}" for each, result in refused)

    def _race_in_markdown(self, found: Race) -> Iterator[str]:
        goal, seeds = self.about["goal"], self.about["seeds"]
        yield from ("", f"## Time to {goal:g} % test accuracy", "")
        yield f"Recipe `{self.about['race']}` on {self.about['dataset']}: the mean of {seeds} seed(s) ± half"
        yield "of its 95 % interval. Seconds to compile (a rehearsal with each size of batch, in a new"
        yield "process), to load all images to the device, to train (first step to last) and to evaluate."
        yield from ("", "| | test accuracy, % | compile | load | train | evaluate |", f"|---|{'---:|' * 5}")
        for name, heats in found.heats.items():
            accuracy = mean([heat.accuracy for heat in heats]).text(100)
            seconds = [mean(values).text() for values in zip(*map(parts_of, heats), strict=True)]
            yield f"| {name} | {' | '.join([accuracy, *seconds])} |"
        reached = mean([heat.accuracy for heat in found.heats[OURS.name]]).value >= goal / 100
        yield from ("", f"tinynet {'reaches' if reached else '**does not reach**'} {goal:g} %.")
        yield from (f"- {name}: {why}" for name, why in found.refused.items())


def _roofs_in_markdown(roofs: Roofs) -> Iterator[str]:
    yield from ("", "## What can the card do?", "")
    yield f"- a large product in float32: {roofs.peak / 1e12:.2f} TFLOP/s"
    yield f"- a large copy: {roofs.bandwidth / 1e9:,.0f} GB/s, read and written"
    if not math.isnan(roofs.begin):
        yield f"- a small kernel among 100 of a graph: {1e6 * roofs.begin:.2f} µs"


def _steps_in_markdown(steps: list[StepFound]) -> Iterator[str]:
    yield from ("", "## Predicted and measured", "")
    yield "A recorded step of ours in µs: by the model of an H100 (`bench/gpu_model.py`); on the device, by"
    yield "events around all that it launches; on the wall; and of the processor alone."
    yield ""
    yield "| step | launches | predicted | on the device | measured / predicted | wall | processor |"
    yield f"|---|{'---:|' * 6}"
    for each in steps:
        wall, device, processor = each.times
        ratio = f"{device / each.predicted:.2f}" if device and each.predicted else ""
        predicted, on_device, *others = (
            f"{1e6 * value:.1f}" if value else "" for value in (each.predicted, device, wall, processor)
        )
        launches = f"{each.launches:.3g}" if each.launches else ""
        cells = [each.row.name, launches, predicted, on_device, ratio, *others]
        yield f"| {' | '.join(cells)} |"


def kernels_in_markdown(found: list[Timed]) -> Iterator[str]:
    """A row for each kernel and shapes, the costliest first."""
    yield "| kernel | launches | shapes | predicted, µs | measured, µs | GB/s | TFLOP/s |"
    yield "|---|---:|---|---:|---:|---:|---:|"
    for each in found:
        work = each.launch.work
        cells = [each.launch.kernel, str(each.count), each.launch.shapes, f"{1e6 * each.predicted:.1f}"]
        cells += [f"{1e6 * each.seconds:.1f}", f"{work.moved / each.seconds / 1e9:,.0f}"]
        cells += [f"{work.flops / each.seconds / 1e12:.2f}" if work.flops else ""]
        yield f"| {' | '.join(cells)} |"


def parts_of(heat: Heat) -> tuple[float, ...]:
    return heat.compile, heat.load, heat.train, heat.evaluate


def in_markdown(each: Measured, peers: list[str]) -> str:
    """A row of the table, with a cell for each of these peers."""
    scale, unit = SCALES[each.row.unit], each.row.unit
    ours = f"{figure(each.ours, scale)} {unit}" if each.ours else "no clean round"
    share = f"{each.floor / each.ours.median:.0%}" if each.ours else ""
    compared = {result.peer: result.comparison for result in each.peers}
    cells = [each.row.name, ours, f"{scale * each.floor:.3g} {unit}", share]
    for found in map(compared.get, peers):
        cells.append(f"{figure(found.theirs, scale)} ({found.ratio.median:.2f})" if found else "")
    return f"| {' | '.join(cells)} |"


def as_named(each: Measured) -> dict[str, Any]:
    """Named values, all the way down."""
    return {
        "row": each.row.name,
        "batch": each.row.batch,
        "ours": each.ours and each.ours._asdict(),
        "floor": each.floor,
        "turns": [turn._asdict() for turn in each.turns],
        "peers": [as_table(result) for result in each.peers],
    }
