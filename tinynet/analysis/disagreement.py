"""The images that several nets all call otherwise than their label: a wrong label, or a hard image?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinynet import plots
from tinynet.analysis.evaluation import SHEET
from tinynet.io.markdown import count, markdown_table, percent
from tinynet.plots.disagreement import Bar, Card
from tinynet.types import Array

MOST = 48
"""Images on a sheet, and rows of the table."""
EACH = 6
"""Nets that have a bar each. Of more nets, each answer has one; answers that would be more bars share one."""

Row = Mapping[str, Any]


def against_label(
    labels: Array, probabilities: Array, classes: Sequence[str], files: Array | None = None
) -> list[dict[str, Any]]:
    """The images that every net calls otherwise than their label, those with the surest nets first.

    labels (N,)   probabilities (nets, N, K)   classes: K names   files (N,): of pictures in folders

    Of each image: its `index` (0 … N−1) and `file`; its `label`; the mean over the nets of the
    `probability_of_label`, by which they are sorted; and of `nets` in their order what each `says`, and its
    `confidence`, which is the probability of that.
    """
    answers, confidence = probabilities.argmax(axis=2), probabilities.max(axis=2)
    found = np.flatnonzero((answers != labels).all(axis=0))
    of_label = probabilities[:, found, labels[found]].mean(axis=0, dtype=np.float64)
    order = np.argsort(of_label, kind="stable")
    return [
        {
            "index": int(i),
            **({} if files is None else {"file": str(files[i])}),
            "label": classes[labels[i]],
            "probability_of_label": float(probability),
            "nets": [
                {"says": classes[k], "confidence": float(p)}
                for k, p in zip(answers[:, i], confidence[:, i], strict=True)
            ],
        }
        for i, probability in zip(found[order], of_label[order], strict=True)
    ]


def sentence(rows: Sequence[Row], nets: int, what: str) -> str:
    """How many images are among `rows`; `what`: all that were asked about, in words."""
    who = "Both" if nets == 2 else f"All {nets}"
    return f"{who} nets call {count(len(rows)) if rows else 'none'} of {what} otherwise than their label."


def draw(images: Array, rows: Sequence[Row], said: str, path: Path, *, nets: Sequence[str] = ()) -> None:
    """The sheet: the first images of `rows`, at least one, with what the nets say of each.

    images (N, H, W, C) uint8: all that were asked about   said: the `sentence`
    nets: their names, to be told where each one's answer is shown
    """
    cards = [
        Card(
            images[row["index"]],
            f"#{row['index']}",
            Bar(f"label {row['label']}", row["probability_of_label"]),
            answers(row["nets"]),
        )
        for row in rows[:MOST]
    ]
    few = len(rows[0]["nets"]) <= EACH
    below = "what each net says, with its" if few else "what so many nets say, with their mean"
    caption = (
        "Blue: the label, with the mean of the probabilities that the nets give it."
        f"\nBelow: {below} probability. #: the image's number among all measured, counted from 0."
    )
    if few and nets:
        caption += f"\nThe nets, in the order of their answers: {', '.join(nets)}."
    if len(rows) > MOST:
        more = count(len(rows) - MOST)
        caption += f"\n{more} more, whose label the nets find more probable, are in evaluation.json."
    plots.disagreement(cards, path, title=said.rstrip("."), caption=caption)


def answers(nets: Sequence[Row]) -> list[Bar]:
    """A bar for each of a few nets, in their order; of more nets for each answer, the most frequent first."""
    if len(nets) <= EACH:
        return [Bar(net["says"], net["confidence"]) for net in nets]
    said: dict[str, list[float]] = {}
    for net in nets:
        said.setdefault(net["says"], []).append(net["confidence"])
    groups = sorted(said.items(), key=lambda item: (-len(item[1]), -sum(item[1])))
    if len(groups) > EACH:
        rest = [each for _, shares in groups[EACH - 1 :] for each in shares]
        groups = [*groups[: EACH - 1], ("others", rest)]
    return [
        Bar(f"{len(shares)} {'say' if len(shares) > 1 else 'says'} {name}", sum(shares) / len(shares))
        for name, shares in groups
    ]


def section(rows: Sequence[Row], said: str) -> list[str]:
    """The blocks of a page: `sentence`, and where there are such images the sheet and a table of the same."""
    heading = "## Called otherwise than their label"
    if not rows:
        return [heading, said]
    shown = [
        (
            f"#{row['index']}" + (f" {row['file']}" if "file" in row else ""),
            row["label"],
            percent(row["probability_of_label"]),
            ", ".join(f"{bar.text} ({percent(bar.share)})" for bar in answers(row["nets"])),
        )
        for row in rows[:MOST]
    ]
    more = f" The first {MOST} are shown, evaluation.json has all." if len(rows) > MOST else ""
    return [
        heading,
        f"{said} They stand in the order of the probability that the nets give the label, the least first; "
        f"# is the number among all measured, counted from 0.{more}",
        f"![Called otherwise than their label by all nets]({SHEET})",
        markdown_table(("image", "label", "its probability", "the nets say"), shown),
    ]
