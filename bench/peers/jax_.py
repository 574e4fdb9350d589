"""JAX: forward, loss, gradients and Adam as one compiled function whose state is updated in place."""

from __future__ import annotations

import os
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from net import ADAM, FLOOR, Net, scaled

DISTRIBUTIONS = ("jax", "jaxlib")
MOMENTUM, EPSILON = 0.9, 1e-5  # of batch normalisation


class Peer:
    def __init__(self, net: Net, mode: str) -> None:
        params = [{name: jnp.asarray(a) for name, a in layer.weights.items()} for layer in net.layers]
        running = [initial_statistics(layer) for layer in net.layers]
        m, v = (jax.tree.map(jnp.zeros_like, params) for _ in range(2))
        self.state = params, running, m, v, jnp.float32(0), jax.random.key(0)
        self._step = jax.jit(lambda state, x, labels: step(net, state, x, labels), donate_argnums=0)
        self._infer = jax.jit(lambda params, running, x: forward(net, params, running, x)[0])

    def put(self, images: np.ndarray, labels: np.ndarray) -> tuple[jax.Array, jax.Array]:
        return jnp.asarray(scaled(images)), jnp.asarray(labels.astype(np.int32))

    def step(self, x: Any, labels: Any) -> jax.Array:
        self.state, loss = self._step(self.state, x, labels)
        return loss

    def epoch(self, x: jax.Array, labels: jax.Array, batch: int) -> float:
        images, targets = np.asarray(x), np.asarray(labels)  # no copy; NumPy gathers a batch faster
        order = np.random.default_rng().permutation(len(images))
        losses = []
        for start in range(0, len(order), batch):
            index = order[start : start + batch]
            losses.append(self.step(images[index], targets[index]))
        return float(sum(jax.device_get(losses)))

    def infer(self, x: jax.Array) -> jax.Array:
        return self._infer(self.state[0], self.state[1], x)


def initial_statistics(layer: Any) -> tuple[jax.Array, ...]:
    channels = layer.input_shape[-1]
    return (jnp.zeros(channels), jnp.ones(channels)) if layer.kind == "BatchNorm" else ()


def step(net: Net, state: Any, x: jax.Array, labels: jax.Array) -> tuple[Any, jax.Array]:
    params, running, m, v, t, key = state
    key, masks = jax.random.split(key)

    def objective(params: Any) -> tuple[jax.Array, Any]:
        outputs, averages = forward(net, params, running, x, masks)
        return loss_of(net, params, outputs, labels), averages

    (loss, running), grads = jax.value_and_grad(objective, has_aux=True)(params)
    b1, b2, t = ADAM["beta1"], ADAM["beta2"], t + 1
    m = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, m, grads)
    v = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g * g, v, grads)

    def moved(p: jax.Array, m: jax.Array, v: jax.Array) -> jax.Array:
        return p - ADAM["rate"] * (m / (1 - b1**t)) / (jnp.sqrt(v / (1 - b2**t)) + ADAM["epsilon"])

    return (jax.tree.map(moved, params, m, v), running, m, v, t, key), loss


def loss_of(net: Net, params: Any, outputs: jax.Array, labels: jax.Array) -> jax.Array:
    if net.loss == "CrossEntropy":
        outputs = jnp.maximum(outputs, FLOOR)
        logs = jnp.log(outputs / outputs.sum(1, keepdims=True))
    else:
        logs = jax.nn.log_softmax(outputs)
    loss = -jnp.take_along_axis(logs, labels[:, None], 1).mean()
    for layer, p in zip(net.layers, params, strict=True):
        if layer.settings.get("l2"):
            loss += layer.settings["l2"] * jnp.square(p["W"]).sum()
    return loss


def forward(net: Net, params: Any, running: Any, x: jax.Array, key: Any = None) -> tuple[jax.Array, Any]:
    """(outputs, running statistics): in training if there is a key for the dropout masks."""
    averages = []
    for layer, p, statistics in zip(net.layers, params, running, strict=True):
        s = layer.settings
        match layer.kind:
            case "Flatten":
                x = x.reshape(len(x), -1)
            case "Dense":
                x = x @ p["W"] + p["b"]
            case "Conv2D":
                padding = s.get("padding", "valid").upper()
                x = lax.conv_general_dilated(
                    x, p["W"], (s.get("stride", 1),) * 2, padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
                )
                x = x + p["b"]
            case "MaxPool2D":
                x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
            case "AvgPool2D":
                x = lax.reduce_window(x, 0.0, lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "VALID") / 4
            case "BatchNorm":
                mean, variance = statistics
                if key is not None:
                    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
                    many = x.size // x.shape[-1]
                    batch = mean, variance * (many / (many - 1))
                    statistics = tuple(
                        MOMENTUM * old + (1 - MOMENTUM) * new
                        for old, new in zip(statistics, batch, strict=True)
                    )
                x = (x - mean) * (lax.rsqrt(variance + EPSILON) * p["gamma"]) + p["beta"]
            case "Dropout" if key is not None and s["rate"]:
                key, mask = jax.random.split(key)
                keep = jax.random.bernoulli(mask, 1 - s["rate"], x.shape)
                x = jnp.where(keep, x / (1 - s["rate"]), 0)
            case "ReLU" | "ELU" | "Sigmoid" | "Tanh":
                x = getattr(jax.nn, layer.kind.lower())(x)
        averages.append(statistics)
    return x, averages
