"""An independent witness: the same numbers as PyTorch, in float32. Runs where PyTorch is installed.

PyTorch keeps images as (N, C, H, W) and kernels as (F, C, KH, KW) and (O, I); the helpers below turn both.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinynet import extras, optim
from tinynet import layers as L
from tinynet import losses as losses_
from tinynet.layers.base import Layer
from tinynet.losses import Loss, MeanSquaredError, SoftmaxCrossEntropy
from tinynet.model import Sequential
from tinynet.optim import SGD, Adam, AdamW, Optimizer
from tinynet.rng import Key, normal, uniform
from tinynet.types import Array, Shape

torch = pytest.importorskip("torch", reason=f"the parity lane needs PyTorch: {extras.install('torch')}")
F = torch.nn.functional

CLOSE: dict[str, Any] = {"rtol": 2e-5, "atol": 2e-6}
"""For one layer in float32, whose rounding is 6e-8 a step: sums of some hundred terms in another order."""


def _random(seed: int, shape: Shape) -> Array:
    return normal(Key(seed, 0), shape).astype(np.float32)


def _uniform(shape: Shape) -> Array:
    return uniform(Key(8, 0), shape).astype(np.float32)


def _to_torch(array: Any) -> Any:
    """A tensor of its own that wants a gradient; images and kernels turned to PyTorch's order."""
    array = np.asarray(array)
    order = {4: (0, 3, 1, 2)}.get(array.ndim, tuple(range(array.ndim)))
    return torch.tensor(np.ascontiguousarray(array.transpose(order))).requires_grad_()


def _from_torch(tensor: Any) -> Array:
    array: Array = tensor.detach().numpy()
    return array.transpose(0, 2, 3, 1) if array.ndim == 4 else array


def _kernel_to_torch(W: Any) -> Any:
    order = (3, 2, 0, 1) if W.ndim == 4 else (1, 0)
    return torch.tensor(np.ascontiguousarray(np.asarray(W).transpose(order))).requires_grad_()


def _kernel_from_torch(tensor: Any) -> Array:
    array: Array = tensor.detach().numpy()
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T


def _normed(x: Any, p: dict[str, Any]) -> Any:
    return F.batch_norm(x, None, None, p["gamma"], p["beta"], training=True, eps=1e-5)


IMAGE = (9, 8, 3)
LAYERS: list[tuple[Layer, Shape, Callable[[Any, dict[str, Any]], Any]]] = [
    (L.Dense(7), (20,), lambda x, p: F.linear(x, p["W"], p["b"])),
    (L.Dense(7), (6, 5), lambda x, p: F.linear(x, p["W"], p["b"])),
    (L.Conv2D(5, 3), IMAGE, lambda x, p: F.conv2d(x, p["W"], p["b"])),
    (L.Conv2D(5, 3, padding="same"), IMAGE, lambda x, p: F.conv2d(x, p["W"], p["b"], padding="same")),
    (L.Conv2D(5, 5, padding="same"), IMAGE, lambda x, p: F.conv2d(x, p["W"], p["b"], padding=2)),
    (
        L.Conv2D(5, (2, 3), padding="same"),
        IMAGE,
        lambda x, p: F.conv2d(F.pad(x, (1, 1, 0, 1)), p["W"], p["b"]),
    ),
    (L.Conv2D(5, 3, 2), IMAGE, lambda x, p: F.conv2d(x, p["W"], p["b"], 2)),
    (L.Conv2D(5, 3, (1, 2), 1), IMAGE, lambda x, p: F.conv2d(x, p["W"], p["b"], (1, 2), 1)),
    (
        L.Conv2D(5, (2, 3), 1, ((1, 0), (2, 1))),
        IMAGE,
        lambda x, p: F.conv2d(F.pad(x, (2, 1, 1, 0)), p["W"], p["b"]),
    ),
    (L.Conv2D(5, 1), IMAGE, lambda x, p: F.conv2d(x, p["W"], p["b"])),
    (L.DepthwiseConv2D(), IMAGE, lambda x, p: F.conv2d(x, p["W"], p["b"], groups=3)),
    (
        L.DepthwiseConv2D(3, 2, 1, 2),
        IMAGE,
        lambda x, p: F.conv2d(x, p["W"], p["b"], 2, 1, groups=3),
    ),
    (
        L.Residual([L.Conv2D(3, 3, padding="same"), L.ReLU()]),
        IMAGE,
        lambda x, p: F.relu(F.conv2d(x, p["conv2d_1.W"], p["conv2d_1.b"], padding="same")) + x,
    ),
    (
        L.Residual([L.AvgPool2D(), L.Conv2D(5, 1)]),
        (8, 6, 3),
        lambda x, p: (
            F.conv2d(F.avg_pool2d(x, 2), p["conv2d_1.W"], p["conv2d_1.b"])
            + F.conv2d(x, p["conv2d_2.W"], p["conv2d_2.b"], 2)
        ),
    ),
    (L.MaxPool2D(), IMAGE, lambda x, p: F.max_pool2d(x, 2)),
    (L.MaxPool2D(3, 2, 1), IMAGE, lambda x, p: F.max_pool2d(x, 3, 2, 1)),
    (L.AvgPool2D(), IMAGE, lambda x, p: F.avg_pool2d(x, 2)),
    (L.AvgPool2D(3, 2, 1), IMAGE, lambda x, p: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)),
    (L.GlobalAveragePool(), IMAGE, lambda x, p: x.mean(dim=(2, 3))),
    (L.BatchNorm(), IMAGE, _normed),
    (L.BatchNorm(), (20,), _normed),
    (L.Flatten(), IMAGE, lambda x, p: x.permute(0, 2, 3, 1).flatten(1)),
    (L.Reshape((4, 5, 1)), (20,), lambda x, p: x.reshape(-1, 1, 4, 5)),
    (L.Rescale(0.5, -2.0), (20,), lambda x, p: 0.5 * x - 2),
    (L.Dropout(0.0), (20,), lambda x, p: F.dropout(x, 0.0)),
    (L.ReLU(), IMAGE, lambda x, p: F.relu(x)),
    (L.LeakyReLU(0.1), IMAGE, lambda x, p: F.leaky_relu(x, 0.1)),
    (L.ELU(0.7), IMAGE, lambda x, p: F.elu(x, 0.7)),
    (L.GELU(), IMAGE, lambda x, p: F.gelu(x)),
    (L.GELU("tanh"), IMAGE, lambda x, p: F.gelu(x, approximate="tanh")),
    (L.Sigmoid(), IMAGE, lambda x, p: torch.sigmoid(x)),
    (L.Tanh(), IMAGE, lambda x, p: torch.tanh(x)),
    (L.Softmax(), IMAGE, lambda x, p: F.softmax(x, dim=1)),
    (L.Softmax(), (20,), lambda x, p: F.softmax(x, dim=1)),
]


def test_every_layer_has_its_counterpart() -> None:
    assert {type(layer) for layer, *_ in LAYERS} == set(L.LAYERS.values())


@pytest.mark.parametrize("number", range(len(LAYERS)), ids=lambda i: f"{LAYERS[i][0]!r}-{LAYERS[i][1]}")
def test_outputs_and_gradients_of_a_layer(number: int, backend: str) -> None:
    pattern, shape, theirs = LAYERS[number]
    layer = type(pattern)(**_settings(pattern))
    model = Sequential([layer], shape, backend=backend)
    ops = model.backend
    model.store.values.flat[...] = ops.asarray(_random(1, model.store.values.flat.shape))
    parameters = {
        name: _kernel_to_torch(ops.to_host(view)) if name.endswith("W") else _to_torch(ops.to_host(view))
        for name, view in layer.params.items()
    }
    x = _random(2, (6, *shape))
    y, tape = model.forward(ops.asarray(x), train=True)
    x_torch = _to_torch(x)
    y_torch = theirs(x_torch, parameters)
    np.testing.assert_allclose(ops.to_host(y), _from_torch(y_torch), **CLOSE)

    dy = _random(3, (6, *layer.output_shape))
    dx = model.backward(ops.asarray(dy), tape, input_gradient=True)
    y_torch.backward(_to_torch(dy).detach())
    assert dx is not None
    np.testing.assert_allclose(ops.to_host(dx), _from_torch(x_torch.grad), **CLOSE)
    for name, tensor in parameters.items():
        gradient = _kernel_from_torch(tensor.grad) if name.endswith("W") else _from_torch(tensor.grad)
        np.testing.assert_allclose(
            ops.to_host(layer.grads[name]), gradient, rtol=1e-4, atol=1e-4, err_msg=name
        )


def _settings(thing: Any) -> dict[str, Any]:
    return {field.name: getattr(thing, field.name) for field in dataclasses.fields(thing) if field.init}


@pytest.mark.parametrize("shape", [(20,), IMAGE])
def test_running_statistics_and_evaluation_of_batchnorm(shape: Shape, backend: str) -> None:
    layer = L.BatchNorm(momentum=0.9, epsilon=1e-3)
    model = Sequential([layer], shape, backend=backend)
    ops = model.backend
    kind = torch.nn.BatchNorm1d if len(shape) == 1 else torch.nn.BatchNorm2d
    theirs = kind(shape[-1], eps=1e-3, momentum=0.1)  # PyTorch's momentum is the share of the new
    for seed in range(4):
        x = 3 * _random(seed, (6, *shape)) + seed
        model.forward(ops.asarray(x), train=True)
        theirs(_to_torch(x))
    np.testing.assert_allclose(ops.to_host(layer.state.mean), theirs.running_mean.numpy(), **CLOSE)
    np.testing.assert_allclose(ops.to_host(layer.state.variance), theirs.running_var.numpy(), **CLOSE)
    theirs.eval()
    x_torch = _to_torch(x)
    y_torch = theirs(x_torch)
    y, tape = model.forward(ops.asarray(x))
    np.testing.assert_allclose(ops.to_host(y), _from_torch(y_torch), **CLOSE)
    dy = _random(9, x.shape)
    dx = model.backward(ops.asarray(dy), tape, input_gradient=True)
    y_torch.backward(_to_torch(dy).detach())
    assert dx is not None
    np.testing.assert_allclose(ops.to_host(dx), _from_torch(x_torch.grad), **CLOSE)
    for ours, tensor in ((layer.grads.gamma, theirs.weight), (layer.grads.beta, theirs.bias)):
        np.testing.assert_allclose(ops.to_host(ours), tensor.grad.numpy(), rtol=1e-4, atol=1e-4)


LABELS = np.arange(8) % 5
SHARES = 0.7 * np.eye(5)[LABELS] + 0.3 * np.eye(5)[LABELS[::-1]]
LOSSES: list[tuple[Loss, Array, Callable[[Any], Any]]] = [
    (SoftmaxCrossEntropy(), LABELS, lambda z: F.cross_entropy(z, torch.tensor(LABELS))),
    (
        SoftmaxCrossEntropy(0.1),
        LABELS,
        lambda z: F.cross_entropy(z, torch.tensor(LABELS), label_smoothing=0.1),
    ),
    (
        SoftmaxCrossEntropy(0.1),
        SHARES,
        lambda z: F.cross_entropy(z, torch.tensor(SHARES), label_smoothing=0.1),
    ),
    (
        losses_.CrossEntropy(),
        LABELS,
        lambda z: F.nll_loss(torch.log(z / z.sum(dim=1, keepdim=True)), torch.tensor(LABELS)),
    ),
    (
        losses_.BinaryCrossEntropy(),
        _uniform((8, 5)),
        lambda z: F.binary_cross_entropy_with_logits(z, torch.tensor(_uniform((8, 5)))),
    ),
    (MeanSquaredError(), _random(7, (8, 5)), lambda z: F.mse_loss(z, torch.tensor(_random(7, (8, 5))))),
]


@pytest.mark.parametrize(
    ("loss", "targets", "theirs"), LOSSES, ids=lambda v: repr(v) if isinstance(v, Loss) else None
)
def test_losses(loss: Loss, targets: Array, theirs: Callable[[Any], Any], backend: str) -> None:
    model = Sequential([L.ReLU()], (5,), backend=backend)
    loss.start(model)
    z = np.abs(_random(4, (8, 5))) + 0.1  # positive, so that they can be scores too
    value, cache = loss.forward(loss.ops.asarray(z), loss.ops.asarray(targets))
    gradient = loss.backward(cache)
    z_torch = _to_torch(z)
    expected = theirs(z_torch)
    expected.backward()
    np.testing.assert_allclose(float(value), expected.item(), rtol=1e-6)
    np.testing.assert_allclose(loss.ops.to_host(gradient), z_torch.grad.numpy(), **CLOSE)


def test_every_loss_and_optimiser_has_its_counterpart() -> None:
    assert {type(loss) for loss, *_ in LOSSES} == set(losses_.LOSSES.values())
    assert {type(optimizer) for optimizer, _ in OPTIMIZERS} == set(optim.OPTIMIZERS.values())


OPTIMIZERS: list[tuple[Optimizer, Callable[[Any], Any]]] = [
    (SGD(0.1), lambda groups: torch.optim.SGD(groups, 0.1)),
    (SGD(0.1, momentum=0.9), lambda groups: torch.optim.SGD(groups, 0.1, momentum=0.9)),
    (
        SGD(0.1, momentum=0.9, nesterov=True),
        lambda groups: torch.optim.SGD(groups, 0.1, momentum=0.9, nesterov=True),
    ),
    (Adam(1e-2), lambda groups: torch.optim.Adam(groups, 1e-2)),
    (
        Adam(1e-2, beta1=0.8, beta2=0.95, epsilon=1e-4),
        lambda groups: torch.optim.Adam(groups, 1e-2, betas=(0.8, 0.95), eps=1e-4),
    ),
    (AdamW(1e-2, weight_decay=0.1), lambda groups: torch.optim.AdamW(groups, 1e-2, weight_decay=0.1)),
]


@pytest.mark.parametrize("clip", [None, 0.5])
@pytest.mark.parametrize(("optimizer", "make"), OPTIMIZERS)
def test_optimiser_steps(
    optimizer: Optimizer, make: Callable[[Any], Any], clip: float | None, backend: str
) -> None:
    """Ten steps with given gradients; biases do not decay, which in PyTorch takes a group of their own."""
    model = Sequential([L.Dense(6)], (4,), backend=backend)
    ours = type(optimizer)(**{**_settings(optimizer), "clip": clip})
    ours.start(model)
    views = model.store.values.views
    W, b = (torch.tensor(np.array(model.backend.to_host(view))) for view in views.values())
    for tensor in (W, b):
        tensor.requires_grad_()
    theirs = make([{"params": [W]}, {"params": [b], "weight_decay": 0.0}])
    for step in range(10):
        for seed, (name, tensor) in enumerate(zip(views, (W, b), strict=True)):
            gradient = _random(100 * seed + step, tuple(tensor.shape))
            model.store.grads.views[name][...] = gradient
            tensor.grad = torch.tensor(gradient)
        if clip:
            torch.nn.utils.clip_grad_norm_([W, b], clip)
        ours.step(ours.learning_rate)
        theirs.step()
    for view, tensor in zip(views.values(), (W, b), strict=True):
        np.testing.assert_allclose(model.backend.to_host(view), tensor.detach().numpy(), rtol=2e-5, atol=2e-6)


def _lenet(backend: str) -> Sequential:
    layers = [
        *[L.Conv2D(32, 3), L.ReLU(), L.Conv2D(64, 3), L.ReLU(), L.MaxPool2D(), L.Dropout(0.0), L.Flatten()],
        *[L.Dense(128), L.ReLU(), L.Dense(10)],
    ]
    return Sequential(layers, (28, 28, 1), backend=backend)


@pytest.mark.parametrize(
    ("ours", "make", "losses_agree", "weights_agree"),
    [
        (
            SGD(0.05, momentum=0.9, nesterov=True),
            lambda p: torch.optim.SGD(p, 0.05, momentum=0.9, nesterov=True),
            1e-4,
            1e-4,
        ),
        # ε = 1e-4: with Adam's 1e-8 a gradient that is rounding noise moves its weight by the full rate. Even
        # so, Winograd's rounding moves a filter with small gradients by 4e-4 of the 1e-2 that ten steps can.
        (Adam(1e-3, epsilon=1e-4), lambda p: torch.optim.Adam(p, 1e-3, eps=1e-4), 1e-4, 1e-3),
    ],
    ids=["SGD", "Adam"],
)
def test_ten_training_steps_of_the_lenet_architecture(
    ours: Optimizer, make: Callable[[Any], Any], losses_agree: float, weights_agree: float, backend: str
) -> None:
    model = _lenet(backend)
    ops = model.backend
    loss = SoftmaxCrossEntropy()
    loss.start(model)
    ours.start(model)
    tensors = {
        name: _kernel_to_torch(ops.to_host(view)) if name.endswith("W") else _to_torch(ops.to_host(view))
        for name, view in model.store.values.views.items()
    }
    theirs = make(tensors.values())

    def forward(x: Any) -> Any:
        p = tensors
        x = F.relu(F.conv2d(x, p["conv2d_1.W"], p["conv2d_1.b"]))
        x = F.relu(F.conv2d(x, p["conv2d_2.W"], p["conv2d_2.b"]))
        x = F.max_pool2d(x, 2).permute(0, 2, 3, 1).flatten(1)  # our order, so that Dense sees the same
        x = F.relu(F.linear(x, p["dense_1.W"], p["dense_1.b"]))
        return F.linear(x, p["dense_2.W"], p["dense_2.b"])

    for step in range(10):
        x, labels = _random(50 + step, (16, 28, 28, 1)), (np.arange(16) + step) % 10
        outputs, tape = model.forward(ops.asarray(x), train=True, step=step)
        value, cache = loss.forward(outputs, ops.asarray(labels))
        model.backward(loss.backward(cache), tape)
        theirs.zero_grad()
        expected = F.cross_entropy(forward(_to_torch(x).detach()), torch.tensor(labels))
        expected.backward()
        assert float(value) == pytest.approx(expected.item(), rel=losses_agree)
        ours.step(ours.learning_rate)
        theirs.step()
    for name, tensor in tensors.items():
        end = _kernel_from_torch(tensor) if name.endswith("W") else _from_torch(tensor)
        np.testing.assert_allclose(
            ops.to_host(model.store.values.views[name]), end, rtol=0, atol=weights_agree, err_msg=name
        )
