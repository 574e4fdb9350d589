"""What a comparison found, as Markdown and as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pairs import Comparison

from tinynet.benchmark.turns import SCALES, figure

MARKS = "osD^vPX<>"
"""Shapes of the peers, which tell them apart in grey."""


def as_markdown(report: dict[str, Any], results: list[Any]) -> str:
    versions = [f"{name}: {', '.join(found)}" for name, found in report["versions"].items()]
    lines = [
        "# tinynet beside its peers",
        "",
        f"`python bench/compare.py`, {report['date']}, on {report['machine']}; "
        f"{report['threads']} threads, {report['samples']:,} training images.",
        "",
        "ours / theirs below 1: tinynet needs less. Median ± half the interquartile range, over the rounds",
        f"that lost at most {report['most_lost']:.0%} of the processors' time to other programs or machines;",
        "ratios are formed round by round. [How to read and repeat this](../README.md).",
        "",
        "| what | peer | tinynet | peer's | unit | ours / theirs | rounds (discarded) |",
        "|---|---|---:|---:|---|---:|---:|",
        *(f"| {' | '.join(cells(result))} |" for result in results),
        "",
        *(f"- {line}" for line in versions),
    ]
    return "\n".join(lines) + "\n"


def cells(result: Any) -> tuple[str, ...]:
    found: Comparison | None = result.comparison
    if found is None:
        return result.row, result.peer, "", "", "", result.refused, ""
    rounds = f"{found.kept} ({found.discarded})"
    ours, theirs = (figure(side, SCALES[result.unit]) for side in (found.ours, found.theirs))
    return result.row, result.peer, ours, theirs, result.unit, figure(found.ratio), rounds


def draw(path: Path, report: dict[str, Any], results: list[Any]) -> None:
    """The ratios, a line for each row and a mark for each peer; left of 1, tinynet needs less."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import LogLocator, NullFormatter

    timed = [result for result in results if result.comparison]
    rows = list(dict.fromkeys(result.row for result in timed))
    picture, axes = plt.subplots(figsize=(8, 1.5 + 0.45 * len(rows)), layout="constrained")
    peers = list(dict.fromkeys(result.peer for result in timed))
    for number, peer in enumerate(peers):
        own = [result for result in timed if result.peer == peer]
        ratios = [result.comparison.ratio for result in own]
        medians = [ratio.median for ratio in ratios]
        errors = [[r.median - r.first for r in ratios], [r.third - r.median for r in ratios]]
        shift = 0.5 * ((number + 0.5) / len(peers) - 0.5)
        heights = [rows.index(result.row) + shift for result in own]
        mark = MARKS[number % len(MARKS)]
        look = {"fmt": mark, "capsize": 3, "markersize": 7, "markeredgecolor": "black"}
        axes.errorbar(medians, heights, xerr=errors, label=peer, **look)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_yticks(range(len(rows)), rows)
    axes.set_xlabel("ours / theirs (left of 1: tinynet needs less)")
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    less = sum(result.comparison.ratio.median < 1 for result in timed)
    axes.set_title(
        f"tinynet needs less than its peers in {less} of {len(timed)} comparisons\n"
        f"{report['threads']} threads, {report['date']}",
        loc="left",
    )
    if peers:
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    picture.savefig(path, dpi=120)
    plt.close(picture)
