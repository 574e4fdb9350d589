"""A Keras file, written by hand as Keras 3 writes it: read without Keras, and refused by name."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from tinynet import layers as L
from tinynet.errors import ConfigError, DataError, TinynetError
from tinynet.foreign.keras import read_keras
from tinynet.losses import SoftmaxCrossEntropy
from tinynet.model import Sequential
from tinynet.rng import Key, normal
from tinynet.types import Array


def entry(kind: str, **settings: Any) -> dict[str, Any]:
    return {"class_name": kind, "config": {"name": kind.lower(), **settings}, "registered_name": None}


def write(path: Path, layers: Sequence[dict[str, Any]], arrays: Mapping[str, Sequence[Array]]) -> Path:
    """arrays: those of each layer by its place in the file, such as dense_1."""
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        for place, values in arrays.items():
            for number, array in enumerate(values):
                file[f"layers/{place}/vars/{number}"] = array
    config = {"class_name": "Sequential", "config": {"name": "net", "layers": list(layers)}}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", stream.getvalue())
        archive.writestr("metadata.json", "{}")
    return path


def random(*shape: int, key: int = 0) -> Array:
    return normal(Key(3, key), shape).astype(np.float32)


def test_the_same_layers_and_outputs(tmp_path: Path) -> None:
    conv, deep = random(3, 3, 2, 4, key=1), random(2, 2, 4, 2, key=2)
    norm = [random(4, key=3), random(4, key=4), random(4, key=5), np.abs(random(4, key=6)) + 0.5]
    first, second = random(8 * 4, 5, key=7), random(5, 3, key=8)
    bias = [random(n, key=9) for n in (4, 8, 5, 3)]
    same = {"strides": [1, 1], "padding": "same", "dilation_rate": [1, 1]}
    layers = [
        entry("InputLayer", batch_shape=[None, 6, 6, 2]),
        entry("Rescaling", scale=0.5, offset=0.1),
        entry("Conv2D", filters=4, kernel_size=[3, 3], groups=1, activation="linear", use_bias=True, **same),
        entry("BatchNormalization", momentum=0.99, epsilon=1e-3, axis=[3]),
        entry("ReLU", max_value=None, negative_slope=0.0, threshold=0.0),
        entry("MaxPooling2D", pool_size=[2, 2], strides=[2, 2], padding="valid"),
        entry("DepthwiseConv2D", kernel_size=[2, 2], strides=[1, 1], padding="valid", depth_multiplier=2,
              activation="gelu"),
        entry("Dropout", rate=0.3),
        entry("Flatten"),
        entry("Dense", units=5, activation="tanh"),
        entry("Dense", units=3, activation="softmax"),
    ]  # fmt: skip
    arrays = {
        "conv2d": [conv, bias[0]],
        "batch_normalization": norm,
        "depthwise_conv2d": [deep, bias[1]],
        "dense": [first, bias[2]],
        "dense_1": [second, bias[3]],
    }
    net, shape = read_keras(write(tmp_path / "net.keras", layers, arrays))
    model, loss = net.build(shape)
    assert shape == (6, 6, 2)
    assert isinstance(loss, SoftmaxCrossEntropy)
    assert [type(layer).__name__ for layer in model.layers] == [
        *("Rescale", "Conv2D", "BatchNorm", "ReLU", "MaxPool2D", "DepthwiseConv2D", "GELU", "Dropout"),
        *("Flatten", "Dense", "Tanh", "Dense"),
    ]
    norm_layer = model.layers[2]
    assert isinstance(norm_layer, L.BatchNorm)
    assert (norm_layer.momentum, norm_layer.epsilon) == (0.99, 1e-3)
    twin = Sequential(
        [
            *[L.Rescale(0.5, 0.1), L.Conv2D(4, 3, padding="same"), L.BatchNorm(0.99, 1e-3), L.ReLU()],
            *[L.MaxPool2D(), L.DepthwiseConv2D(2, multiplier=2), L.GELU(), L.Flatten(), L.Dense(5), L.Tanh()],
            L.Dense(3),
        ],
        shape,
        backend="numpy",
    )
    own = {
        "conv2d_1.W": conv, "conv2d_1.b": bias[0], "batchnorm_1.gamma": norm[0], "batchnorm_1.beta": norm[1],
        "batchnorm_1.mean": norm[2], "batchnorm_1.variance": norm[3],
        "depthwiseconv2d_1.W": deep.reshape(2, 2, 1, 8), "depthwiseconv2d_1.b": bias[1],
        "dense_1.W": first, "dense_1.b": bias[2], "dense_2.W": second, "dense_2.b": bias[3],
    }  # fmt: skip
    for name, view in {**twin.store.values.views, **twin.store.state.views}.items():
        view[...] = own[name]
    x = random(4, 6, 6, 2, key=10)
    assert np.array_equal(model.predict(x), twin.predict(x))


DENSE = entry("Dense", units=2, activation="linear", batch_shape=[None, 3])
ARRAYS = {"dense": [random(3, 2), random(2)]}


@pytest.mark.parametrize(
    ("layers", "says"),
    [
        ([DENSE, entry("Lambda", function="__import__('os').system('id')")], "no layer for Lambda"),
        ([{**DENSE, "registered_name": "mine>Dense"}], "no layer for Dense"),
        ([entry("Dense", units=2, activation="swish", batch_shape=[None, 3])], "no activation swish"),
        ([entry("Dense", units=2, activation={"class_name": "x"}, batch_shape=[None, 3])], "no activation"),
        ([entry("Dense", units=2)], "shape of its input is not known"),
        ([entry("Dense", units=2, batch_shape=[None, None])], "shape of its input is not known"),
        ([entry("Dense", units=4, batch_shape=[None, 3])], "do not fit dense_1.W"),
        ([DENSE, entry("Dense", units=2)], r"layers/dense_1 has no array 0 \(W\)"),
        ([], "shape of its input|no layer"),
    ],
)
def test_what_tinynet_does_not_have_is_refused_by_name(
    layers: list[dict[str, Any]], says: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "net.keras", layers, ARRAYS)

    def read() -> None:
        net, shape = read_keras(path)
        net.build(shape)

    with pytest.raises(TinynetError, match=says):
        read()


def functional(path: Path, taken: Sequence[str]) -> Path:
    """A keras.Model of an input and two dense layers; the second takes what those layers give."""
    first = {**entry("InputLayer", name="x", batch_shape=[None, 3]), "inbound_nodes": []}
    layers = [first]
    for name, given in (("one", ["x"]), ("two", taken)):
        tensors = [{"class_name": "__keras_tensor__", "config": {"keras_history": [g, 0, 0]}} for g in given]
        made = {**entry("Dense", units=3, activation="linear"), "inbound_nodes": [{"args": tensors}]}
        made["config"]["name"] = name
        layers.append(made)
    write(path, layers, {"dense": [random(3, 3), random(3)], "dense_1": [random(3, 3), random(3)]})
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
        weights = archive.read("model.weights.h5")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps({**config, "class_name": "Functional"}))
        archive.writestr("model.weights.h5", weights)
    return path


def test_a_functional_model_is_read_as_a_chain_and_refused_with_a_branch(tmp_path: Path) -> None:
    net, shape = read_keras(functional(tmp_path / "chain.keras", ["one"]))
    assert (len(net.layers), shape) == (2, (3,))
    for taken in (["x"], ["one", "x"]):
        with pytest.raises(ConfigError, match=r"Dense \(two\) is on a branch"):
            read_keras(functional(tmp_path / "branch.keras", taken))


def test_a_batch_norm_may_do_without_gamma_and_beta(tmp_path: Path) -> None:
    norm = entry("BatchNormalization", momentum=0.9, epsilon=1e-3, scale=False, center=False)
    norm["config"]["batch_shape"] = [None, 2]
    mean, variance = random(2), np.abs(random(2, key=1)) + 1
    net, shape = read_keras(write(tmp_path / "n.keras", [norm], {"batch_normalization": [mean, variance]}))
    x = random(3, 2, key=2)
    found = net.build(shape)[0].predict(x)
    np.testing.assert_allclose(found, (x - mean) / np.sqrt(variance + 1e-3), rtol=1e-5)


def external_link(group: Any, secret: Path) -> None:
    group["0"] = h5py.ExternalLink(str(secret), "/x")


def external_data(group: Any, secret: Path) -> None:
    group.create_dataset("0", (3, 2), "f4", external=[(str(secret), 0, 24)])


def virtual(group: Any, secret: Path) -> None:
    layout = h5py.VirtualLayout((3, 2), "f4")
    layout[:] = h5py.VirtualSource(str(secret), "x", (3, 2))
    group.create_virtual_dataset("0", layout)


def huge(group: Any, secret: Path) -> None:
    group.create_dataset("0", (10**6, 10**4), "f4", chunks=(1000, 1000))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (external_link, "is a link"),
        (external_data, "lies in another file"),
        (virtual, "lies in another file"),
        (huge, "is too large"),
    ],
)
def test_arrays_of_other_files_are_never_read(
    spoil: Callable[[Any, Path], None], says: str, tmp_path: Path
) -> None:
    with h5py.File(tmp_path / "secret", "w") as file:
        file["x"] = random(3, 2)
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        spoil(file.create_group("layers/dense/vars"), tmp_path / "secret")
    config = {"class_name": "Sequential", "config": {"layers": [DENSE]}}
    with zipfile.ZipFile(tmp_path / "net.keras", "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", stream.getvalue())
    with pytest.raises(ConfigError, match=says):
        read_keras(tmp_path / "net.keras")


@pytest.mark.parametrize(
    "layers", [[3], {"a": 1}, [entry("Dense", batch_shape=[None, 3])], [{**DENSE, "config": 3}]]
)
def test_a_configuration_that_keras_does_not_write(layers: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "net.keras", [], ARRAYS)
    with zipfile.ZipFile(path) as archive:
        weights = archive.read("model.weights.h5")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            "config.json", json.dumps({"class_name": "Sequential", "config": {"layers": layers}})
        )
        archive.writestr("model.weights.h5", weights)
    with pytest.raises(DataError, match="that Keras does not write so"):
        read_keras(path)


def test_files_that_are_none(tmp_path: Path) -> None:
    whole = write(tmp_path / "net.keras", [DENSE], ARRAYS).read_bytes()
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", b" " * (2**22 + 1))
    for data in (b"", b"no zip", whole[:100], bomb.getvalue()):
        (tmp_path / "x.keras").write_bytes(data)
        with pytest.raises(DataError, match="cannot be read as a Keras file"):
            read_keras(tmp_path / "x.keras")
    with pytest.raises(DataError):
        read_keras(tmp_path / "gone.keras")
