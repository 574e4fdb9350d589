"""TensorFlow: the training step as one tf.function over plain variables."""

from __future__ import annotations

import os
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np
import tensorflow as tf
from net import ADAM, FLOOR, THREADS, Net, scaled

DISTRIBUTIONS = ("tensorflow-cpu",)
MOMENTUM, EPSILON = 0.9, 1e-5  # of batch normalisation
tf.config.threading.set_intra_op_parallelism_threads(THREADS)


class Peer:
    def __init__(self, net: Net, mode: str) -> None:
        self.net = net
        self.params = [{name: tf.Variable(a) for name, a in layer.weights.items()} for layer in net.layers]
        self.running = [
            [tf.Variable(tf.zeros(n)), tf.Variable(tf.ones(n))] if layer.kind == "BatchNorm" else []
            for layer in net.layers
            for n in [layer.input_shape[-1]]
        ]
        self.variables = [variable for p in self.params for variable in p.values()]
        self.m, self.v = ([tf.Variable(tf.zeros_like(w)) for w in self.variables] for _ in range(2))
        self.t = tf.Variable(0.0)
        self.step = tf.function(self._step, reduce_retracing=True)
        self.infer = tf.function(lambda x: self._forward(x, train=False), reduce_retracing=True)

    def put(self, images: np.ndarray, labels: np.ndarray) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.constant(scaled(images)), tf.constant(labels.astype(np.int32))

    def epoch(self, x: tf.Tensor, labels: tf.Tensor, batch: int) -> float:
        data = tf.data.Dataset.from_tensor_slices((x, labels)).shuffle(len(x)).batch(batch).prefetch(2)
        return float(sum(self.step(*samples) for samples in data))

    def _step(self, x: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = self._loss(self._forward(x, train=True), labels)
        b1, b2, t = ADAM["beta1"], ADAM["beta2"], self.t.assign_add(1.0)
        rate, root = ADAM["rate"] / (1 - b1**t), tf.sqrt(1 - b2**t)
        grads = tape.gradient(loss, self.variables)
        for w, m, v, g in zip(self.variables, self.m, self.v, grads, strict=True):
            m.assign(b1 * m + (1 - b1) * g)
            v.assign(b2 * v + (1 - b2) * g * g)
            w.assign_sub(rate * m / (tf.sqrt(v) / root + ADAM["epsilon"]))
        return loss

    def _loss(self, outputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        if self.net.loss == "CrossEntropy":
            outputs = tf.maximum(outputs, FLOOR)
            shares = outputs / tf.reduce_sum(outputs, 1, keepdims=True)
            losses = -tf.math.log(tf.gather(shares, labels, batch_dims=1))
        else:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, outputs)
        loss = tf.reduce_mean(losses)
        for layer, p in zip(self.net.layers, self.params, strict=True):
            if layer.settings.get("l2"):
                loss += layer.settings["l2"] * tf.reduce_sum(tf.square(p["W"]))
        return loss

    def _forward(self, x: tf.Tensor, train: bool) -> tf.Tensor:
        for layer, p, running in zip(self.net.layers, self.params, self.running, strict=True):
            s = layer.settings
            match layer.kind:
                case "Flatten":
                    x = tf.reshape(x, (tf.shape(x)[0], int(np.prod(layer.input_shape))))
                case "Dense":
                    x = x @ p["W"] + p["b"]
                case "Conv2D":
                    padding = s.get("padding", "valid").upper()
                    x = tf.nn.bias_add(tf.nn.conv2d(x, p["W"], s.get("stride", 1), padding), p["b"])
                case "MaxPool2D":
                    x = tf.nn.max_pool2d(x, 2, 2, "VALID")
                case "AvgPool2D":
                    x = tf.nn.avg_pool2d(x, 2, 2, "VALID")
                case "BatchNorm":
                    x = normalized(x, p, running, train)
                case "Dropout" if train and s["rate"]:
                    x = tf.nn.dropout(x, s["rate"])
                case "ReLU" | "ELU" | "Sigmoid" | "Tanh":
                    x = getattr(tf.nn, layer.kind.lower())(x)
        return x


def normalized(x: tf.Tensor, p: Any, running: list[tf.Variable], train: bool) -> tf.Tensor:
    """Batch normalisation by TensorFlow's fused operation, which gives the variance unbiased."""
    mean, variance = running
    if not train:
        return tf.compat.v1.nn.fused_batch_norm(
            x, p["gamma"], p["beta"], mean, variance, EPSILON, is_training=False
        )[0]
    y, batch_mean, batch_variance = tf.compat.v1.nn.fused_batch_norm(
        x, p["gamma"], p["beta"], epsilon=EPSILON, is_training=True
    )
    mean.assign(MOMENTUM * mean + (1 - MOMENTUM) * batch_mean)
    variance.assign(MOMENTUM * variance + (1 - MOMENTUM) * batch_variance)
    return y
