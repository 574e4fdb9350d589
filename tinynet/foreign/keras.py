"""A net out of a Keras file (.keras): its layers by an allow-list from config.json, its weights by h5py.

Keras' own loader is never called: it can run code that a file brings (CVE-2025-1550, -8747, -9905, -9906).
"""

from __future__ import annotations

import io
import itertools
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from tinynet import extras, layers
from tinynet.errors import DataError, TinynetError
from tinynet.foreign.net import Read
from tinynet.io.reading import open_regular, parse_json
from tinynet.layers import Layer
from tinynet.types import Array, Shape

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
MAX_BYTES = {CONFIG: 2**22, WEIGHTS: 2**29}
"""Of the two files, unpacked."""


def read_keras(path: Path) -> tuple[Read, Shape]:
    """The layers and weights in a .keras file, and the shape of a sample.

    Raises DataError for a file that is none, ConfigError without the extra `keras` and for a layer or setting
    that tinynet does not have, with its name.
    """
    h5py = extras.load("keras")
    net = Read(str(path))
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            config = parse_json(_member(archive, CONFIG).decode())
            weights = h5py.File(io.BytesIO(_member(archive, WEIGHTS)), "r")
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise DataError(
            f"{path} cannot be read as a Keras file",
            expected=f"a .keras file, a zip of {CONFIG} and {WEIGHTS}",
            received=" ".join(str(error).split())[:200],
        ) from error
    try:
        with weights:
            return net, _read(net, config, weights)
    except TinynetError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path} has layers that Keras does not write so",
            expected="the configuration of a Keras 3 model",
            received=f"{type(error).__name__}: {error}",
        ) from error


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.getinfo(name).file_size > MAX_BYTES[name]:
        raise ValueError(f"{name} has more than {MAX_BYTES[name]:,} bytes")
    with archive.open(name) as file:
        data = file.read(MAX_BYTES[name] + 1)
    if len(data) > MAX_BYTES[name]:
        raise ValueError(f"{name} has more than {MAX_BYTES[name]:,} bytes")
    return data


def _read(net: Read, config: Any, weights: Any) -> Shape:
    """All layers of a Sequential into `net`; the shape of a sample."""
    table = config.get("config") if isinstance(config, dict) else None
    if not isinstance(table, dict) or config.get("class_name") not in ("Sequential", "Functional"):
        kind = config.get("class_name") if isinstance(config, dict) else type(config).__name__
        raise net.refuse("a model that is no chain of layers", "Sequential or Functional", kind)
    if config["class_name"] == "Functional":
        _check_chain(net, table["layers"])
    shape: Shape | None = None
    used: dict[str, int] = {}
    for entry in table.get("layers", []):
        kind, settings = entry.get("class_name"), entry.get("config", {})
        batch = settings.get("batch_shape") or settings.get("batch_input_shape")
        if batch and shape is None:
            shape = tuple(batch[1:])
        if kind == "InputLayer":
            continue
        read = KINDS.get(kind)
        if read is None or entry.get("registered_name"):
            raise net.refuse(
                f"tinynet has no layer for {kind} ({settings.get('name')})", ", ".join(sorted(KINDS)), kind
            )
        snake = re.sub("([a-z])([A-Z])", r"\1_\2", re.sub("(.)([A-Z][a-z]+)", r"\1_\2", kind)).lower()
        place = f"layers/{snake}" + (f"_{used[snake]}" if snake in used else "")
        used[snake] = used.get(snake, 0) + 1
        settings = {**settings, "kind": kind}
        layer, names = read(net, settings)
        net.add(layer, _weights(net, weights, place, names, settings))
        activation = settings.get("activation") if kind not in ("Activation",) else None
        if activation not in (None, "linear"):
            net.add(_activation(net, activation))
    if shape is None or None in shape:
        raise net.refuse("the shape of its input is not known", "sizes without None", shape)
    return tuple(int(size) for size in shape)


def _check_chain(net: Read, entries: list[dict[str, Any]]) -> None:
    """Refuse a keras.Model in which a layer takes anything but what the one before it gives."""
    for before, entry in itertools.pairwise(entries):
        taken = re.findall(r"'keras_history': \['([^']*)', (\d+), (\d+)\]", str(entry["inbound_nodes"]))
        if taken != [(before["config"]["name"], "0", "0")]:
            raise net.refuse(
                f"{entry['class_name']} ({entry['config']['name']}) is on a branch",
                f"a chain of layers: it takes what {before['config']['name']} gives",
                ", ".join(name for name, *_ in taken) or "nothing",
            )


def _array(net: Read, file: Any, place: str) -> Array | None:
    """The array at a place in the file; None where there is none.

    HDF5 can say that an array, or a group, lies in another file: refused, as is what would not fit in memory.
    """
    import h5py

    found = file
    for part in place.split("/"):
        link = found.get(part, getlink=True) if isinstance(found, h5py.Group) else None
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise net.refuse(f"{place} is a link", "arrays inside the file", type(link).__name__)
        found = found[part]
    if not isinstance(found, h5py.Dataset) or found.dtype.kind != "f":
        raise net.refuse(f"{place} is no array of floats", "floats", getattr(found, "dtype", found))
    if found.external or found.is_virtual:
        raise net.refuse(f"{place} lies in another file", "arrays inside the file", "external data")
    if found.nbytes > MAX_BYTES[WEIGHTS]:
        raise net.refuse(f"{place} is too large", f"at most {MAX_BYTES[WEIGHTS]:,} bytes", found.shape)
    return np.asarray(found)


def _weights(
    net: Read, file: Any, place: str, names: tuple[str, ...], settings: Mapping[str, Any]
) -> dict[str, Array]:
    """The arrays of a layer, in the order of `names`."""
    if not names:
        return {}
    found: dict[str, Array] = {}
    for number, name in enumerate(names):
        array = _array(net, file, f"{place}/vars/{number}")
        if array is None:
            raise net.refuse(f"{place} has no array {number} ({name})", ", ".join(names), "none")
        if settings["kind"] == "DepthwiseConv2D" and name == "W":  # (KH, KW, C, M)
            array = array.reshape(*array.shape[:2], 1, -1)
        found[name] = array
    if settings["kind"] == "BatchNormalization":  # may do without gamma and beta
        ones, zeros = np.ones_like(found["mean"]), np.zeros_like(found["mean"])
        found = {"gamma": ones, "beta": zeros, **found}
    if "W" in names and "b" not in names:
        found["b"] = np.zeros(found["W"].shape[-1])
    return found


def _expect(net: Read, settings: Mapping[str, Any], **allowed: tuple[Any, ...]) -> None:
    for name, values in allowed.items():
        value = settings.get(name, values[0])
        value = tuple(value) if isinstance(value, list) else value
        if value not in values:
            raise net.refuse(
                f"{settings['kind']} ({settings.get('name')}) with {name} = {value}",
                " or ".join(map(str, values)),
                value,
            )


Reading: TypeAlias = Callable[[Read, Mapping[str, Any]], tuple[Layer, tuple[str, ...]]]
"""A layer from its settings, and the names of its arrays in Keras' order."""


def _dense(net: Read, s: Mapping[str, Any]) -> tuple[Layer, tuple[str, ...]]:
    return layers.Dense(s["units"]), ("W", "b") if s.get("use_bias", True) else ("W",)


def _convolution(net: Read, s: Mapping[str, Any]) -> tuple[Layer, tuple[str, ...]]:
    _expect(net, s, dilation_rate=((1, 1), 1), groups=(1,), data_format=("channels_last",))
    window = {"kernel": tuple(s["kernel_size"]), "stride": tuple(s["strides"]), "padding": s["padding"]}
    names = ("W", "b") if s.get("use_bias", True) else ("W",)
    if s["kind"] == "DepthwiseConv2D":
        return layers.DepthwiseConv2D(multiplier=s.get("depth_multiplier", 1), **window), names
    return layers.Conv2D(s["filters"], **window), names


def _pool(net: Read, s: Mapping[str, Any]) -> tuple[Layer, tuple[str, ...]]:
    _expect(net, s, data_format=("channels_last",))
    kind = layers.MaxPool2D if s["kind"] == "MaxPooling2D" else layers.AvgPool2D
    size = tuple(s["pool_size"])
    return kind(size, tuple(s["strides"]) if s.get("strides") else size, s["padding"]), ()


def _batch_norm(net: Read, s: Mapping[str, Any]) -> tuple[Layer, tuple[str, ...]]:
    names = ["gamma"] * s.get("scale", True) + ["beta"] * s.get("center", True)
    return layers.BatchNorm(s["momentum"], s["epsilon"]), (*names, "mean", "variance")


def _plain(make: Callable[[Mapping[str, Any]], Layer]) -> Reading:
    return lambda net, s: (make(s), ())


def _relu(net: Read, s: Mapping[str, Any]) -> tuple[Layer, tuple[str, ...]]:
    _expect(net, s, max_value=(None,), threshold=(0, 0.0, None))
    slope = s.get("negative_slope") or 0
    return (layers.LeakyReLU(slope) if slope else layers.ReLU()), ()


def _softmax(net: Read, s: Mapping[str, Any]) -> tuple[Layer, tuple[str, ...]]:
    _expect(net, s, axis=(-1,))
    return layers.Softmax(), ()


def _global(net: Read, s: Mapping[str, Any]) -> tuple[Layer, tuple[str, ...]]:
    _expect(net, s, keepdims=(False,), data_format=("channels_last",))
    return layers.GlobalAveragePool(), ()


def _activation(net: Read, name: object) -> Layer:
    made = ACTIVATIONS.get(name) if isinstance(name, str) else None
    if made is None:
        raise net.refuse(f"tinynet has no activation {name}", ", ".join(sorted(ACTIVATIONS)), name)
    return made()


ACTIVATIONS: dict[str, Callable[[], Layer]] = {
    "relu": layers.ReLU,
    "leaky_relu": lambda: layers.LeakyReLU(0.2),
    "elu": layers.ELU,
    "gelu": layers.GELU,
    "sigmoid": layers.Sigmoid,
    "tanh": layers.Tanh,
    "softmax": layers.Softmax,
}
KINDS: dict[str, Reading] = {
    "Dense": _dense,
    "Conv2D": _convolution,
    "DepthwiseConv2D": _convolution,
    "MaxPooling2D": _pool,
    "AveragePooling2D": _pool,
    "GlobalAveragePooling2D": _global,
    "BatchNormalization": _batch_norm,
    "Dropout": _plain(lambda s: layers.Dropout(s["rate"])),
    "Flatten": _plain(lambda s: layers.Flatten()),
    "Reshape": _plain(lambda s: layers.Reshape(tuple(s["target_shape"]))),
    "Rescaling": _plain(lambda s: layers.Rescale(s["scale"], s.get("offset", 0.0))),
    "ReLU": _relu,
    "LeakyReLU": _plain(lambda s: layers.LeakyReLU(s.get("negative_slope", 0.3))),
    "ELU": _plain(lambda s: layers.ELU(s.get("alpha", 1.0))),
    "Activation": lambda net, s: (_activation(net, s.get("activation")), ()),
    "Softmax": _softmax,
}
"""How a layer of each kind is read."""
