"""Gradients with respect to the input: against central differences, and of a linear net."""

from __future__ import annotations

import numpy as np
import pytest
from explained import SIZE, convolutional, digit, outputs_after

from tinynet import blocks
from tinynet import layers as L
from tinynet.analysis import gradients
from tinynet.gradcheck.check import TOLERANCE, gradient_error, tie_free
from tinynet.layers.base import Layer
from tinynet.rng import Key, Stream, normal
from tinynet.types import Array


@pytest.mark.parametrize("end", [None, L.Softmax, L.Sigmoid])
def test_gradients_agree_with_central_differences(backend: str, end: type[Layer] | None) -> None:
    """At the input and at the output of every block, of a sum of logits before softmax or sigmoid."""
    model = convolutional(backend, end=end() if end else None)
    ops, weights, last = model.backend, np.array([1.0, -0.5, 2.0]), 12
    ends = [block.stop - 1 for block in blocks.blocks(model)][:-1]
    x = tie_free((2, *SIZE), 3) * 255
    found = gradients.probe(model, x, weights, keep=ends)
    tensors = {-1: (x, found.input_gradient)}
    tensors |= {end: (found.outputs[end], found.gradients[end]) for end in ends}
    for position, (tensor, gradient) in tensors.items():
        values = ops.asarray(tensor.copy())

        def f(position: int = position, values: Array = values) -> float:
            return float((outputs_after(model, position, values, last) * ops.asarray(weights)).sum())

        assert np.abs(gradient).max() > 1e-3
        assert gradient_error(f, values, gradient, ops, seed=0) < TOLERANCE


def test_logits_are_what_the_model_predicts(backend: str) -> None:
    model = convolutional(backend)
    images = np.stack([digit(), 255 - digit()])
    np.testing.assert_allclose(gradients.logits(model, images)[0], model.predict(images), rtol=1e-12)
    squashed = convolutional(backend, end=L.Softmax())
    np.testing.assert_allclose(gradients.logits(squashed, images)[0], model.predict(images), rtol=1e-12)


def test_smooth_grad_is_the_mean_over_noise_from_the_seed(backend: str) -> None:
    model, image = convolutional(backend), digit()
    np.testing.assert_allclose(
        gradients.smooth_grad(model, image, 0, noise=0, samples=2), gradients.saliency(model, image, 0)
    )
    found = gradients.smooth_grad(model, image, 0, seed=5, samples=2, noise=0.3)
    sigma = 0.3 * (float(image.max()) - float(image.min()))
    noisy = [image + sigma * normal(Key(5, Stream.EXPLAIN, step=i), SIZE) for i in range(2)]
    weights = np.array([1.0, 0, 0])
    mean = gradients.probe(model, np.stack(noisy), weights).input_gradient.mean(axis=0)
    np.testing.assert_allclose(found, np.abs(mean)[..., 0], rtol=1e-9)
    again, other = (gradients.smooth_grad(model, image, 0, seed=s, samples=2, noise=0.3) for s in (5, 6))
    np.testing.assert_array_equal(found, again)
    assert not np.allclose(found, other)
