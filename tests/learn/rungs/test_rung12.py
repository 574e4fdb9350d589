"""tinynet.learn, rung 12: right answers pass, and each typical wrong one gets its hint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from tinynet.learn.exercise import Wrong
from tinynet.learn.ladder import exercise


def convolved(tensors: Any, x: Any) -> Any:
    """The convolution, written with another order of sums than the grader's."""
    W = tensors["conv2d_1.W"]
    seen = sliding_window_view(x, W.shape[:2], axis=(1, 2))[:, ::2, ::2, :, :, :]
    return np.tensordot(seen, W, axes=((3, 4, 5), (2, 0, 1))) + tensors["conv2d_1.b"]


def normalised(tensors: Any, u: Any, power: float = 0.5) -> Any:
    gamma, beta, mean, variance = (
        tensors[f"batchnorm_1.{name}"] for name in ("gamma", "beta", "mean", "variance")
    )
    return (u - mean) * gamma / (variance + 1e-5) ** power + beta


def pooled(v: Any, best: Callable[..., Any] = np.maximum) -> Any:
    H, W = v.shape[1:3]
    v = v[:, : H - H % 2, : W - W % 2]
    rows = best(v[:, ::2], v[:, 1::2])
    return best(rows[:, :, ::2], rows[:, :, 1::2])


def scores(tensors: Any, m: Any) -> Any:
    return m.reshape(len(m), -1) @ tensors["dense_1.W"] + tensors["dense_1.b"]


def softmax(y: Any) -> Any:
    e = np.exp(y - y.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def relu(v: Any) -> Any:
    return np.maximum(v, 0)


def forward(tensors: Any, images: Any) -> Any:
    return softmax(scores(tensors, pooled(relu(normalised(tensors, convolved(tensors, images / 255))))))


def with_batch_statistics(tensors: Any, images: Any) -> Any:
    u = convolved(tensors, images / 255)
    own = {"batchnorm_1.mean": u.mean(axis=(0, 1, 2)), "batchnorm_1.variance": u.var(axis=(0, 1, 2))}
    return forward({**tensors, **own}, images)


def in_place(tensors: Any, images: Any) -> Any:
    found = forward(tensors, images)
    tensors["dense_1.W"] *= 2
    return found


def channels_first(rows: Any, shape: Any) -> Any:
    order = np.arange(len(rows)).reshape(shape).transpose(2, 0, 1).ravel()
    return rows[order]


def by_axes(*axes: int) -> Callable[..., Any]:
    return lambda rows, shape: rows[np.arange(len(rows)).reshape(shape).transpose(axes).ravel()]


def back_again(rows: Any, shape: Any) -> Any:
    H, W, C = shape
    return rows[np.arange(len(rows)).reshape(C, H, W).transpose(1, 2, 0).ravel()]


def fold(W: Any, b: Any, gamma: Any, beta: Any, mean: Any, variance: Any) -> Any:
    factor = gamma / np.sqrt(variance + 1e-5)
    return factor * W, beta + factor * (b - mean)


def by_factor(factor: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def wrong(W: Any, b: Any, gamma: Any, beta: Any, mean: Any, variance: Any) -> Any:
        s = factor(gamma, variance)
        return W * s, (b - mean) * s + beta

    return wrong


def by_bias(bias: Callable[..., Any]) -> Callable[..., Any]:
    def wrong(W: Any, b: Any, gamma: Any, beta: Any, mean: Any, variance: Any) -> Any:
        s = gamma / np.sqrt(variance + 1e-5)
        return W * s, bias(b, mean, beta, s)

    return wrong


def quantize(W: Any, x: Any) -> Any:
    return quantized(W, x)


def quantized(
    W: Any,
    x: Any,
    scale: Callable[[Any], Any] = lambda W: np.abs(W).max(axis=0) / 127,
    whole: Callable[[Any], Any] = np.round,
    bound: Callable[[Any, Any], Any] = lambda x, s: np.outer(np.abs(x).sum(axis=1), s) / 2,
) -> Any:
    s = scale(W)
    s = np.where(s == 0, 1, s)
    return whole(W / s).astype("int8"), s, bound(x, s)


def changed(**how: Any) -> Callable[..., Any]:
    return lambda W, x: quantized(W, x, **how)


def zeros_forgotten(W: Any, x: Any) -> Any:
    s = np.abs(W).max(axis=0) / 127
    return np.rint(W / s).astype("int8"), s, np.outer(np.abs(x).sum(axis=1), s) / 2


@pytest.mark.parametrize("right", [forward, channels_first, fold, quantize])
def test_a_right_answer_passes(right: Callable[..., Any]) -> None:
    exercise(f"12.{right.__name__}").grade(right)


WRONG: list[tuple[str, Callable[..., Any], str]] = [
    (
        "forward",
        lambda t, x: scores(t, pooled(relu(normalised(t, convolved(t, x / 255))))),
        "scores, not yet probabilities",
    ),
    ("forward", lambda t, x: forward(t, x * 255.0), "Rescale is missing"),
    (
        "forward",
        lambda t, x: softmax(scores(t, pooled(normalised(t, convolved(t, x / 255))))),
        "ReLU is missing",
    ),
    (
        "forward",
        lambda t, x: softmax(scores(t, pooled(normalised(t, relu(convolved(t, x / 255)))))),
        "ReLU comes after BatchNorm",
    ),
    (
        "forward",
        lambda t, x: softmax(scores(t, pooled(relu(normalised(t, convolved(t, x / 255), 1))))),
        "divided by the variance",
    ),
    ("forward", lambda t, x: softmax(scores(t, pooled(relu(convolved(t, x / 255))))), "BatchNorm is missing"),
    ("forward", with_batch_statistics, "not those of this batch"),
    ("forward", lambda t, x: forward({**t, "conv2d_1.W": t["conv2d_1.W"][::-1, ::-1]}, x), "flipped"),
    ("forward", lambda t, x: forward({**t, "conv2d_1.b": 0}, x), "the convolution's b is missing"),
    (
        "forward",
        lambda t, x: forward({**t, "batchnorm_1.gamma": 1, "batchnorm_1.beta": 0}, x),
        "gamma and beta",
    ),
    (
        "forward",
        lambda t, x: softmax(
            scores(t, pooled(relu(normalised(t, convolved(t, x / 255))), lambda a, b: (a + b) / 2))
        ),
        "MaxPool2D keeps the largest",
    ),
    (
        "forward",
        lambda t, x: softmax(
            scores(t, pooled(relu(normalised(t, convolved(t, x / 255)))).transpose(0, 3, 1, 2))
        ),
        "flattened with channels first",
    ),
    ("forward", lambda t, x: forward(t, x)[0], "the batch comes first"),
    ("forward", in_place, "was changed by your function"),
    ("forward", lambda t, x: None, "missing `return`"),
    ("channels_first", lambda rows, shape: rows, "nothing has moved"),
    ("channels_first", back_again, "the other way"),
    ("channels_first", by_axes(2, 1, 0), r"not \(C, W, H\)"),
    ("channels_first", by_axes(1, 0, 2), "channels are still last"),
    ("channels_first", by_axes(0, 2, 1), "channels in the middle"),
    ("channels_first", by_axes(1, 2, 0), "is the way back"),
    ("channels_first", lambda rows, shape: channels_first(rows, shape).T, "transposed"),
    ("fold", by_factor(lambda g, v: g / (v + 1e-5)), "instead of its root"),
    ("fold", by_factor(lambda g, v: g / np.sqrt(v)), "epsilon is missing"),
    ("fold", by_factor(lambda g, v: g / (np.sqrt(v) + 1e-5)), "outside the root"),
    ("fold", by_factor(lambda g, v: 1 / np.sqrt(v + 1e-5)), "gamma is missing"),
    ("fold", by_factor(lambda g, v: g * np.sqrt(v + 1e-5)), "instead of divided"),
    ("fold", lambda W, b, *rest: (W, b), "nothing has changed"),
    ("fold", by_bias(lambda b, m, beta, s: b), "nothing has changed"),
    ("fold", by_bias(lambda b, m, beta, s: b * s - m + beta), "the mean is not multiplied"),
    ("fold", by_bias(lambda b, m, beta, s: b - m * s + beta), "b is not multiplied"),
    ("fold", by_bias(lambda b, m, beta, s: b * s + beta), "the mean is not subtracted"),
    ("fold", by_bias(lambda b, m, beta, s: (b + m) * s + beta), "the mean's sign"),
    ("fold", by_bias(lambda b, m, beta, s: (b - m) * s), "beta is missing"),
    ("fold", by_bias(lambda b, m, beta, s: beta - m * s), "the old b is missing"),
    ("fold", by_bias(lambda b, m, beta, s: (b - m + beta) * s), "beta is not multiplied"),
    ("fold", lambda *each: fold(*each)[0], r"`return W, b`"),
    ("quantize", changed(scale=lambda W: np.max(W, axis=0) / 127), "of the largest size"),
    ("quantize", changed(scale=lambda W: np.full(W.shape[1], np.abs(W).max() / 127)), "one scale for the"),
    ("quantize", changed(scale=lambda W: np.abs(W).max(axis=0) / 128), "int8 ends at 127"),
    ("quantize", changed(scale=lambda W: np.ptp(W, axis=0) / 255), "127 steps on each side"),
    (
        "quantize",
        lambda W, x: (quantized(W, x)[0], np.abs(W).max(axis=1) / 127, None),
        "a scale for each row",
    ),
    ("quantize", lambda W, x: (quantized(W, x)[0], 127 / np.abs(W).max(axis=0), None), "inverted"),
    ("quantize", changed(whole=np.trunc), "round first"),
    ("quantize", changed(whole=np.floor), "floor instead of rounding"),
    ("quantize", changed(whole=np.ceil), "ceil instead of rounding"),
    ("quantize", lambda W, x: (np.rint(W), *quantized(W, x)[1:]), "(?s)q has the wrong element type.*int8"),
    ("quantize", changed(bound=lambda x, s: np.outer(np.abs(x).sum(axis=1), s)), "half a step at most"),
    ("quantize", changed(bound=lambda x, s: np.outer(x.sum(axis=1), s) / 2), "sum the sizes"),
    (
        "quantize",
        changed(bound=lambda x, s: x.shape[1] * np.outer(np.abs(x).max(axis=1), s) / 2),
        "larger than need be",
    ),
    ("quantize", changed(bound=lambda x, s: np.outer(np.abs(x).mean(axis=1), s) / 2), "the mean of"),
    (
        "quantize",
        lambda W, x: (*(q := quantized(W, x))[:2], np.abs(x @ (q[0] * q[1] - W))),
        "not a bound on it",
    ),
    ("quantize", changed(bound=lambda x, s: np.abs(x).sum() * s / 2), "one row for each input"),
    ("quantize", lambda W, x: quantized(W, x)[0], "(?s)three arrays.*return q, scale, bound"),
]


@pytest.mark.parametrize(("name", "wrong", "hint"), WRONG, ids=[f"{name}: {hint}" for name, _, hint in WRONG])
def test_a_wrong_answer_gets_its_hint(name: str, wrong: Callable[..., Any], hint: str) -> None:
    with pytest.raises(Wrong, match=hint):
        exercise(f"12.{name}").grade(wrong)


def test_a_column_of_zeros_has_a_scale() -> None:
    with pytest.raises(Wrong, match=r"not finite|column of zeros"), np.errstate(all="ignore"):
        exercise("12.quantize").grade(zeros_forgotten)
