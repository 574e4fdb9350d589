"""A net as plain arrays: a file that NumPy reads, where there is no tinynet."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinynet.checkpoint import weights_sha256
from tinynet.model import Sequential


def to_npz(
    model: Sequential, *, classes: Sequence[str] = (), about: Mapping[str, Any] | None = None
) -> bytes:
    """The bytes of an .npz file: each tensor by its name, such as `dense_1.W`, and one text, `net`.

    `json.loads(str(file["net"]))` has the layers with their settings, the shape of an input, the names of the
    classes, and the hash of the weights. Nothing in the file is pickled.
    """
    views = {**model.store.values.views, **model.store.state.views}
    arrays = {name: model.backend.to_host(view) for name, view in views.items()}
    net = {
        **model.config(),
        "classes": list(classes),
        "weights_sha256": weights_sha256(model),
        "about": dict(about or {}),
    }
    stream = io.BytesIO()
    np.savez_compressed(stream, net=np.array(json.dumps(net)), **arrays)  # type: ignore[arg-type]
    return stream.getvalue()
