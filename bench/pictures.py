"""Drawings by hands that the reader of pictures was not built on, as people take them: how many are read?

    tinynet train cnn --seed 1 --out runs/cnn-pictures
    python bench/pictures.py runs/cnn-pictures

Writes pictures.md: a row for each condition, and how often a net that is not sure is wrong.
"""

from __future__ import annotations

import datetime
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from drawings import CLEAN, CONDITIONS, DEVELOPMENT, HELD_OUT, Set, draw

from tinynet import checkpoint, machine
from tinynet.analysis.card import NOT_SURE
from tinynet.data.pictures import read_picture
from tinynet.errors import DataError
from tinynet.io.atomic import write_atomic
from tinynet.io.markdown import markdown_table, percent
from tinynet.runs.predictions import predict, read_predictions

RESULTS = Path(__file__).parent / "results" / "pictures.md"
SETS = {"held-out": HELD_OUT, "development": DEVELOPMENT}


class Outcome(NamedTuple):
    digit: int
    hand: str
    found: int | None
    """None where the reader refuses the picture."""
    confidence: float
    several: bool
    """Whether the reader warns of several digits."""

    @property
    def right(self) -> bool:
        return self.found == self.digit


@click.command()
@click.argument("run", type=click.Path(path_type=Path, exists=True))
@click.option("--each", default=3, show_default=True, help="Drawings of each digit under each condition.")
@click.option("--set", "name", type=click.Choice(list(SETS)), default="held-out", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS, help="The file to write.")
def main(run: Path, each: int, name: str, out: Path) -> None:
    """Write bench/results/pictures.md with the net of RUN, which learned from all of MNIST."""
    found = {}
    for condition in CONDITIONS:
        found[condition] = outcomes(run, SETS[name], condition, each)
        click.echo(f"{condition}: {sum(o.right for o in found[condition])} of {len(found[condition])}")
    write_atomic(out, as_markdown(run, each, name, found).encode())


def outcomes(run: Path, chosen: Set, condition: str, each: int) -> list[Outcome]:
    """What the net of a run says of every drawing under that condition."""
    model, loss, _ = checkpoint.load_model(run)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for drawing in draw(chosen, condition, each):
            path = Path(folder) / "picture"
            path.write_bytes(drawing.file)
            try:
                reading = read_picture(path, model.input_shape)
            except DataError:
                results.append(Outcome(drawing.digit, drawing.hand, None, 0.0, False))
                continue
            said = predict(model, loss, reading.image[None])
            guess, sure = int(said.classes[0]), float(said.confidence[0])
            results.append(Outcome(drawing.digit, drawing.hand, guess, sure, reading.digits > 1))
    return results


def as_markdown(run: Path, each: int, name: str, found: dict[str, list[Outcome]]) -> str:
    every = [outcome for outcomes in found.values() for outcome in outcomes]
    clean = [outcome for condition in CLEAN for outcome in found[condition]]
    hands = sorted({outcome.hand for outcome in every})
    options = ("" if each == 3 else f" --each {each}") + ("" if name == "held-out" else f" --set {name}")
    command = f"tinynet train cnn --seed 1 --out {run}\npython bench/pictures.py {run}{options}"
    blocks = [
        "# Pictures, as people take them",
        f"{datetime.date.today()}, on {machine.summary()}.",
        f"```sh\n{command}\n```",
        f"The {name} set of `tests/drawings`: every digit by the hands and fonts {', '.join(hands)}, {each}"
        " times under each condition. The reader was built on another set: other hands, fonts and seeds.",
        f"**{percent(share(every))} of {len(every):,} are read rightly; {percent(share(clean))} of the"
        f" {len(clean):,} under clean conditions (marked ·).**",
        markdown_table(
            ("condition", "right", "of", "warned of several digits", "wrong"),
            [
                (
                    condition + (" ·" if condition in CLEAN else ""),
                    sum(outcome.right for outcome in outcomes),
                    len(outcomes),
                    sum(outcome.several for outcome in outcomes),
                    ", ".join(f"{o.digit} as {o.found} ({o.hand})" for o in outcomes if not o.right),
                )
                for condition, outcomes in found.items()
            ],
        ),
        "## Not sure",
        f"`tinynet predict` calls an answer below {NOT_SURE} not sure. In this table, and of MNIST's test"
        " images by the same net:",
        markdown_table(
            ("images", "right, but not sure", "wrong, and not sure"),
            [
                ("these drawings", *flagged([(o.right, o.confidence) for o in every])),
                ("MNIST's test images", *flagged(tested(run))),
            ],
        ),
    ]
    return "\n\n".join(blocks) + "\n"


def share(outcomes: list[Outcome]) -> float:
    return float(np.mean([outcome.right for outcome in outcomes]))


def tested(run: Path) -> list[tuple[bool, float]]:
    """Whether a run was right about each of its test images, and how sure it was."""
    labels, predicted, confidence, _ = read_predictions(run)
    return list(zip(labels == predicted, confidence, strict=True))


def flagged(answers: list[tuple[bool, float]]) -> tuple[str, str]:
    """How many of the right answers are not sure, and how many of the wrong ones."""
    texts = []
    for wanted in (True, False):
        sure = [confidence for right, confidence in answers if bool(right) == wanted]
        texts.append(f"{sum(confidence < NOT_SURE for confidence in sure):,} of {len(sure):,}")
    return texts[0], texts[1]


if __name__ == "__main__":
    main()
