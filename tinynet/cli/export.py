"""tinynet export: a net as one HTML file, in which a person draws and sees its answer."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from tinynet.cli import options
from tinynet.cli.command import Command

if TYPE_CHECKING:
    from tinynet.checkpoint import Loaded
    from tinynet.cli.sources import Sources
    from tinynet.data.datasets import Dataset
    from tinynet.model import Sequential
    from tinynet.types import Array


@click.command(cls=Command, short_help="A page on which to draw for your net: one HTML file.")
@click.argument("run", required=False, type=click.Path(path_type=Path))
@click.option(
    "--to", "kind", type=click.Choice(["html"]), default="html", show_default=True, help="Of what kind."
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("digits.html"),
    show_default=True,
    help="The file to write.",
)
@click.option("--float32", is_flag=True, help="Write weights in 32 bits, not in 16: larger, and not rounded.")
@options.together(options.measured_dataset, options.data_dir, options.backend, options.threads)
def command(
    run: Path | None,
    kind: str,
    out: Path,
    float32: bool,
    dataset: str | None,
    data_dir: Path | None,
    backend: str,
) -> None:
    """Write RUN, a run's folder or a safetensors file, as a page: one file that works without a network.

    Open it in any browser, from the disk or any web host: draw a digit, by mouse, finger, pen or keyboard,
    and see the answer, every layer, and why. Without RUN it is the net that comes with tinynet, small and
    trained for drawings. The page has RUN's card (`tinynet card`), measured on its data where they are found.

    \b
    Examples:
      tinynet export --to html -o digits.html
      tinynet export runs/best-1 --to html -o best.html
      tinynet export runs/cnn-1 --float32
    """
    from tinynet.analysis.card import as_markdown
    from tinynet.cli.screen import console
    from tinynet.cli.sources import Sources
    from tinynet.io.atomic import write_atomic
    from tinynet.page import build

    page = default(backend) if run is None else of_run(run, backend, Sources(dataset, data_dir))
    model, loss, _ = page.loaded
    text = build(
        model, page.about, page.classes, as_markdown(page.card), loss=loss, float16=not float32
    ).encode()
    write_atomic(out, text)
    console.print(
        f"{out}: {len(text) / 1e6:.2f} MB, weights in {32 if float32 else 16} bits. {page.remark(float32)}"
    )


class Page(NamedTuple):
    """What a page is made of."""

    loaded: Loaded
    about: dict[str, str]
    """Facts to be shown, by name."""
    classes: list[str]
    card: dict[str, Any]
    """As `analysis.card` makes it."""
    changed: tuple[int, int] | None
    """How many of so many test images get another answer in float16; None where there are no images."""

    def remark(self, float32: bool) -> str:
        """What is said of the weights' rounding."""
        if float32:
            return "Its answers are the net's own."
        if self.changed is None:
            return "How many answers the rounding changes is not known: the data were not found."
        return f"The rounding changes the answer for {self.changed[0]:,} of {self.changed[1]:,} test images."


def default(backend: str) -> Page:
    """The net that comes with tinynet."""
    from tinynet.page import default as own

    loaded = own.load(backend)
    kept: dict[str, Any] = loaded.about
    changed = (kept["float16"]["changed"], kept["float16"]["images"])
    return Page(loaded, kept["facts"], kept["classes"], kept["card"], changed)


def of_run(run: Path, backend: str, sources: Sources) -> Page:
    """The net in a run's folder or a safetensors file; without its data, the card has what the report says.

    Raises RunError where the run is not finished, ConfigError as `check_showable`.
    """
    from tinynet import checkpoint
    from tinynet.cli.card import card_of
    from tinynet.runs.predictions import class_names

    loaded = checkpoint.load_model(run, backend=backend)
    check_showable(loaded)
    data = own_data(run, loaded, sources)
    card = card_of(run, loaded, data)
    return Page(
        loaded,
        shown(loaded.about.get("name") or run.stem, loaded.about.get("dataset"), card["figures"].get("test")),
        class_names(loaded.about.get("classes", []), loaded.model.output_shape[-1]),
        card,
        changed(loaded, copy.deepcopy(loaded.model), data.test.images) if data else None,
    )


def own_data(run: Path, loaded: Loaded, sources: Sources) -> Dataset | None:
    """The data that the net was trained for; None, and a note, where they are not found."""
    from tinynet.cli.screen import console
    from tinynet.errors import TinynetError
    from tinynet.runs import provenance

    try:
        data = sources.to_measure(provenance.settings_of(run, loaded.about), loaded.about)
    except TinynetError as error:
        why = str(error).splitlines()[0]
    else:
        if [*data.classes] == loaded.about.get("classes"):
            return data
        why = f"it is not known to be trained on {data.name}, nor on what"
    console.print(f"NOTE: nothing is measured for the card: {why}", style="bold yellow")
    return None


def shown(name: str, data: str | None, test: Mapping[str, Any] | None) -> dict[str, str]:
    """The facts that the page shows; `test`: the figures of the test images, as in a report."""
    from tinynet.io.markdown import count, percent

    facts = {"net": name}
    if data:
        facts["data set"] = data
    if test:
        low, high = map(percent, test["interval"])
        facts["test images right"] = f"{percent(test['accuracy'])} of {count(test['samples'])}"
        facts["95 % interval"] = f"{low} to {high}"
    return facts


def changed(loaded: Loaded, rounded: Sequential, images: Array) -> tuple[int, int]:
    """For how many of the images a model of the same weights, which is written into, answers otherwise when
    they are rounded as the page has them; and how many images there are."""
    import numpy as np

    from tinynet.page.build import is_halved
    from tinynet.runs.predictions import predict

    for view in (*rounded.store.values.views.values(), *rounded.store.state.views.values()):
        if is_halved(rounded.backend.to_host(view)):
            view[...] = view.astype(np.float16)
    own, others = (predict(model, loaded.loss, images).classes for model in (loaded.model, rounded))
    return int((own != others).sum()), len(images)


def check_showable(loaded: Loaded) -> None:
    """Raise ConfigError for a net that the page cannot show, and say which part of it."""
    import numpy as np

    from tinynet import layers
    from tinynet.errors import ConfigError
    from tinynet.runs.predictions import predict

    model = loaded.model
    if foreign := [layer.name for layer in model.layers if type(layer).__name__ not in layers.__all__]:
        raise ConfigError(
            f"the page cannot compute {', '.join(foreign)}",
            expected=f"layers of tinynet: {', '.join(layers.LAYERS)}",
            received=", ".join(type(layer).__name__ for layer in model.layers if layer.name in foreign),
            fix="export a net of tinynet's own layers",
        )
    if len(model.input_shape) != 3 or model.input_shape[-1] not in (1, 3):
        raise ConfigError(
            "the page shows nets that see pictures",
            expected="an input of (height, width, 1) or (height, width, 3)",
            received=model.input_shape,
            fix="let the net begin with Flatten instead of taking flat samples",
        )
    predict(
        model, loaded.loss, np.zeros((1, *model.input_shape), np.uint8)
    )  # which refuses what is no classifier
