"""What the last rung of the course shows of all of MNIST: the nets of an ensemble, the trials, what all miss.

    tinynet ensemble best/best-ours-* --tta 1 --out together
    python bench/last_percent.py together --trial trials/mild --trial trials/strong

Run both in one folder: where the runs lie is read from what the first has written.
Writes tinynet/learn/last_percent.json, and keeps the trials that are in it already. Every figure comes from
the ensemble's evaluation.json and the trials' reports; the images that all nets miss come from the data set.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

import tinynet
from tinynet.data import load
from tinynet.io.atomic import write_atomic
from tinynet.learn.last_percent import NAME, encoded
from tinynet.runs import provenance
from tinynet.runs.report import read_report
from tinynet.runs.settings import read_settings

FILE = Path(tinynet.__file__).parent / "learn" / NAME
DATA = re.compile(r"([\d,]+) test images? of ([\w-]+)")


@click.command()
@click.argument("together", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--trial",
    "trials",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="One more run that was compared on validation images. Can be repeated.",
)
@click.option("--out", type=click.Path(path_type=Path), default=FILE, help="The file to write.")
def main(together: Path, trials: tuple[Path, ...], out: Path) -> None:
    """Write tinynet/learn/last_percent.json of what `tinynet ensemble --out TOGETHER` wrote."""
    evaluation = json.loads((together / "evaluation.json").read_text("utf-8"))
    before = json.loads(out.read_text("utf-8"))["trials"] if out.exists() else []
    told = {each["trial"]: each for each in (*before, *map(trial, trials))}
    found = record(evaluation, [*told.values()])
    write_atomic(out, f"{json.dumps(found, indent=1, ensure_ascii=False)}\n".encode())
    click.echo(f"{len(found['nets'])} nets, {len(found['missed'])} images that all miss: {out}")


def record(evaluation: Mapping[str, Any], trials: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the file holds; see `tinynet.learn.last_percent.read`."""
    described = DATA.match(evaluation["data"])
    if described is None:
        raise click.UsageError(f"evaluated on {evaluation['data']}, where test images are asked for.")
    name = described[2]
    test, ensemble = load(name).test, evaluation["ensemble"]
    return {
        "dataset": name,
        "images": evaluation["samples"],
        "nets": [net(each) for each in ensemble["nets"]],
        "together": errors(ensemble["together"]),
        "trials": [*trials],
        "missed": [
            {**row, "image": encoded(test.images[row["index"]])} for row in evaluation["against_label"]
        ],
    }


def net(found: Mapping[str, Any]) -> dict[str, Any]:
    """One net of the ensemble, by the name of its run's folder and of its recipe."""
    folder = Path(found["net"])
    return {"net": folder.name, "recipe": read_settings(folder).name, **errors(found)}


def errors(found: Mapping[str, Any]) -> dict[str, int]:
    """How many images a net, or all together, got wrong; where it averaged over shifts, also without that."""
    averaged = {"unshifted": found["tta"]["without"]["errors"]} if "tta" in found else {}
    return {"errors": found["errors"], **averaged}


def trial(folder: Path) -> dict[str, Any]:
    """A run by its folder's name, and how many of its validation images its final weights had right."""
    settings = read_settings(folder)
    _, held_out = provenance.train_and_validation(settings, provenance.load_data(settings))
    share = read_report(folder)["training"]["final_val_accuracy"]
    return {"trial": folder.name, "right": round(share * len(held_out)), "images": len(held_out)}


if __name__ == "__main__":
    main()
