"""One HTML file of a net: style, scripts, weights and sample digits inside it, nothing to be fetched."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import numpy as np

from tinynet import checkpoint
from tinynet.data import datasets
from tinynet.data.strokes import SMALLEST
from tinynet.errors import ConfigError, ShapeError
from tinynet.io import tables
from tinynet.kernels.js import source
from tinynet.losses import Loss, check_several
from tinynet.model import Sequential
from tinynet.page.prose import to_html
from tinynet.types import Array, Shape
from tinynet.version import VERSION

SCRIPTS = (
    "app.js",
    "maps.js",
    "pad.js",
    "grid.js",
    "answer.js",
    "files.js",
    "upload.js",
    "why.js",
    "inside.js",
    "unit.js",
    "notes.js",
    "start.js",
)
"""They share one scope; the last one starts the page."""
LARGEST_HALF = float(np.finfo(np.float16).max)
FIELD = re.compile(r"\{\{ (\w+) \}\}")


def build(
    model: Sequential,
    about: Mapping[str, Any],
    classes: Sequence[str],
    card: str = "",
    *,
    loss: Loss | None = None,
    float16: bool = True,
    whole: bool = False,
) -> str:
    """The page of a model as one HTML text: it works from file:// or any host, and asks for nothing else.

    `about` has facts of the run by their names: those that are texts or numbers are shown. `classes` names
    the model's outputs in their order; where a single output tells two classes, both of them. `card` is the
    model's card in Markdown, as `tinynet card` writes it.
    `loss` is the one it was trained by; it says how outputs become probabilities. `whole`: the net was
    trained on pictures of anything, scaled as a whole, so that there is nothing to draw.

    Weights are written in 16 bits (float16) or in 32; biases and batch statistics always in 32. Raises
    ShapeError for a model whose input is no image, ConfigError for other than a name for each class, and for
    softmax over one output.
    """
    if len(model.input_shape) != 3 or model.input_shape[2] not in (1, 3):
        raise ShapeError(
            "a page is for nets that see images",
            expected="an input of (height, width, 1 or 3)",
            received=model.input_shape,
        )
    outputs = model.output_shape[-1]
    if len(model.output_shape) != 1 or len(classes) != (loss.classes(outputs) if loss else outputs):
        raise ConfigError(
            "the page needs a name for each class of the net",
            expected=f"an output for each of {len(classes)} classes, or one for two by BinaryCrossEntropy",
            received=model.output_shape,
        )
    check_several(loss, model.output_shape)
    digits = list(classes) == list(datasets.DIGITS)
    drawn = not whole and _is_drawn(model.input_shape) and all(len(name) <= 2 for name in classes)
    style, engine = _read("style.css"), source.script()
    interface = '"use strict";\n{\n' + "\n".join(map(_read, SCRIPTS)) + "}\n"
    table: dict[str, Any] = {
        "config": model.config(),
        "loss": tables.to_table(loss) if loss else None,
        "weights": _weights(model, float16),
        "classes": list(classes),
        "whole": whole,
        "draws": drawn,
        "about": dict(about),
        "hash": checkpoint.weights_sha256(model),
        "samples": _samples() if digits and model.input_shape == (28, 28, 1) else None,
    }
    title = "Show a picture" if not drawn else "Draw a digit" if digits else "Draw a sign"
    act = "Draw on the sheet" if drawn else "Open a picture"
    texts = {
        "title": title,
        "lead": f"{act}. A small neural net says what it sees, and shows why.",
        "hint": "draw here" if drawn else "open, paste or drop a picture",
        "version": VERSION,
    }
    parts = {
        **{name: html.escape(text) for name, text in texts.items()},
        "policy": _policy([engine, interface], [style]),
        "style": style,
        "facts": _facts(model, about, table["hash"], float16),
        "card": to_html(card, heading=3),
        "model": json.dumps(table, ensure_ascii=False, default=str).replace("<", "\\u003c"),
        "engine": engine,
        "interface": interface,
    }
    return FIELD.sub(lambda field: parts[field[1]], _read("page.html"))


def _is_drawn(shape: Shape) -> bool:
    """Whether strokes become such an input: grey and square, for `strokes.rasterize`."""
    height, width, channels = shape
    return channels == 1 and height == width >= SMALLEST


def _read(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _policy(scripts: Sequence[str], styles: Sequence[str]) -> str:
    """The Content-Security-Policy: these scripts and styles alone, no network, a worker made of the page."""
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {' '.join(map(_hash, scripts))}",
            f"style-src {' '.join(map(_hash, styles))}",
            "img-src data: blob:",
            "worker-src blob:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _weights(model: Sequential, float16: bool) -> dict[str, dict[str, Any]]:
    """Every tensor of the model by its name: shape, dtype, and its little-endian bytes as base64."""
    views = {**model.store.values.views, **model.store.state.views}
    return {name: _tensor(model.backend.to_host(view), float16) for name, view in views.items()}


def is_halved(values: Array) -> bool:
    """Whether a page in 16 bits has this tensor in 16 bits.

    Vectors are few numbers that all others pass through; and what half a float cannot hold stays whole.
    """
    return values.ndim > 1 and bool(np.abs(values).max(initial=0) <= LARGEST_HALF)


def _tensor(values: Array, float16: bool) -> dict[str, Any]:
    dtype = "float16" if float16 and is_halved(values) else "float32"
    data = values.astype(np.dtype(dtype).newbyteorder("<")).tobytes()
    return {"shape": list(values.shape), "dtype": dtype, "data": base64.b64encode(data).decode()}


def _samples() -> list[dict[str, Any]]:
    """The first test image of each digit in the bundled sample."""
    test = datasets.load("sample").test
    first = [int(np.flatnonzero(test.labels == digit)[0]) for digit in range(10)]
    return [
        {"label": digit, "data": base64.b64encode(test.images[n].tobytes()).decode()}
        for digit, n in enumerate(first)
    ]


def _facts(model: Sequential, about: Mapping[str, Any], weights: str, float16: bool) -> str:
    """The net's facts as the rows of a <dl>."""
    told = {name: value for name, value in about.items() if isinstance(value, str | int | float)}
    facts = {
        **told,
        "parameters": f"{model.store.count + model.store.state_count:,}",
        "weights in this page": "16 bits each" if float16 else "32 bits each",
        "SHA-256 of the weights": weights,
    }
    rows = [
        f"<div><dt>{html.escape(name.replace('_', ' '))}</dt><dd>{html.escape(str(value))}</dd></div>"
        for name, value in facts.items()
    ]
    return "\n".join(rows)
