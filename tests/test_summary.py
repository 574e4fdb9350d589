"""The summary of a model, against figures known for a published net."""

from __future__ import annotations

import pytest

from tinynet import layers as L
from tinynet.layers.base import Layer
from tinynet.model import Sequential


def test_summary_of_the_kaggle_cnn() -> None:
    def block(filters: int, kernel: int, count: int) -> list[Layer]:
        convolutions: list[Layer] = []
        for _ in range(count):
            convolutions += [L.Conv2D(filters, kernel, padding="same", init="he_normal"), L.ReLU()]
        return [*convolutions, L.MaxPool2D(), L.BatchNorm()]

    def dense(units: int) -> list[Layer]:
        return [L.Dense(units, init="he_normal", l2=0.01), L.ELU()]

    layers = [
        *[L.Rescale(), L.Reshape((28, 28, 1))],
        *[*block(64, 5, 1), *block(128, 3, 2), *block(256, 3, 2), L.Flatten()],
        *[*dense(512), L.Dropout(0.2), *dense(512), L.Dropout(0.2), *dense(256), L.Dense(10)],
    ]
    model = Sequential(layers, (784,), backend="numpy")
    assert model.store.count == 2_685_962
    assert model.store.count + model.store.state_count == 2_686_858
    rows = model.summary()
    assert sum(row.parameters for row in rows) == 2_685_962
    assert sum(row.state for row in rows) == 896
    by_name = {row.name: row for row in rows}
    assert by_name["flatten_1"].output_shape == (2304,)
    first = by_name["conv2d_1"]
    assert (first.kind, first.output_shape, first.parameters) == ("Conv2D", (28, 28, 64), 1664)
    assert first.multiply_adds == 28 * 28 * 64 * 25
    assert first.activation_bytes == 28 * 28 * 64 * 4
    # forward and both backward products, two operations each: the figure known for this net per image
    assert 6 * sum(row.multiply_adds for row in rows) == pytest.approx(534.7e6, rel=0.01)
