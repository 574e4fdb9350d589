"""tinynet card: how good a net is, on whose data, and what it must not be used for."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tinynet.cli import options
from tinynet.cli.command import Command
from tinynet.cli.out import Out

if TYPE_CHECKING:
    from tinynet.analysis.card import Part
    from tinynet.checkpoint import Loaded
    from tinynet.data.datasets import Dataset, Split
    from tinynet.runs.settings import Settings
    from tinynet.types import Array

AT_MOST = 10_000
"""Images of training, and of validation, that are measured: the first ones."""
WORSE = 2_000
"""Test images that are made worse, in each way: the first ones."""


@click.command(cls=Command, short_help="How good is a net, for whom, and what is it not for?")
@click.argument("run", required=False, type=click.Path(path_type=Path))
@click.option("--out", type=Out(dir_okay=False, in_folder=True), help="Write the card here (Markdown).")
@options.together(
    options.measured_dataset,
    options.data_dir,
    options.skip_broken,
    options.backend,
    options.layers,
    options.threads,
)
def command(
    run: Path | None,
    out: Path | None,
    dataset: str | None,
    data_dir: Path | None,
    skip_broken: bool,
    backend: str,
) -> None:
    """Write the model card of RUN, a run's folder or a safetensors file: Markdown.

    Accuracy and the recall of each class with their 95 % intervals are the run's own report's. Measured
    anew are training, validation and test images side by side, how far probabilities can be believed, slices
    by stroke thickness, slant and size, and images made worse. It says whose handwriting the data are, and
    what RUN must not be used for. Without RUN it is the card of the net that comes with tinynet. `tinynet
    export` puts the same card into the page.

    \b
    Examples:
      tinynet card runs/cnn-1
      tinynet card runs/cnn-1 --out card.md
      tinynet card
    """
    from tinynet import checkpoint
    from tinynet.analysis.card import as_markdown
    from tinynet.cli.progress import say_other_data
    from tinynet.cli.screen import console
    from tinynet.cli.sources import Sources
    from tinynet.io.atomic import write_atomic
    from tinynet.page import default
    from tinynet.runs import provenance

    if run is None:
        card = default.load(backend).about["card"]
    else:
        with redirect_stdout(sys.stderr):  # what is said on the way is no part of the card
            loaded = checkpoint.load_model(run, backend=backend)
            settings = provenance.settings_of(run, loaded.about)
            data = Sources(dataset, data_dir, skip_broken).to_measure(settings, loaded)
            say_other_data(loaded.about, data)
            card = card_of(run, loaded, data)
    if out is None:
        click.echo(as_markdown(card), nl=False)
        return
    write_atomic(out, as_markdown(card).encode(errors="backslashreplace"))
    console.print(f"Card: {out}")


def card_of(run: Path, loaded: Loaded, data: Dataset | None) -> dict[str, Any]:
    """The card of the net in a run's folder or a safetensors file, measured on `data` if there are any.

    Raises DataError as `check_fits`.
    """
    from tinynet.analysis import card
    from tinynet.losses import check_label_range
    from tinynet.runs import provenance
    from tinynet.runs.predictions import class_names
    from tinynet.runs.report import read_report

    model, loss, about = loaded
    report = read_report(run) if (run / "report.json").exists() else None
    settings = provenance.settings_of(run, about)
    parts: dict[str, Part] = {}
    worse: dict[str, Array] = {}
    if data is not None:
        check_fits(loaded, data)
        check_label_range(data.test.labels, loss.classes(model.output_shape[-1]))
        parts = {name: measured(loaded, split) for name, split in _splits(settings, data)}
        if len(data.test) and card.is_digits(data.test.images, data.classes):
            worse = made_worse(loaded, data.test)
    own = data is None or (settings is not None and settings.data_sha256 == data.sha256)
    known = data.classes if data else about.get("classes", [])
    return card.card(
        facts(run, loaded, report, data),
        class_names(known, loss.classes(model.output_shape[-1])),
        parts,
        report["test"] if report is not None and own else None,
        worse,
    )


def check_fits(loaded: Loaded, data: Dataset) -> None:
    """Raise DataError where the images are of another size than the net takes, or of other classes."""
    from tinynet.errors import DataError

    taken, given = (
        " x ".join(map(str, each)) for each in (loaded.model.input_shape, data.train.images.shape[1:])
    )
    known = loaded.about.get("classes")
    said = (("its images are", taken, given), ("its classes are", known, [*data.classes]))
    for what, expected, received in said:
        if expected and expected != received:
            raise DataError(
                f"{data.name} is not for this net: {what} others",
                expected=expected if isinstance(expected, str) else ", ".join(map(str, expected)),
                received=received if isinstance(received, str) else ", ".join(received),
                fix="name the data that the net was trained for: --dataset",
            )


def is_unfinished(run: Path) -> bool:
    """Whether it is the folder of a run that was stopped: it has no report."""
    return run.is_dir() and not (run / "report.json").exists()


def _splits(settings: Settings | None, data: Dataset) -> Iterator[tuple[str, Split]]:
    """What can be measured, by name: training and validation images of the run's own data alone."""
    from tinynet.data.datasets import Split
    from tinynet.runs import provenance

    if settings is not None and settings.data_sha256 == data.sha256:
        names = ("training", "validation")
        for name, split in zip(names, provenance.train_and_validation(settings, data), strict=True):
            if len(split):
                yield name, Split(split.images[:AT_MOST], split.labels[:AT_MOST])
    if len(data.test):
        yield "test", data.test


def measured(loaded: Loaded, split: Split) -> Part:
    """What the net makes of these images."""
    from tinynet.analysis.card import Part
    from tinynet.runs.predictions import predict

    return Part(split.images, split.labels, predict(loaded.model, loaded.loss, split.images).probabilities)


def made_worse(loaded: Loaded, test: Split) -> dict[str, Array]:
    """Whether the net is right about each of the first test images, made worse in ways so named."""
    from tinynet.analysis.corruptions import corruptions
    from tinynet.runs.predictions import predict

    model, loss, _ = loaded
    images, labels = test.images[:WORSE], test.labels[:WORSE]
    return {
        name: predict(model, loss, changed).classes == labels
        for name, changed in corruptions(images, model.backend)
    }


def facts(
    run: Path, loaded: Loaded, report: Mapping[str, Any] | None, data: Dataset | None
) -> dict[str, Any]:
    """What is known of a net besides its figures, as `card` takes it."""
    from tinynet import checkpoint
    from tinynet.runs import leakage

    model, _, about = loaded
    known = report["facts"] if report else {}
    met = known.get("leakage")
    trained_on = known.get("data") or {"name": about.get("dataset"), "hash": about.get("data_sha256")}
    if data is not None and trained_on["hash"] != data.sha256:
        remark = (
            f"All figures are of {data.name}, SHA-256 {data.sha256}. `tinynet evaluate` says how many of its"
        )
        remarks = [f"{remark} images the net was trained on."]
    else:
        remarks = [f"The test images: {leakage.sentences(met)}"] if met else []
    if is_unfinished(run):
        remarks += ["Its training was stopped: the weights are as they were last saved."]
    return {
        "name": about.get("name") or run.stem,
        "parameters": model.store.count + model.store.state_count,
        "weights_sha256": checkpoint.weights_sha256(model),
        "input_shape": model.input_shape,
        "data": trained_on,
        "command": known.get("command"),
        "remarks": remarks,
    }
