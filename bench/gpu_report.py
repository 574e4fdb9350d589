"""What `bench/gpu.py` finds, as it finds it: gpu.json with every turn, and gpu.md to read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from compare import Result, as_table
from race import Heat
from roofline import Work

from tinynet.benchmark.harness import OURS
from tinynet.benchmark.rows import Row
from tinynet.benchmark.turns import SCALES, Summary, Turn, figure
from tinynet.experiments.race import mean


class GpuCheck(NamedTuple):
    what: str
    passed: bool
    found: str


class Roofs(NamedTuple):
    """Operations and bytes a second, as measured by a product and by a copy, in float32."""

    peak: float
    bandwidth: float

    def attainable(self, work: Work) -> float:
        """The least seconds for it."""
        return max(work.flops / self.peak, work.moved / self.bandwidth)


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


class Report:
    """What is known so far. `about`: what was asked for, and where it is measured."""

    def __init__(self, out: Path, about: dict[str, Any]) -> None:
        self.out, self.about = out, about
        self.checks: list[GpuCheck] = []
        self.roofs = Roofs(0.0, 0.0)
        self.rows: list[Measured] = []
        self.race: Race | None = None
        self.left_out: list[str] = []
        """Rows, and the race, that there was no time for."""

    def write(self) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        everything = self.about | {
            "checks": [check._asdict() for check in self.checks],
            "roofs": self.roofs._asdict(),
            "rows": [as_named(each) for each in self.rows],
            "race": self.race and self.race.as_dict(),
            "left_out": self.left_out,
        }
        (self.out / "gpu.json").write_text(json.dumps(everything, indent=1) + "\n", "utf-8")
        (self.out / "gpu.md").write_text("\n".join(self._as_markdown()) + "\n", "utf-8")

    def _as_markdown(self) -> Iterator[str]:
        about = self.about
        yield from ("# tinynet on a GPU", "")
        yield f"`python bench/gpu.py`, {about['date']}: {about['device']}."
        yield f"Around it: {about['machine']}; {about['threads']} threads."
        yield from ("", "## Is it right?", "", "| what | | found |", "|---|---|---|")
        for check in self.checks:
            verdict, found = "holds" if check.passed else "**does not hold**", " ".join(check.found.split())
            yield f"| {check.what} | {verdict} | {found} |"
        if self.rows:
            yield from self._rows_in_markdown()
        if self.race:
            yield from self._race_in_markdown(self.race)
        if self.left_out:
            yield from ("", f"No time was left for: {', '.join(self.left_out)}.")
        yield ""
        yield from (f"- {name}: {', '.join(versions)}" for name, versions in about["versions"].items())

    def _rows_in_markdown(self) -> Iterator[str]:
        peers = list(dict.fromkeys(result.peer for each in self.rows for result in each.peers))
        yield from ("", "## How fast is it?", "")
        copy, product = f"{self.roofs.bandwidth / 1e9:,.0f} GB/s", f"{self.roofs.peak / 1e12:.2f} TFLOP/s"
        yield "Median ± half the interquartile range; in brackets ours / theirs, formed round by round: below"
        yield f"1, tinynet needs less. An epoch has {self.about['samples']:,} images. The floor is what the"
        yield "operations take one after the other where each array is moved once, at the speed with which"
        yield f"this device copies large arrays ({copy}) and multiplies large matrices ({product}, float32)."
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
