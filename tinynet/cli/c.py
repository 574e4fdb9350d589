"""What `tinynet export --to c` writes: the net's header, tested and calibrated with the data of its run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from tinynet.checkpoint import Loaded
    from tinynet.cli.sources import Sources
    from tinynet.data.datasets import Dataset
    from tinynet.export.c import Header
    from tinynet.types import Array

CALIBRATION = 256
"""Training images from which the range of each layer's values is taken for int8."""


class Source(NamedTuple):
    """A net and its images."""

    loaded: Loaded
    data: Dataset | None
    why_not: str
    """Why there are no data; "" where there are."""


def header_of(
    run: Path | None,
    sources: Sources,
    name: str,
    classes: Sequence[str],
    about: Mapping[str, Any],
    *,
    int8: bool,
) -> tuple[str, str]:
    """The text of the header of a run or of the net that comes with tinynet, and what is said of it.

    `name` begins the names in it. Raises ConfigError for int8 where the net's data are not found.
    """
    import numpy as np

    from tinynet.errors import ConfigError
    from tinynet.export.c import to_c

    source = _source(run, sources)
    loaded, data, why_not = source
    if data is None and int8:
        raise ConfigError(
            "int8 needs images by which to calibrate the net",
            expected="the training images of its run",
            received=why_not,
            fix="name them by --dataset, or export without --int8",
        )
    chosen = None
    if data and int8:
        count = len(data.train)
        chosen = data.train.images[np.unique(np.linspace(0, count - 1, min(CALIBRATION, count)).astype(int))]
    samples = _samples(loaded) if data is None else (data.test if len(data.test) else data.train).images
    facts = {**about, "self-test": f"images of {data.name}" if data else "numbers drawn by chance"}
    header = to_c(
        loaded.model,
        loaded.loss,
        samples=samples,
        calibration=chosen,
        name=name,
        classes=classes,
        about=facts,
    )
    said = (
        f"{header.constant_bytes:,} bytes of flash for weights and tables, and the code; "
        f"{header.ram_bytes:,} bytes of RAM; {header.multiply_adds:,} multiply-adds."
    )
    return header.text, " ".join([said, *_remarks(source, header, int8)])


def _source(run: Path | None, sources: Sources) -> Source:
    from tinynet import checkpoint
    from tinynet.cli.sources import Sources
    from tinynet.errors import TinynetError
    from tinynet.page import default
    from tinynet.runs import provenance

    if run is None:
        loaded, settings = default.load("numpy"), None
        sources = Sources(sources.dataset or "sample", sources.data_dir)
    else:
        loaded = checkpoint.load_model(run, backend="numpy")
        settings = provenance.settings_of(run, loaded.about)
    try:
        data = sources.to_measure(settings, loaded)
    except TinynetError as error:
        return Source(loaded, None, str(error).splitlines()[0])
    if data.train.images.shape[1:] != loaded.model.input_shape:
        shapes = f"{data.train.images.shape[1:]}, the net takes {loaded.model.input_shape}"
        return Source(loaded, None, f"the images of {data.name} are {shapes}")
    return Source(loaded, data, "")


def _samples(loaded: Loaded) -> Array:
    """Numbers from 0 to 255 in place of images."""
    from tinynet.rng import Key, uniform

    return (uniform(Key(0, 0), (3, *loaded.model.input_shape)) * 256).astype("uint8")


def _remarks(source: Source, header: Header, int8: bool) -> list[str]:
    """What int8 costs on the test images, or that the self-test has none."""
    loaded, data, why_not = source
    if data is None:
        return [f"The self-test has numbers drawn by chance: {why_not}."]
    if not int8 or not len(data.test) or len(loaded.model.output_shape) != 1:
        return []
    from tinynet.cli.screen import console
    from tinynet.export.integers import outputs
    from tinynet.export.quantize import Quantized

    assert isinstance(header.net, Quantized)
    images, labels = data.test.images, data.test.labels
    with console.status(f"computing {len(images):,} test images as int8 does"):
        answers = (outputs(header.net, images), loaded.model.predict(images))
    ours, theirs = (int((_classes(each) == labels).sum()) for each in answers)
    return [f"Right of {len(images):,} test images: {ours:,} in int8, {theirs:,} in float32."]


def _classes(scores: Array) -> Array:
    """The best class of each row of scores (N, K), int (N,); of a single score, the logit of class 1."""
    return scores.argmax(axis=1) if scores.shape[1] > 1 else (scores[:, 0] > 0).astype(int)
