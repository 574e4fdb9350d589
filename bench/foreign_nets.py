"""Nets made by Keras 3 and PyTorch, read by `tinynet import`: are its answers theirs? Writes foreign_nets.md.

    bench/peers/setup .peers keras torch-export
    python bench/foreign_nets.py

Each program makes its nets in its own environment and says its probabilities for the same images. Files that
tinynet has to refuse are among them.
"""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np

from tinynet.checkpoint import load_model
from tinynet.data import load
from tinynet.errors import TinynetError
from tinynet.io.atomic import write_atomic
from tinynet.io.markdown import markdown_table, plain
from tinynet.losses import SoftmaxCrossEntropy
from tinynet.types import Array

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "foreign_nets.md"
PROGRAMS = {"torch-export": "torch_nets.py", "keras": "keras_nets.py"}
"""By the name of the environment: the program that makes nets there."""
IMAGES = 1280
MOST = 1e-5
"""The greatest difference of a probability that is allowed."""
LONGEST = 160
"""Characters of a refusal in the table."""


class Found(NamedTuple):
    """What came of one file."""

    net: dict[str, str]
    size: int
    """Bytes."""
    difference: float
    """The greatest between two probabilities; NaN where the file is refused."""
    said: str
    """The refusal."""

    @property
    def is_right(self) -> bool:
        wanted = self.net["refused"]
        return wanted in self.said and bool(self.said) if wanted else self.difference <= MOST


@click.command()
@click.option(
    "--peers", type=click.Path(path_type=Path), default=Path(os.environ.get("TINYNET_PEERS", ".peers"))
)
@click.option("--programs", default=",".join(PROGRAMS), show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS, help="The file to write.")
def main(peers: Path, programs: str, out: Path) -> None:
    """Write bench/results/foreign_nets.md. Exit code 1: an answer differs, or a refusal is missing."""
    found, versions = [], []
    with tempfile.TemporaryDirectory() as name:
        for program in programs.split(","):
            folder = Path(name) / program
            folder.mkdir()
            given = images()
            np.savez(
                folder / "images.npz", grey=given["grey"], colour=given["colour"], labels=given["labels"]
            )
            ran([peers / program / "bin" / "python", HERE / "peers" / PROGRAMS[program], folder])
            made = json.loads((folder / "nets.json").read_text())
            versions.append(made["versions"])
            for result in read_all(folder, made["nets"]):
                click.echo(f"{result.net['file']}: {result.said or result.difference}")
                found.append(result)
    write_atomic(out, as_markdown(found, versions).encode())
    if wrong := [each.net["file"] for each in found if not each.is_right]:
        raise click.ClickException(f"not as they should be: {', '.join(wrong)}")


def images() -> dict[str, Array]:
    """Images of the bundled sample: grey (N, 28, 28, 1), and three shades of them (N, 28, 28, 3)."""
    train = load("sample").train
    grey = train.images[:IMAGES]
    return {
        "grey": grey,
        "colour": np.concatenate([grey, 255 - grey, grey // 2], axis=-1),
        "labels": train.labels[:IMAGES],
    }


def ran(command: list[Any]) -> None:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=900)
    if done.returncode:
        raise click.ClickException(f"{command[0]}: {done.stderr[-2000:]}")


def read_all(folder: Path, nets: list[dict[str, str]]) -> Iterator[Found]:
    with np.load(folder / "images.npz") as file:
        given = {name: file[name] for name in file.files}
    for net in nets:
        path, model = folder / net["file"], folder / "model.safetensors"
        model.unlink(missing_ok=True)
        recipe = folder / net["recipe"] if net["recipe"].endswith(".toml") else net["recipe"]
        chosen = ["--recipe", str(recipe)] if path.suffix == ".safetensors" else []
        command = [sys.executable, "-m", "tinynet", "import", str(path), "-o", str(model), *chosen]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        said, difference = " ".join(done.stderr.split()).replace(f"{folder}/", ""), np.nan
        if "Traceback" in said:
            said = "a traceback"
        elif not done.returncode and not net["refused"]:
            try:
                ours = probabilities(model, given[net["images"]])
                difference = float(np.abs(ours - np.load(folder / f"{net['file']}.npy")).max())
            except TinynetError as error:
                said = " ".join(str(error).split())
        yield Found(net, path.stat().st_size, difference, said if np.isnan(difference) else "")


def probabilities(path: Path, images: Array) -> Array:
    """(N, K), by the model of that file for images (N, H, W, C)."""
    model, loss, _ = load_model(path, backend="numpy")
    outputs = model.predict(images).astype(np.float64)
    if not isinstance(loss, SoftmaxCrossEntropy):
        return outputs
    powers = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def as_markdown(found: list[Found], versions: list[str]) -> str:
    def row(each: Found) -> list[str]:
        return [each.net["name"], f"`{each.net['file']}`", f"{each.size:,}", answer(each)]

    def answer(each: Found) -> str:
        nothing = "read, though it has to be refused" if each.net["refused"] else "answers that are NaN"
        text = f"{each.difference:.1e}" if each.difference >= 0 else each.said or nothing
        text = textwrap.shorten(text, LONGEST, placeholder=" …")
        return plain(text) if each.is_right else f"**{plain(text)}**"

    read = [each for each in found if not each.net["refused"]]
    refused = [each for each in found if each.net["refused"]]
    right = sum(each.is_right for each in found)
    blocks = [
        "# Nets of Keras and PyTorch, read by `tinynet import`",
        f"`python bench/foreign_nets.py`, {datetime.date.today()}; {', '.join(versions)}."
        f" {right} of {len(found)} files are as they should be.",
        f"Each net was trained for some steps on {IMAGES:,} images of the bundled sample, in grey or in three"
        " shades of it, and written by its own program. Then the probabilities of both for those images are"
        f" compared. The difference may be {MOST:g}.",
        "`export` is PyTorch's ONNX by `torch.export`, `trace` its older way. Files of safetensors are a"
        " `state_dict`, read with `--recipe`.",
        markdown_table(["net", "file", "bytes", "greatest difference of a probability"], [*map(row, read)]),
        "These have to be refused by name:",
        markdown_table(["net", "file", "bytes", "what tinynet says"], [*map(row, refused)]),
    ]
    return "\n\n".join(blocks) + "\n"


if __name__ == "__main__":
    main()
