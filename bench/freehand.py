"""Digits drawn freehand, in several shapes: how many does a net read that learned from MNIST alone?

    tinynet train freehand --dataset mnist --threads 1 --out runs/freehand
    python bench/freehand.py runs/freehand

Writes freehand.md: a row for each shape of each digit, beside the net's figure on MNIST's own test images.
"""

from __future__ import annotations

import datetime
import sys
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from drawings.freehand import freehand

from tinynet import checkpoint, machine
from tinynet.analysis.card import NOT_SURE
from tinynet.data.strokes import rasterize
from tinynet.io.atomic import write_atomic
from tinynet.io.markdown import markdown_table, percent
from tinynet.metrics import wilson_interval
from tinynet.runs.predictions import predict
from tinynet.runs.report import read_report

RESULTS = Path(__file__).parent / "results" / "freehand.md"


class Answers(NamedTuple):
    """Of all drawings, in order."""

    digits: list[int]
    shapes: list[str]
    found: list[int]
    confidence: list[float]

    def right(self, digit: int, shape: str) -> list[bool]:
        """Of one shape."""
        rows = zip(self.digits, self.shapes, self.found, strict=True)
        return [found == digit for each, name, found in rows if (each, name) == (digit, shape)]

    def wrong(self, digit: int, shape: str) -> str:
        """What a shape was taken for."""
        rows = zip(self.digits, self.shapes, self.found, self.confidence, strict=True)
        return ", ".join(
            f"{found} ({100 * sure:.0f} %)"
            for each, name, found, sure in rows
            if (each, name) == (digit, shape) and found != digit
        )


@click.command()
@click.argument("run", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--each", default=16, show_default=True, help="Drawings of each shape.")
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS, help="The file to write.")
def main(run: Path, each: int, out: Path) -> None:
    """Write bench/results/freehand.md with the net of RUN."""
    answers = read(run, each)
    write_atomic(out, as_markdown(run, each, answers).encode())
    click.echo(f"{percent(share(answers))} of {len(answers.digits)} drawings: {out}")


def read(run: Path, each: int) -> Answers:
    """What the net of a run says of every drawing."""
    model, loss, _ = checkpoint.load_model(run)
    drawings = [*freehand(each)]
    images = np.stack([rasterize(drawing.strokes) for drawing in drawings])[..., None]
    said = predict(model, loss, images)
    digits, shapes, _ = zip(*drawings, strict=True)
    return Answers([*digits], [*shapes], said.classes.tolist(), said.confidence.tolist())


def share(answers: Answers) -> float:
    return float(np.mean(np.equal(answers.digits, answers.found)))


def as_markdown(run: Path, each: int, answers: Answers) -> str:
    report = read_report(run)
    shapes = dict.fromkeys(zip(answers.digits, answers.shapes, strict=True))
    right = np.equal(answers.digits, answers.found)
    unsure = np.array(answers.confidence) < NOT_SURE
    interval = " to ".join(map(percent, wilson_interval(int(right.sum()), len(right))))
    test = report["test"]
    tested = " to ".join(map(percent, test["interval"]))
    options = "" if each == 16 else f" --each {each}"
    blocks = [
        "# Drawn freehand",
        f"{datetime.date.today()}, on {machine.summary()}.",
        f"```sh\n{report['facts']['command']}\npython bench/freehand.py {run}{options}\n```",
        f"{len(right)} drawings by `tests/drawings/freehand.py`: {len(shapes)} shapes of the ten digits,"
        f" {each} of each. They differ in slant, proportions, tremor, thickness (every third one is gone"
        " over twice), size, place and rotation, up to 15 degrees to either side. A program draws them, no"
        " person. No net is trained on them.",
        markdown_table(
            ("images", "right", "95 % interval", "number"),
            [
                ("these drawings", percent(float(right.mean())), interval, len(right)),
                ("MNIST's test images", percent(test["accuracy"]), tested, test["samples"]),
            ],
        ),
        f"An answer below {percent(NOT_SURE)} is called not sure: {int((unsure & right).sum())} of the"
        f" {int(right.sum())} right ones, {int((unsure & ~right).sum())} of the {int((~right).sum())} wrong"
        " ones.",
        markdown_table(
            ("digit", "shape", "right", "of", "taken for"),
            [
                (digit, shape, sum(own := answers.right(digit, shape)), len(own), answers.wrong(digit, shape))
                for digit, shape in shapes
            ],
        ),
    ]
    return "\n\n".join(blocks) + "\n"


if __name__ == "__main__":
    main()
