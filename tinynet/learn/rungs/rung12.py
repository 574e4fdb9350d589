"""Rung 12, Ship it: a file's arrays computed by hand, channels moved, weights in 8 bits, BatchNorm folded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tinynet.learn.exercise import Exercise, Wrong
from tinynet.learn.grading import agree, answer, answers, check_unchanged, checked
from tinynet.types import Array

EPSILON = 1e-5
STRIDE, POOL = 2, 2


def _grade_forward(forward: Callable[..., Any]) -> None:
    rng = np.random.default_rng(121)
    for N, (H, W), (KH, KW), F, K in ((3, (14, 17), (3, 5), 4, 6), (1, (11, 15), (5, 3), 3, 7)):
        tensors, images = _net(rng, (H, W), (KH, KW), F, K), rng.integers(0, 256, (N, H, W, 1), np.uint8)
        given, pixels = {name: each.copy() for name, each in tensors.items()}, images.copy()
        found = forward(given, pixels)
        check_unchanged([pixels, *(given.get(name) for name in tensors)], [images, *tensors.values()])
        slips: dict[str, dict[str, Any]] = {
            "scores, not yet probabilities: exp(y) over the sum of exp(y)": {"softmax": False},
            "ReLU is missing": {"relu": False},
            "Rescale is missing: pixels go from 0 to 255, the net learned from 0 to 1": {"scale": 1.0},
            "the convolution's b is missing": {"b": False},
            "divided by the variance; the root of it is the spread": {"root": False},
            "BatchNorm is missing": {"norm": None},
            "BatchNorm takes the mean and variance in the file, not those of this batch": {"norm": "batch"},
            "gamma and beta are missing": {"gamma": False},
            "ReLU comes after BatchNorm, not before": {"early": True},
            "the mean of each 2 x 2; MaxPool2D keeps the largest": {"pool": np.mean},
            "the kernel is flipped; a net's convolution slides it as it is": {"flip": True},
            "flattened with channels first; here they come last": {"first": True},
        }
        with np.errstate(all="ignore"):
            named = {name: _forward(tensors, images, **change) for name, change in slips.items()}
        agree(
            checked(found, (N, K), slips={(K,): "one image alone; the batch comes first"}),
            _forward(tensors, images),
            f"the probabilities of {N} image{'s' * (N > 1)}",
            named,
        )


def _net(rng: Any, size: tuple[int, int], kernel: tuple[int, int], F: int, K: int) -> dict[str, Array]:
    """The tensors of a small net by their names, float64."""
    rows = F * int(np.prod([(n - k + STRIDE) // STRIDE // POOL for n, k in zip(size, kernel, strict=True)]))
    return {
        "conv2d_1.W": rng.normal(0, 0.5, (*kernel, 1, F)),
        "conv2d_1.b": rng.normal(0, 0.5, F),
        "batchnorm_1.gamma": rng.uniform(0.5, 2, F),
        "batchnorm_1.beta": rng.normal(0, 0.5, F),
        "batchnorm_1.mean": rng.normal(0, 0.5, F),
        "batchnorm_1.variance": rng.uniform(0.2, 3, F),
        "dense_1.W": rng.normal(0, 0.3, (rows, K)),
        "dense_1.b": rng.normal(0, 0.3, K),
    }


def _forward(
    tensors: Mapping[str, Array],
    images: Array,
    *,
    softmax: bool = True,
    relu: bool = True,
    scale: float = 1 / 255,
    b: bool = True,
    root: bool = True,
    norm: str | None = "file",
    gamma: bool = True,
    early: bool = False,
    pool: Callable[..., Any] = np.max,
    flip: bool = False,
    first: bool = False,
) -> Array:
    """Probabilities (N, K) of images (N, H, W, 1); the options are what wrong answers do otherwise."""
    W = tensors["conv2d_1.W"][::-1, ::-1] if flip else tensors["conv2d_1.W"]
    windows = sliding_window_view(images * scale, W.shape[:2], axis=(1, 2))[:, ::STRIDE, ::STRIDE]
    x = np.einsum("nijcuv,uvcf->nijf", windows, W) + b * tensors["conv2d_1.b"]
    x = np.maximum(x, 0) if early else x
    its = {name.partition(".")[2]: each for name, each in tensors.items() if name.startswith("batchnorm")}
    mean, variance = its["mean"], its["variance"]
    if norm == "batch":
        mean, variance = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
    if norm:
        x = (x - mean) / (np.sqrt(variance + EPSILON) if root else variance + EPSILON)
        x = x * its["gamma"] + its["beta"] if gamma else x
    x = np.maximum(x, 0) if relu and not early else x
    N, H, Wide, F = x.shape
    x = x[:, : H // POOL * POOL, : Wide // POOL * POOL]
    x = pool(x.reshape(N, H // POOL, POOL, Wide // POOL, POOL, F), axis=(2, 4))
    x = x.transpose(0, 3, 1, 2) if first else x
    y = x.reshape(N, -1) @ tensors["dense_1.W"] + tensors["dense_1.b"]
    if not softmax:
        return np.asarray(y)
    raised = np.exp(y - y.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def _grade_channels_first(channels_first: Callable[..., Any]) -> None:
    rng = np.random.default_rng(122)
    for H, W, C, K in ((3, 4, 2, 5), (2, 5, 3, 4)):
        rows = rng.normal(size=(H * W * C, K))
        agree(
            answer(channels_first, rows, (H, W, C), shape=rows.shape, slips={(K, H * W * C): "transposed"}),
            _rows(rows, (H, W, C), (2, 0, 1)),
            f"the rows behind an image of shape ({H}, {W}, {C})",
            {
                "nothing has moved": rows,
                "the other way: the rows that come are in the order (H, W, C)": rows.reshape(C, H, W, K)
                .transpose(1, 2, 0, 3)
                .reshape(rows.shape),
                "reshape alone moves nothing; transpose the axes between two of them": rows.reshape(
                    C, H, W, K
                ).reshape(rows.shape),
                "columns before rows: the order is (C, H, W), not (C, W, H)": _rows(
                    rows, (H, W, C), (2, 1, 0)
                ),
                "rows and columns changed places; channels are still last": _rows(rows, (H, W, C), (1, 0, 2)),
                "channels in the middle: the order is (C, H, W)": _rows(rows, (H, W, C), (0, 2, 1)),
                "(1, 2, 0) is the way back: the first axis of the result is axis 2": _rows(
                    rows, (H, W, C), (1, 2, 0)
                ),
            },
        )


def _rows(rows: Array, shape: tuple[int, int, int], axes: tuple[int, int, int]) -> Array:
    """Rows that stand in the order of an image of `shape`, in that of its transposed axes."""
    moved: Array = rows.reshape(*shape, -1).transpose(*axes, 3).reshape(rows.shape)
    return moved


def _grade_quantize(quantize: Callable[..., Any]) -> None:
    rng = np.random.default_rng(123)
    for N, D, K in ((3, 7, 5), (4, 3, 6)):
        W = rng.normal(size=(D, K)) * np.geomspace(0.02, 3, K)
        W[:, 1] = -np.abs(W[:, 1])  # its largest number is not that of the largest size
        x = rng.normal(size=(N, D))
        _check_quantized(quantize, W, x)
    W[:, 2] = 0
    with np.errstate(divide="ignore", invalid="ignore"):
        _check_quantized(quantize, W, x, " (a column of zeros has the scale 1)")


def _check_quantized(quantize: Callable[..., Any], W: Array, x: Array, remark: str = "") -> None:
    (D, K), N = W.shape, len(x)
    given = W.copy(), x.copy()
    found = quantize(*given)
    check_unchanged(given, (W, x))
    if not isinstance(found, tuple) or len(found) != 3:
        raise Wrong(
            f"your function returned something else\n  expected: three arrays\n"
            f"  received: {type(found).__name__}\n  likely slip: end with `return q, scale, bound`"
        )
    largest = np.abs(W).max(axis=0)
    right = np.where(largest > 0, largest, 127) / 127
    scale = checked(found[1], (K,), what="scale", slips={(D,): "a scale for each row; outputs are columns"})
    agree(
        scale,
        right,
        f"scale{remark}",
        {
            "the largest number, where that of the largest size is asked for": W.max(axis=0) / 127,
            "one scale for the whole matrix": np.full(K, np.abs(W).max() / 127),
            "divided by 128; int8 ends at 127, so the largest weight would not fit": largest / 128,
            "divided by 255: there are 127 steps on each side of 0": np.ptp(W, axis=0) / 255,
            "inverted: W / scale is to lie within -127 … 127": 127 / np.maximum(largest, 1e-300),
        },
    )
    q = checked(found[0], (D, K), "int8", "q", {(K, D): "transposed"})
    agree(
        q.astype(float),
        np.rint(W / right),
        "q",
        {
            "astype cuts off towards 0; round first": np.trunc(W / right),
            "floor instead of rounding": np.floor(W / right),
            "ceil instead of rounding": np.ceil(W / right),
            "multiplied by the scale": np.rint(W * right),
        },
    )
    sizes = np.abs(x).sum(axis=1, keepdims=True)
    agree(
        checked(found[2], (N, K), what="bound", slips={(K,): "one row for each input of the batch"}),
        sizes * right / 2,
        "bound",
        {
            "a whole step; rounding is wrong by half a step at most": sizes * right,
            "signs are lost: errors may all have the worst sign, so sum the sizes |x|": x.sum(
                axis=1, keepdims=True
            )
            * right
            / 2,
            "true, but larger than need be: each error is multiplied by its own |x|": D
            * np.abs(x).max(axis=1, keepdims=True)
            * right
            / 2,
            "the mean of |x|, not the sum": sizes / D * right / 2,
            "the error that there is, not a bound on it": np.abs(x @ (np.rint(W / right) * right - W)),
        },
    )


def _grade_fold(fold: Callable[..., Any]) -> None:
    rng = np.random.default_rng(124)
    for shape in ((3, 5, 2, 4), (1, 2, 3, 5)):
        F = shape[-1]
        W, b = rng.normal(size=shape), rng.normal(size=F)
        gamma, beta, mean = rng.uniform(0.5, 2, F), rng.normal(size=F), rng.normal(size=F)
        variance = rng.uniform(1e-5, 2, F)
        found_W, found_b = answers(
            fold, W, b, gamma, beta, mean, variance, shapes={"W": shape, "b": (F,)}, slips={}
        )
        factor = gamma / np.sqrt(variance + EPSILON)
        factors = {
            "divided by the variance instead of its root": gamma / (variance + EPSILON),
            "epsilon is missing under the root": gamma / np.sqrt(variance),
            "epsilon is added outside the root": gamma / (np.sqrt(variance) + EPSILON),
            "gamma is missing": 1 / np.sqrt(variance + EPSILON),
            "multiplied by the root instead of divided": gamma * np.sqrt(variance + EPSILON),
        }
        agree(
            found_W,
            W * factor,
            "W",
            {"nothing has changed": W, **{name: W * each for name, each in factors.items()}},
        )
        agree(
            found_b,
            (b - mean) * factor + beta,
            "b",
            {
                "nothing has changed": b,
                "the mean is not multiplied by the factor": b * factor - mean + beta,
                "b is not multiplied by the factor": b - mean * factor + beta,
                "the mean is not subtracted": b * factor + beta,
                "the mean's sign": (b + mean) * factor + beta,
                "beta is missing": (b - mean) * factor,
                "the old b is missing": -mean * factor + beta,
                "beta is not multiplied by the factor": (b - mean + beta) * factor,
            },
        )


EXERCISES = (
    Exercise(
        "12.forward",
        "The probabilities that a net gives, from the arrays of its file.",
        _grade_forward,
    ),
    Exercise(
        "12.channels_first",
        "Put the rows of a dense layer in the order of an image with channels first.",
        _grade_channels_first,
    ),
    Exercise(
        "12.fold",
        "The weights and the bias of a convolution that does the work of the BatchNorm after it as well.",
        _grade_fold,
    ),
    Exercise(
        "12.quantize",
        "Weights in 8 bits with a scale for each output, and a bound on the error of the outputs.",
        _grade_quantize,
    ),
)
