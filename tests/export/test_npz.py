"""Plain arrays: the net is computed again from the file, by NumPy alone."""

from __future__ import annotations

import io
import json

import numpy as np

from tinynet import layers as L
from tinynet.checkpoint import weights_sha256
from tinynet.export.npz import to_npz
from tinynet.model import Sequential
from tinynet.rng import Key, normal


def test_numpy_computes_the_net() -> None:
    model = Sequential([L.Dense(5), L.BatchNorm(), L.ReLU(), L.Dense(2)], (3,), backend="numpy")
    x = normal(Key(1, 0), (4, 3)).astype(np.float32)
    with np.load(io.BytesIO(to_npz(model, classes=["a", "b"])), allow_pickle=False) as file:
        net = json.loads(str(file["net"]))
        assert [layer["type"] for layer in net["layers"]] == ["Dense", "BatchNorm", "ReLU", "Dense"]
        assert (net["input_shape"], net["classes"]) == ([3], ["a", "b"])
        assert net["weights_sha256"] == weights_sha256(model)
        y = x @ file["dense_1.W"] + file["dense_1.b"]
        y = (y - file["batchnorm_1.mean"]) / np.sqrt(file["batchnorm_1.variance"] + 1e-5)
        y = np.maximum(y * file["batchnorm_1.gamma"] + file["batchnorm_1.beta"], 0)
        np.testing.assert_allclose(y @ file["dense_2.W"] + file["dense_2.b"], model.predict(x), rtol=1e-5)
