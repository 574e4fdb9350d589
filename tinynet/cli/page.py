"""The page of a run for `tinynet export --to html`: the net, its card, and what the rounding changes."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from tinynet.checkpoint import Loaded
    from tinynet.cli.sources import Sources
    from tinynet.data.datasets import Dataset
    from tinynet.model import Sequential
    from tinynet.types import Array


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

    @property
    def whole(self) -> bool:
        """Whether it was trained on pictures of anything, scaled as a whole."""
        return bool(self.loaded.about.get("whole"))

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

    Raises ConfigError as `check_showable`.
    """
    from tinynet import checkpoint
    from tinynet.cli.card import card_of, is_unfinished
    from tinynet.runs.predictions import class_names

    loaded = checkpoint.load_model(run, backend=backend)
    check_showable(loaded)
    data = own_data(run, loaded, sources)
    card = card_of(run, loaded, data)
    about = shown(
        loaded.about.get("name") or run.stem, loaded.about.get("dataset"), card["figures"].get("test")
    )
    if is_unfinished(run):
        about["training"] = "stopped before its end"
    return Page(
        loaded,
        about,
        class_names(loaded.about.get("classes", []), loaded.loss.classes(loaded.model.output_shape[-1])),
        card,
        changed(loaded, copy.deepcopy(loaded.model), data.test.images) if data and len(data.test) else None,
    )


def own_data(run: Path, loaded: Loaded, sources: Sources) -> Dataset | None:
    """The data that the net was trained for; None, and a note, where they are not found."""
    from tinynet.cli.card import check_fits
    from tinynet.cli.screen import console
    from tinynet.errors import TinynetError
    from tinynet.runs import provenance

    try:
        data = sources.to_measure(provenance.settings_of(run, loaded.about), loaded)
        check_fits(loaded, data)
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
    from tinynet.layers.stack import walk
    from tinynet.runs.predictions import predict

    model = loaded.model
    if foreign := [layer.name for layer in walk(model.layers) if type(layer).__name__ not in layers.__all__]:
        raise ConfigError(
            f"the page cannot compute {', '.join(foreign)}",
            expected=f"layers of tinynet: {', '.join(name for name in layers.__all__ if name != 'Layer')}",
            received=", ".join(type(layer).__name__ for layer in walk(model.layers) if layer.name in foreign),
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
