"""Write the figures of a classical report beside those of the reference report (system R4) as Markdown."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import click

from tinynet.experiments.classical.report import overview
from tinynet.io.atomic import write_atomic
from tinynet.io.markdown import markdown_table, percent

RESULTS = Path(__file__).parent / "results" / "classical.md"
COMMANDS = """\
tinynet reproduce R4
python bench/classical.py runs/R4/report-1"""
REFERENCE = {
    "random forest": ("96.55 %", "96.36 %"),
    "PCA, random forest": ("93.75 %", "93.97 %"),
    "k-means": ("60 %", "59.11 %"),
    "mini-batch k-means": ("94 %", "93.79 %"),
}
"""The reference report's accuracy on its 8,400 validation rows, and Kaggle's score of its submission."""


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS, help="The file to write.")
def main(folder: Path, out: Path) -> None:
    """Write bench/results/classical.md from FOLDER, which `tinynet classical` wrote."""
    report = json.loads((folder / "report.json").read_text("utf-8"))
    write_atomic(out, as_markdown(report).encode())


def as_markdown(report: dict[str, Any]) -> str:
    machine, rows = report["machine"], report["rows"]
    installed = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    blocks = [
        "# The classical models, and nets on the same rows",
        f"{datetime.date.today()}, on {machine['cpu']}, {machine['cores']} cores,"
        f" {report['facts']['threads']} threads; {installed}. The nets are trained first, on the same"
        " rows:",
        f"```sh\n{COMMANDS}\n```",
        f"{rows['train']:,} rows to learn from and {rows['validation']:,} for validation: the first"
        f" {rows['train'] + rows['validation']:,} of MNIST's 60,000 training images, cut 80 to 20 by the"
        f" seed {report['facts']['seed']}. The test table is MNIST's {rows['test']:,} test images. A net"
        " learns from fewer rows, as it keeps validation rows of its own among them. Times are of one run"
        " each; on a machine that is busy with other work, mini-batch k-means takes ten times as long.",
        overview(report),
        "## Beside the reference report (R4)",
        "The same models and the same split, but of Kaggle's 42,000 rows, drawn otherwise from the same"
        " 70,000 images. Kaggle's score is of its 28,000 test rows, ours of the 10,000 test images.",
        markdown_table(
            ("model", "validation", "theirs", "test", "theirs (Kaggle)"),
            [
                (
                    model["name"],
                    percent(model["validation"]["accuracy"]),
                    REFERENCE[model["name"]][0],
                    percent(model["test"]["accuracy"]),
                    REFERENCE[model["name"]][1],
                )
                for model in report["models"]
                if model["name"] in REFERENCE
            ],
        ),
        markdown_table(
            ("PCA, 95 % of the variance", "ours", "theirs"),
            [
                ("components", report["pca"]["kept"], 153),
                (
                    "reconstruction MSE, validation rows",
                    f"{report['pca']['validation_error']:.1f}",
                    220.2,
                ),
            ],
        ),
    ]
    return "\n\n".join(blocks) + "\n"


if __name__ == "__main__":
    main()
