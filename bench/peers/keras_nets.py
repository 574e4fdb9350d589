"""Nets by Keras 3, trained for some steps, as .keras: keras_nets.py FOLDER (see nets_made.py)."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
from keras import layers
from nets_made import Made, Net

STEPS, BATCH = 40, 64


def mlp() -> list[keras.Layer]:
    return [layers.Flatten(), layers.Dense(128, activation="relu"), layers.Dropout(0.2), answer()]


def cnn() -> list[keras.Layer]:
    return [
        *(layers.Conv2D(16, 5, activation="relu"), layers.BatchNormalization(), layers.MaxPooling2D()),
        *(
            layers.Conv2D(24, 3, strides=2, padding="same", use_bias=False),
            layers.BatchNormalization(scale=False),
        ),
        *(layers.ReLU(), layers.AveragePooling2D(3, 2, padding="same"), layers.Flatten()),
        *(layers.Dense(32, use_bias=False), layers.BatchNormalization(center=False), layers.ReLU(), answer()),
    ]


def activations() -> list[keras.Layer]:
    return [
        *(layers.Conv2D(12, (3, 5), strides=2), layers.LeakyReLU(0.1)),
        *(layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same"), layers.ELU()),
        *(layers.Conv2D(16, 1, activation="gelu"), layers.Conv2D(16, 3, activation="tanh")),
        *(layers.GlobalAveragePooling2D(), layers.Dense(16, activation="sigmoid"), layers.Dense(10)),
        layers.Softmax(),
    ]


def with_lambda() -> list[keras.Layer]:
    return [layers.Flatten(), layers.Lambda(lambda x: x * 2), answer()]


def separable() -> list[keras.Layer]:
    return [layers.SeparableConv2D(8, 3), layers.Flatten(), answer()]


@keras.saving.register_keras_serializable(package="own")
class Doubled(layers.Layer):
    """A layer of somebody's own."""

    def call(self, x: object) -> object:
        return x * 2


def own_layer() -> list[keras.Layer]:
    return [layers.Flatten(), Doubled(), answer()]


def joined(shape: tuple[int, ...], made: list[keras.Layer]) -> keras.Model:
    """Two branches, which end in one of these layers."""
    first = keras.Input(shape)
    branches = [layers.Conv2D(4, 3, padding="same")(first) for _ in range(2)]
    value = made[0](branches)
    for layer in made[1:]:
        value = layer(value)
    return keras.Model(first, value)


def concatenated() -> list[keras.Layer]:
    return [layers.Concatenate(), layers.Flatten(), answer()]


def answer() -> keras.Layer:
    return layers.Dense(10, activation="softmax")


def sequential(shape: tuple[int, ...], made: list[keras.Layer]) -> keras.Model:
    return keras.Sequential([keras.Input(shape), layers.Rescaling(1 / 255), *made])


def functional(shape: tuple[int, ...], made: list[keras.Layer]) -> keras.Model:
    first = value = keras.Input(shape)
    for layer in (layers.Rescaling(1 / 255), *made):
        value = layer(value)
    return keras.Model(first, value)


NETS: tuple[tuple[Net, Callable[..., keras.Model], Callable[[], list[keras.Layer]]], ...] = (
    (Net("mlp with dropout"), sequential, mlp),
    (Net("cnn: batch-norms and layers without all their weights, padded pools"), sequential, cnn),
    (Net("the same, by keras.Model"), functional, cnn),
    (Net("depthwise convolution, five activations, softmax", "colour"), sequential, activations),
    (Net("a Lambda", refused="Lambda"), sequential, with_lambda),
    (Net("a layer of one's own", refused="Doubled"), sequential, own_layer),
    (Net("SeparableConv2D", refused="SeparableConv2D"), sequential, separable),
    (Net("two branches side by side", refused="branch"), joined, concatenated),
)


def main(folder: Path) -> None:
    made = Made(folder)
    labels = made.images("labels")
    for number, (net, build, of) in enumerate(NETS):
        keras.utils.set_random_seed(number)
        images = made.images(net.images).astype(np.float32)
        model = build(images.shape[1:], of())
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(images, labels, batch_size=BATCH, epochs=max(1, STEPS * BATCH // len(images)), verbose=0)
        file = f"keras-{number}.keras"
        model.save(folder / file)
        made.add(file, net, None if net.refused else model.predict(images, verbose=0))
    made.save(f"Keras {keras.__version__} on {keras.backend.backend()}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
