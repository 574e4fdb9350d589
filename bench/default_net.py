"""The net that comes with the page, from the run that trained it: weights, figures and card in one file.

    tinynet train freehand --dataset mnist --threads 1 --out runs/freehand
    python bench/default_net.py runs/freehand

Writes tinynet/page/weights/digits.safetensors. The card has what `tinynet card` says, and how many
of the drawings of bench/freehand.py the net reads.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from freehand import read

from tinynet import checkpoint
from tinynet.cli.page import Page, of_run
from tinynet.cli.sources import Sources
from tinynet.io.markdown import count, percent
from tinynet.metrics import wilson_interval
from tinynet.page.default import WEIGHTS

EACH = 16
"""Drawings of each shape."""


@click.command()
@click.argument("run", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--data-dir", type=click.Path(path_type=Path, file_okay=False), envvar="TINYNET_DATA")
@click.option("--out", type=click.Path(path_type=Path), default=WEIGHTS, help="The file to write.")
def main(run: Path, data_dir: Path | None, out: Path) -> None:
    """Write the weights of the page's own net, and what is known of it."""
    page = of_run(run, "auto", Sources(None, data_dir))
    if page.changed is None:
        raise click.ClickException("the run's data are needed: --data-dir")
    model, loss, about = page.loaded
    changed, images = page.changed
    own = {
        "facts": page.about,
        "card": card(page, run),
        "float16": {"changed": changed, "images": images},
    }
    checkpoint.save_model(out, model, loss, {**about, **own})
    click.echo(f"{out}: {out.stat().st_size:,} bytes; {changed} of {images:,} answers change in float16")


def card(page: Page, run: Path) -> dict[str, Any]:
    """The run's card, with a section about drawings."""
    answers = read(run, EACH)
    shapes = dict.fromkeys(zip(answers.digits, answers.shapes, strict=True))
    counted = {shape: sum(answers.right(*shape)) for shape in shapes}
    right, total = sum(counted.values()), EACH * len(shapes)
    low, high = map(percent, wilson_interval(right, total))
    drawn = {
        "heading": "By drawings on a screen",
        "text": [
            f"Of {count(total)} drawings, {EACH} of each of {len(shapes)} shapes of the digits, it reads"
            f" {percent(right / total)} (95 % interval {low} to {high}). A program drew them, no person, and"
            " the net was not trained on them. These are the shapes that it does not always read:",
        ],
        "head": ["shape", "right", "drawings"],
        "rows": [
            [f"{digit}, {shape}", str(own), str(EACH)]
            for (digit, shape), own in counted.items()
            if own < EACH
        ],
    }
    sections = page.card["sections"]
    place = [section["heading"] for section in sections].index("Whose handwriting") + 1
    return {**page.card, "sections": [*sections[:place], drawn, *sections[place:]]}


if __name__ == "__main__":
    main()
