"""A state dict of PyTorch's, by hand: what its names and orders of axes mean here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tinynet import layers as L
from tinynet.errors import CheckpointError
from tinynet.foreign.torch import fill_from_torch
from tinynet.model import Sequential
from tinynet.rng import Key, normal
from tinynet.types import Array


def net() -> Sequential:
    images = [L.Conv2D(3, (2, 3)), L.BatchNorm(), L.ReLU(), L.DepthwiseConv2D(2, multiplier=2)]
    return Sequential([*images, L.Flatten(), L.Dense(5), L.Dense(2)], (5, 6, 2), backend="numpy")


def tensors() -> dict[str, Array]:
    shapes = {
        "0.weight": (3, 2, 2, 3), "0.bias": (3,),
        "1.weight": (3,), "1.bias": (3,), "1.running_mean": (3,), "1.running_var": (3,),
        "3.weight": (6, 1, 2, 2), "3.bias": (6,),
        "5.weight": (5, 6 * 3 * 3), "5.bias": (5,),
        "10.weight": (2, 5),
    }  # fmt: skip
    random: dict[str, Array] = {}
    for number, (name, shape) in enumerate(shapes.items()):
        random[name] = normal(Key(1, number), shape).astype(np.float32)
    random["1.running_var"] = np.abs(random["1.running_var"]) + np.float32(0.5)
    return random | {"1.num_batches_tracked": np.array(7)}


def by_hand(x: Array, t: dict[str, Array]) -> Array:
    """What PyTorch computes of images (N, C, H, W), loop by loop."""

    def convolved(x: Array, W: Array, b: Array, groups: int) -> Array:
        F, per_group, KH, KW = W.shape
        H, Wd = x.shape[2] - KH + 1, x.shape[3] - KW + 1
        y = np.zeros((len(x), F, H, Wd))
        for f in range(F):
            first = f // (F // groups) * per_group
            for i, j in np.ndindex(H, Wd):
                window = x[:, first : first + per_group, i : i + KH, j : j + KW]
                y[:, f, i, j] = (window * W[f]).sum(axis=(1, 2, 3)) + b[f]
        return y

    y = convolved(x, t["0.weight"], t["0.bias"], 1)
    mean, var = (t[f"1.running_{name}"][:, None, None] for name in ("mean", "var"))
    y = (y - mean) / np.sqrt(var + 1e-5) * t["1.weight"][:, None, None] + t["1.bias"][:, None, None]
    y = convolved(np.maximum(y, 0), t["3.weight"], t["3.bias"], 3).reshape(len(x), -1)
    return (y @ t["5.weight"].T + t["5.bias"]) @ t["10.weight"].T


def test_the_same_outputs(tmp_path: Path) -> None:
    save_file(tensors(), tmp_path / "net.safetensors")
    model = net()
    fill_from_torch(model, tmp_path / "net.safetensors")
    x = normal(Key(2, 0), (4, 2, 5, 6)).astype(np.float32)
    found = model.predict(np.ascontiguousarray(x.transpose(0, 2, 3, 1)))
    np.testing.assert_allclose(found, by_hand(x, tensors()), rtol=1e-4, atol=1e-5)


def test_modules_by_name_need_an_order(tmp_path: Path) -> None:
    names = {"0": "stem", "1": "norm", "3": "deep", "5": "fc", "10": "end"}
    renamed = {f"{names[k.split('.')[0]]}.{k.split('.')[1]}": v for k, v in tensors().items()}
    save_file(renamed, tmp_path / "net.safetensors")
    with pytest.raises(CheckpointError, match=r"does not fit conv2d_1.W(.|\n)*--order"):
        fill_from_torch(net(), tmp_path / "net.safetensors")
    model, twin = net(), net()
    fill_from_torch(model, tmp_path / "net.safetensors", [*names.values()])
    save_file(tensors(), tmp_path / "plain.safetensors")
    fill_from_torch(twin, tmp_path / "plain.safetensors")
    assert np.array_equal(model.store.values.flat, twin.store.values.flat)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"7.weight": np.ones((2, 2), np.float32)}, "6: 0, 1, 3, 5, 7, 10"),
        ({"5.weight_g": np.ones(5, np.float32)}, "no place for: 5.weight_g"),
        ({"5.weight": np.ones((5, 7), np.float32)}, r"does not fit dense_1.W(.|\n)*\(7, 5\)"),
        ({"5.weight": np.full_like(tensors()["5.weight"], np.nan)}, "5.weight is not finite"),
        ({"1.running_mean": None}, r"does not fit batchnorm_1.mean(.|\n)*no such tensor"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, Array | None], says: str, tmp_path: Path) -> None:
    changed = {name: values for name, values in {**tensors(), **change}.items() if values is not None}
    save_file(changed, tmp_path / "net.safetensors")
    model = net()
    before = model.store.values.flat.copy()
    with pytest.raises(CheckpointError, match=says):
        fill_from_torch(model, tmp_path / "net.safetensors")
    assert np.array_equal(model.store.values.flat, before)
