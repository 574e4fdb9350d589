"""The losses against scikit-learn, SciPy and values worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.metrics import log_loss, mean_squared_error

from tinynet import backends
from tinynet.errors import ConfigError, DataError, DTypeError, ShapeError
from tinynet.losses import (
    LOSSES,
    CrossEntropy,
    Loss,
    MeanSquaredError,
    SoftmaxCrossEntropy,
    check_label_range,
)
from tinynet.rng import Key, normal, uniform
from tinynet.types import Array

LOGITS = 3.0 * normal(Key(1, 0), (6, 4))
SCORES = 0.1 + uniform(Key(2, 0), (6, 4))
LABELS = np.array([0, 1, 2, 3, 3, 0])


def _on(loss: Loss, backend: str) -> Loss:
    loss.ops = backends.get(backend)
    return loss


def _evaluate(loss: Loss, outputs: Any, targets: Any) -> tuple[float, Array]:
    """(the loss, its gradient on the host)"""
    value, cache = loss.forward(loss.ops.asarray(np.asarray(outputs)), loss.ops.asarray(np.asarray(targets)))
    assert value.shape == ()
    assert value.dtype == np.float64
    return float(value), np.array(loss.ops.to_host(loss.backward(cache)))


def test_softmax_cross_entropy_by_hand(backend: str) -> None:
    # probabilities 1/8, 2/8, 5/8; the label is the second
    value, gradient = _evaluate(_on(SoftmaxCrossEntropy(), backend), np.log([[1.0, 2.0, 5.0]]), [1])
    assert value == pytest.approx(math.log(4))
    np.testing.assert_allclose(gradient, [[1 / 8, 2 / 8 - 1, 5 / 8]])


def test_softmax_cross_entropy_is_the_log_loss_of_scikit_learn(backend: str) -> None:
    value, gradient = _evaluate(_on(SoftmaxCrossEntropy(), backend), LOGITS, LABELS)
    p = np.exp(log_softmax(LOGITS, axis=1))
    assert value == pytest.approx(log_loss(LABELS, p, labels=range(4)), rel=1e-12)
    np.testing.assert_allclose(gradient, (p - np.eye(4)[LABELS]) / 6, atol=1e-15)


def test_smoothing_spreads_its_share_over_all_classes(backend: str) -> None:
    value, gradient = _evaluate(_on(SoftmaxCrossEntropy(0.2), backend), np.log([[1.0, 2.0, 5.0]]), [1])
    q = [0.2 / 3, 0.8 + 0.2 / 3, 0.2 / 3]
    assert value == pytest.approx(q[0] * math.log(8) + q[1] * math.log(4) + q[2] * math.log(8 / 5))
    np.testing.assert_allclose(gradient, [[1 / 8 - q[0], 2 / 8 - q[1], 5 / 8 - q[2]]])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_softmax_cross_entropy_is_exact_where_probabilities_round_to_0(dtype: str, backend: str) -> None:
    logits = np.array([[1000, 0, -1000], [0, 1000, 0]], dtype)
    value, gradient = _evaluate(_on(SoftmaxCrossEntropy(), backend), logits, [2, 1])
    assert value == 1000  # (2000 + 0) / 2
    assert gradient.dtype == dtype
    np.testing.assert_array_equal(gradient, [[0.5, 0, -0.5], [0, 0, 0]])


def test_equal_logits_cost_the_logarithm_of_the_classes(backend: str) -> None:
    value, _ = _evaluate(_on(SoftmaxCrossEntropy(), backend), np.zeros((5, 10), np.float32), np.arange(5))
    assert value == pytest.approx(math.log(10), rel=1e-6)


def test_cross_entropy_divides_scores_by_their_sum(backend: str) -> None:
    value, gradient = _evaluate(_on(CrossEntropy(), backend), [[0.1, 0.2, 0.5], [0.4, 0.4, 0.8]], [1, 0])
    assert value == pytest.approx(math.log(4))  # shares 2/8 and 1/4
    expected = [[1 / 0.8, 1 / 0.8 - 1 / 0.2, 1 / 0.8], [1 / 1.6 - 1 / 0.4, 1 / 1.6, 1 / 1.6]]
    np.testing.assert_allclose(gradient, np.array(expected) / 2)


def test_cross_entropy_is_the_log_loss_of_scikit_learn(backend: str) -> None:
    value, _ = _evaluate(_on(CrossEntropy(), backend), SCORES, LABELS)
    shares = SCORES / SCORES.sum(axis=1, keepdims=True)
    assert value == pytest.approx(log_loss(LABELS, shares, labels=range(4)), rel=1e-12)


def test_cross_entropy_never_sees_the_logarithm_of_0(backend: str) -> None:
    value, gradient = _evaluate(_on(CrossEntropy(), backend), [[0.0, 1.0]], [0])
    assert value == pytest.approx(math.log((1 + 1e-7) / 1e-7))
    assert gradient[0, 0] == 0  # raised to the floor: moving it changes nothing
    assert gradient[0, 1] == pytest.approx(1 / (1 + 1e-7))


def test_cross_entropy_keeps_the_order_of_small_scores(backend: str) -> None:
    loss = _on(CrossEntropy(), backend)
    scores = np.array([[2e-9, 1e-9, 1e-9], [0, 0, 0], [0, 1e-30, 0]], np.float32)
    found = loss.ops.to_host(loss.probabilities(loss.ops.asarray(scores)))
    np.testing.assert_allclose(
        found, np.array([[0.5, 0.25, 0.25], [1 / 3, 1 / 3, 1 / 3], [0, 1, 0]]), rtol=1e-6, atol=2e-8
    )


def test_mean_squared_error_is_scikit_learns(backend: str) -> None:
    y, t = normal(Key(3, 0), (5, 3)), normal(Key(4, 0), (5, 3))
    value, gradient = _evaluate(_on(MeanSquaredError(), backend), y, t)
    assert value == pytest.approx(mean_squared_error(t, y), rel=1e-12)
    np.testing.assert_allclose(gradient, 2 * (y - t) / 15)


def test_mean_squared_error_casts_its_targets(backend: str) -> None:
    value, gradient = _evaluate(
        _on(MeanSquaredError(), backend), np.array([[1.0, 2.0]], np.float32), [[3, 2]]
    )
    assert value == 2
    assert gradient.dtype == np.float32
    np.testing.assert_array_equal(gradient, [[-2, 0]])


@pytest.mark.parametrize("name", LOSSES)
def test_the_loss_is_a_mean_so_repeating_a_batch_keeps_it(name: str, backend: str) -> None:
    targets: Array = LABELS if name in ("SoftmaxCrossEntropy", "CrossEntropy") else SCORES[::-1] / 2
    loss = _on(LOSSES[name](), backend)
    once, gradient = _evaluate(loss, SCORES, targets)
    twice, halved = _evaluate(loss, np.tile(SCORES, (2, 1)), np.concatenate([targets, targets]))
    assert twice == pytest.approx(once, rel=1e-13)
    np.testing.assert_allclose(halved[:6], gradient / 2)


@pytest.mark.parametrize("name", ["SoftmaxCrossEntropy", "CrossEntropy"])
@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.int64])
def test_labels_of_any_integer_dtype_count_the_same(name: str, kind: type, backend: str) -> None:
    loss = _on(LOSSES[name](), backend)
    assert _evaluate(loss, SCORES, LABELS.astype(kind))[0] == _evaluate(loss, SCORES, LABELS)[0]


def test_a_nan_among_the_outputs_reaches_the_loss(backend: str) -> None:
    outputs = SCORES.copy()
    outputs[2, 1] = math.nan
    for name, targets in (
        ("SoftmaxCrossEntropy", LABELS),
        ("CrossEntropy", LABELS),
        ("MeanSquaredError", SCORES),
        ("BinaryCrossEntropy", SCORES / 2),
    ):
        assert math.isnan(_evaluate(_on(LOSSES[name](), backend), outputs, targets)[0]), name


def test_probabilities(backend: str) -> None:
    softmax, shares = _on(SoftmaxCrossEntropy(), backend), _on(CrossEntropy(), backend)
    x = softmax.ops.asarray(np.array([[1.0, 2.0, 5.0]]))
    for p in (softmax.probabilities(softmax.ops.xp.log(x)), shares.probabilities(x)):
        np.testing.assert_allclose(softmax.ops.to_host(p), [[1 / 8, 2 / 8, 5 / 8]])
    none = shares.probabilities(shares.ops.asarray(np.zeros((1, 4))))
    np.testing.assert_allclose(shares.ops.to_host(none), 1 / 4)
    with pytest.raises(ConfigError, match="MeanSquaredError has no class probabilities"):
        MeanSquaredError().probabilities(x)


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, math.nan])
def test_smoothing_out_of_range_is_refused(smoothing: float) -> None:
    with pytest.raises(ConfigError, match=r"this value for smoothing\n  expected: .* in \[0, 1\)"):
        SoftmaxCrossEntropy(smoothing)


@pytest.mark.parametrize("loss", [SoftmaxCrossEntropy(), CrossEntropy()], ids=["softmax", "scores"])
@pytest.mark.parametrize(
    ("outputs", "labels"),
    [((6, 4), (5,)), ((6, 4), (6, 4)), ((6, 4), ()), ((6,), (6,)), ((6, 2, 4), (6,))],
)
def test_outputs_and_labels_must_go_together(
    loss: Loss, outputs: tuple[int, ...], labels: tuple[int, ...]
) -> None:
    with pytest.raises(ShapeError, match=r"do not go together\n  expected: outputs \(N, K\)") as caught:
        _on(loss, "numpy").forward(np.ones(outputs), np.zeros(labels, np.int64))
    assert f"received: outputs {outputs} and labels {labels}" in str(caught.value)
    assert "fix: end the model in Flatten(), Dense(K)" in str(caught.value)


def test_labels_must_be_integers_and_targets_of_the_shape_of_the_outputs() -> None:
    with pytest.raises(DTypeError, match=r"class numbers\n  expected: an integer dtype\n  received: float64"):
        _on(SoftmaxCrossEntropy(), "numpy").forward(LOGITS, LABELS.astype(float))
    with pytest.raises(ShapeError, match=r"one shape\n  expected: targets \(6, 4\).*\n  received: \(6,\)"):
        _on(MeanSquaredError(), "numpy").forward(LOGITS, LABELS)


@pytest.mark.parametrize(
    ("labels", "says"),
    [([0, 3, 4, 9], "4 at row 2 (such rows: 2 of 4)"), ([-1, 0], "-1 at row 0 (such rows: 1 of 2)")],
)
def test_a_label_out_of_range_is_found(labels: list[int], says: str) -> None:
    check_label_range(np.arange(4), 4)
    with pytest.raises(DataError) as caught:
        check_label_range(np.array(labels), 4)
    assert "expected: 0 … 3: the model has 4 outputs" in str(caught.value)
    assert f"received: {says}" in str(caught.value)


def test_images_given_for_labels_are_refused() -> None:
    with pytest.raises(
        ShapeError, match=r"one number a sample\n  expected: \(N,\)\n  received: \(2, 28, 28\)"
    ):
        check_label_range(np.full((2, 28, 28), 255, np.uint8), 10)


# --- soft targets -------------------------------------------------------------------------------------------

SOFT = np.array(
    [[1, 0, 0, 0], [0.25, 0.75, 0, 0], [0, 0, 0.5, 0.5], [0.1, 0.2, 0.3, 0.4], [0, 0, 0, 1], [0.25] * 4]
)


def test_soft_targets_by_hand(backend: str) -> None:
    value, gradient = _evaluate(
        _on(SoftmaxCrossEntropy(), backend), np.log([[1.0, 2.0, 5.0]]), [[0.3, 0.7, 0]]
    )
    assert value == pytest.approx(0.3 * math.log(8) + 0.7 * math.log(4))
    np.testing.assert_allclose(gradient, [[1 / 8 - 0.3, 2 / 8 - 0.7, 5 / 8]])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, np.array([0.5, 2, 0, 1, 1, 3])])
def test_targets_of_zeros_and_ones_are_labels(backend: str, smoothing: float, weights: Array | None) -> None:
    loss = _on(SoftmaxCrossEntropy(smoothing), backend)
    known = None if weights is None else loss.ops.asarray(weights)
    logits, labels, soft = map(loss.ops.asarray, (LOGITS, LABELS, np.eye(4)[LABELS]))
    for ours, theirs in zip(
        loss.forward(logits, soft, known), loss.forward(logits, labels, known), strict=True
    ):
        np.testing.assert_allclose(loss.ops.to_host(ours), loss.ops.to_host(theirs), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_is_linear_in_the_targets(backend: str, smoothing: float) -> None:
    """λ L(a) + (1 - λ) L(b): what the papers of mixup and cutmix write. Smoothing composes."""
    loss, others = _on(SoftmaxCrossEntropy(smoothing), backend), LABELS[::-1]
    mixed = 0.7 * np.eye(4)[LABELS] + 0.3 * np.eye(4)[others]
    (one, d_one), (other, d_other) = (_evaluate(loss, LOGITS, labels) for labels in (LABELS, others))
    value, gradient = _evaluate(loss, LOGITS, mixed)
    assert value == pytest.approx(0.7 * one + 0.3 * other, rel=1e-12)
    np.testing.assert_allclose(gradient, 0.7 * d_one + 0.3 * d_other, atol=1e-15)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_soft_targets_of_0_do_not_see_the_logarithm_of_0(dtype: str, backend: str) -> None:
    logits = np.array([[1000, 0, -math.inf], [0, 0, -1000]], dtype)
    value, gradient = _evaluate(_on(SoftmaxCrossEntropy(), backend), logits, [[0.5, 0.5, 0], [0.5, 0.5, 0]])
    assert value == pytest.approx((500 + math.log(2)) / 2, rel=1e-6)
    assert gradient.dtype == dtype
    np.testing.assert_allclose(gradient, np.array([[0.25, -0.25, 0], [0, 0, 0]]))


def test_a_nan_reaches_the_loss_of_soft_targets(backend: str) -> None:
    outputs = LOGITS.copy()
    outputs[2, 0] = math.nan  # whose target is 0
    assert math.isnan(_evaluate(_on(SoftmaxCrossEntropy(), backend), outputs, SOFT)[0])


@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
def test_soft_targets_of_any_floating_dtype(kind: str, backend: str) -> None:
    loss = _on(SoftmaxCrossEntropy(), backend)
    loss.check_values(SOFT.astype(kind), (4,))
    assert _evaluate(loss, LOGITS, SOFT.astype(kind))[0] == pytest.approx(
        _evaluate(loss, LOGITS, SOFT)[0], rel=1e-3 if kind == "float16" else 1e-6
    )


def test_accuracy_goes_by_the_largest_target(backend: str) -> None:
    loss = _on(SoftmaxCrossEntropy(), backend)
    measure = loss.measure(SOFT, (4,))
    outputs = np.eye(4)[[0, 1, 2, 2, 0, 0]]  # right: 0, 1, the first of two equals, and the first of four
    assert int(measure.sums(loss.ops, loss.ops.asarray(outputs), loss.ops.asarray(SOFT))) == 4


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ([0.5, 0.6, 0, 0], r"received: \[0.5 0.6 0.  0. \] at row 3 \(such rows: 1 of 6\)"),
        ([1.5, -0.5, 0, 0], "numbers from 0 that add up to 1"),
        ([math.nan, 1, 0, 0], "at row 3"),
        ([0, 0, 0, 0], "divide each row by its sum"),
    ],
)
def test_targets_that_are_no_distributions_are_refused(row: list[float], said: str) -> None:
    targets = SOFT.copy()
    SoftmaxCrossEntropy().check_values(targets, (4,))
    targets[3] = row
    with pytest.raises(DataError, match=said):
        SoftmaxCrossEntropy().check_values(targets, (4,))


def test_soft_targets_are_for_softmax_alone_and_for_as_many_outputs() -> None:
    with pytest.raises(ShapeError, match="do not go together"):
        _on(SoftmaxCrossEntropy(), "numpy").forward(LOGITS, SOFT[:, :3])
    with pytest.raises(ShapeError, match="do not go together"):
        _on(CrossEntropy(), "numpy").forward(SCORES, SOFT)
