"""mixup and cutmix: shares as Beta says, pixels and targets that match, and the same batches everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import beta as distribution
from scipy.stats import kstest

import tinynet as tn
from tinynet import backends
from tinynet.backends.base import Backend
from tinynet.data import mixing
from tinynet.data.augmentation import Augmentation
from tinynet.data.batches import Batches
from tinynet.errors import ConfigError, DTypeError, ShapeError
from tinynet.losses import Loss, balanced
from tinynet.rng import Key, Stream
from tinynet.training import Trainer
from tinynet.types import Array

KEY = Key(3, Stream.MIXING, layer=3, step=2)
BOTH = Augmentation(mixup=0.4, cutmix=1.0)
ALL = Augmentation(
    rotation=20, shift=0.1, elastic=1.0, contrast=0.2, erase=0.1, stroke=1, mixup=0.4, cutmix=1.0
)


@pytest.fixture
def ops(backend: str) -> Backend:
    return backends.get(backend)


def pixels(count: int, dtype: str = "uint8", seed: int = 0) -> Array:
    drawn = np.random.default_rng(seed).integers(0, 256, (count, 9, 6, 2), np.uint8)
    return drawn if dtype == "uint8" else (drawn / 255).astype(dtype)


def mixed(ops: Backend, x: Array, y: Array, drawn: mixing.Mixtures) -> Array:
    return ops.to_host(mixing.mix(ops.asarray(x), ops.asarray(y), drawn.on(ops), ops.xp)).copy()


# --- what is drawn ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.05, 0.2, 0.4, 1.0, 1.5, 2.0, 8.0, 100.0])
def test_quantiles_of_beta_are_scipys(alpha: float) -> None:
    u = (np.arange(10_000) + 0.5) / 10_000
    np.testing.assert_allclose(mixing.beta(alpha, u), distribution.ppf(u, alpha, alpha), atol=1e-4)


def test_alpha_0_mixes_nothing(ops: Backend) -> None:
    x, y = pixels(5), pixels(5, seed=1)
    drawn = mixing.draw(0.0, 0.0, KEY, 5, (9, 6))
    np.testing.assert_array_equal(mixed(ops, x, y, drawn), x)
    np.testing.assert_array_equal(drawn.share, 1)


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_shares_of_mixup_have_that_distribution(alpha: float) -> None:
    drawn = mixing.draw(alpha, 0.0, KEY, 4000, (9, 6))
    between = (np.arange(256) + 0.5) / 256  # shares are rounded to 256ths
    below = (drawn.share[:, None] < between).mean(axis=0)
    assert np.abs(below - distribution(alpha, alpha).cdf(between)).max() < 0.03
    np.testing.assert_array_equal(drawn.inside, drawn.outside)
    np.testing.assert_array_equal(drawn.share * 256, drawn.inside)


def test_rectangles_of_cutmix_have_the_area_that_was_drawn_and_lie_anywhere() -> None:
    """For α = 1 the area is spread evenly from nothing to all."""
    drawn = mixing.draw(0.0, 1.0, KEY, 4000, (60, 40))
    top, bottom, left, right = drawn.rectangle.T
    assert (top >= 0).all()
    assert (bottom <= 60).all()
    assert (left >= 0).all()
    assert (right <= 40).all()
    np.testing.assert_allclose(drawn.share, 1 - (bottom - top) * (right - left) / 2400)
    assert kstest(drawn.share, "uniform").statistic < 0.04
    large = (bottom - top) > 20
    assert np.abs((bottom - top)[large] / (right - left)[large] - 1.5).max() < 0.12  # sides as the image's
    room = (bottom - top) < 50
    assert np.abs((top / (60 - (bottom - top) + 1e-9))[room].mean() - 0.5) < 0.03
    assert (drawn.inside == 0).all()
    assert (drawn.outside == 256).all()


def test_with_both_each_image_has_one_of_them() -> None:
    drawn = mixing.draw(1.0, 1.0, KEY, 4000, (28, 28))
    is_cut = drawn.outside == 256
    assert abs(is_cut[drawn.inside != 256].mean() - 0.5) < 0.04
    assert (drawn.rectangle[drawn.inside == drawn.outside][:, [1, 3]] <= 28).all()
    np.testing.assert_array_equal(drawn.share[~is_cut] * 256, drawn.inside[~is_cut])


# --- pixels and targets -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_mixup_by_hand(ops: Backend, dtype: str) -> None:
    x, y = pixels(3, dtype), pixels(3, dtype, 1)
    weight = np.array([0, 64, 255])
    drawn = mixing.Mixtures(weight, weight, np.zeros((3, 4), np.int64), weight / 256)
    share = drawn.share[:, None, None, None]
    expected = share * x + (1 - share) * y
    found = mixed(ops, x, y, drawn)
    assert found.dtype == dtype
    if dtype == "uint8":
        np.testing.assert_array_equal(found, np.floor(expected + 0.5))
    else:
        np.testing.assert_allclose(found, expected, atol=1e-7)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_cutmix_by_hand(ops: Backend, dtype: str) -> None:
    x, y = pixels(2, dtype), pixels(2, dtype, 1)
    rectangle = np.array([[2, 5, 1, 6], [0, 0, 0, 0]])
    drawn = mixing.Mixtures(np.array([0, 0]), np.array([256, 256]), rectangle, np.array([1 - 15 / 54, 1]))
    expected = x.copy()
    expected[0, 2:5, 1:6] = y[0, 2:5, 1:6]
    np.testing.assert_array_equal(mixed(ops, x, y, drawn), expected)


def test_targets_have_the_shares_and_weights_count_each_for_its_own(ops: Backend) -> None:
    a, b, share = np.eye(3)[[0, 1, 2, 2]], np.eye(3)[[1, 1, 0, 0]], np.array([0.25, 0.5, 1.0, 0.0])
    v, w = np.array([2.0, 1.0, 3.0, 5.0]), np.array([1.0, 3.0, 0.0, 0.0])
    on = ops.asarray
    (plain,) = mixing.mix_targets(on(a), on(b), on(share), None, ops.xp)
    np.testing.assert_array_equal(ops.to_host(plain), [[0.25, 0.75, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]])
    targets, weights = mixing.mix_targets(on(a), on(b), on(share), (on(v), on(w)), ops.xp)
    np.testing.assert_array_equal(ops.to_host(weights), [0.25 * 2 + 0.75, 2.0, 3.0, 0.0])
    logits, loss = np.random.default_rng(0).normal(size=(4, 3)), tn.SoftmaxCrossEntropy(0.1)
    loss.ops = ops

    def each(known: Array) -> Array:
        """The loss of each row."""
        rows = (loss.forward(on(logits[n : n + 1]), on(known[n : n + 1]))[0] for n in range(4))
        return np.array([float(row) for row in rows])

    expected = share * v * each(a) + (1 - share) * w * each(b)
    found = float(loss.forward(on(logits), targets, weights)[0])
    assert found == pytest.approx(expected.mean(), rel=1e-12)


# --- batches ------------------------------------------------------------------------------------------------


def epoch_of(batches: Batches, *position: int) -> list[tuple[Array, ...]]:
    to_host = batches.backend.to_host
    return [tuple(to_host(array).copy() for array in batch) for batch in batches.epoch(9, *position)]


def one_colour(count: int = 40) -> tuple[Array, Array]:
    """Image number n has no pixel but 6 n, and class n."""
    numbers = np.arange(count)
    return np.broadcast_to(6 * numbers[:, None, None, None], (count, 8, 8, 1)).astype(np.uint8), numbers


@pytest.mark.parametrize("chosen", [Augmentation(mixup=1.0), Augmentation(cutmix=1.0)])
def test_pixels_say_what_the_targets_do(ops: Backend, chosen: Augmentation) -> None:
    """The mean grey level of a mixture of plain images is that of its target."""
    x, labels = one_colour()
    found = epoch_of(Batches(x, labels, 16, ops, chosen, classes=40), 0)
    assert [len(images) for images, _ in found] == [16, 16, 8]
    own: list[int] = []
    for images, targets in found:
        assert images.dtype == np.uint8
        assert targets.dtype == np.float64
        np.testing.assert_allclose(targets.sum(axis=1), 1, rtol=1e-12)
        assert ((targets > 0).sum(axis=1) <= 2).all()
        grey = targets @ (6 * np.arange(40))
        np.testing.assert_allclose(images.mean(axis=(1, 2, 3)), grey, atol=0.5001)
        own += targets.argmax(axis=1).tolist()
    assert len(set(own)) > 20


def test_partners_differ_from_epoch_to_epoch_and_come_from_all_batches(ops: Backend) -> None:
    x, labels = one_colour()
    batches = Batches(x, labels, 8, ops, Augmentation(mixup=100.0), classes=40)  # nearly halves
    pairs = [
        [
            frozenset(np.flatnonzero(row).tolist())
            for _, targets in epoch_of(batches, epoch)
            for row in targets
        ]
        for epoch in (0, 1)
    ]
    assert len(set(pairs[0]) & set(pairs[1])) < 8
    plain = Batches(x, labels, 8, ops)
    groups = [set(targets.tolist()) for _, targets in epoch_of(plain, 0)]
    inside = sum(pair <= groups[number // 8] for number, pair in enumerate(pairs[0]))
    assert 0 < inside < 20  # a fifth, by chance


def test_an_epoch_begun_in_its_middle_goes_on_as_it_would_have(ops: Backend) -> None:
    batches = Batches(pixels(40), np.arange(40) % 4, 16, ops, ALL, weights=np.linspace(0, 2, 40), classes=4)
    whole, rest = epoch_of(batches, 3), epoch_of(batches, 3, 1)
    assert len(rest) == 2
    for one, other in zip(whole[1:], rest, strict=True):
        for ours, theirs in zip(one, other, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert not np.array_equal(whole[1][0], epoch_of(batches, 4, 1)[0][0])


def test_batches_are_the_same_on_every_backend(ops: Backend) -> None:
    ours, reference = (
        Batches(pixels(40), np.arange(40) % 4, 16, each, ALL, classes=4)
        for each in (ops, backends.get("numpy"))
    )
    for one, other in zip(epoch_of(ours, 1), epoch_of(reference, 1), strict=True):
        for mine, theirs in zip(one, other, strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_without_mixing_targets_stay_class_numbers(ops: Backend) -> None:
    for chosen in (None, Augmentation(), Augmentation(shift=0.1)):
        (_, targets), *_ = epoch_of(Batches(pixels(10), np.arange(10), 5, ops, chosen), 0)
        assert targets.dtype == np.int64


# --- training -----------------------------------------------------------------------------------------------


def trainer(backend: str, **settings: Any) -> Trainer:
    model = tn.Sequential(
        [tn.Rescale(), tn.Flatten(), tn.Dense(8), tn.ReLU(), tn.Dense(4)], (9, 6, 2), backend=backend, seed=1
    )
    targets = settings.pop("targets", np.arange(40) % 4)
    chosen: dict[str, Any] = {"augmentation": BOTH, "epochs": 2, "batch_size": 16}
    return Trainer(model, (pixels(40), targets), **chosen | settings)


def test_training_learns_from_the_mixtures(backend: str) -> None:
    """One step of plain gradient descent, from what the batch holds."""
    run = trainer(backend, optimizer=tn.SGD(0.1, momentum=0.0), batch_size=40, epochs=1)
    ops, loss = run.model.backend, tn.SoftmaxCrossEntropy()
    (x, t) = next(run.train.epoch(run.model.seed, 0))
    twin = trainer(backend, augmentation=None, epochs=0).model
    loss.start(twin)
    y, tape = twin.forward(twin.as_input(x), train=True)
    mean, cache = loss.forward(y, t)
    value = float(mean)
    twin.backward(loss.backward(cache), tape)
    expected = ops.to_host(twin.store.values.flat) - 0.1 * ops.to_host(twin.store.grads.flat)
    history = run.run()
    np.testing.assert_allclose(ops.to_host(run.model.store.values.flat), expected, rtol=1e-5, atol=1e-7)
    assert history[0]["loss"] == pytest.approx(value, rel=1e-6)


def test_accuracy_counts_the_class_with_the_larger_share(backend: str) -> None:
    run = trainer(backend, optimizer=tn.SGD(0.0), batch_size=40, epochs=1)
    to_host = run.model.backend.to_host
    x, t = map(to_host, next(run.train.epoch(run.model.seed, 0)))
    right = run.model.predict(x).argmax(axis=1) == t.argmax(axis=1)
    assert run.run()[0]["accuracy"] == right.mean()


def test_validation_is_not_mixed(backend: str) -> None:
    held_out = pixels(12, seed=5), np.arange(12) % 4
    run = trainer(backend, validation=held_out)
    record = run.run()[-1]
    found = run.model.evaluate(*held_out)
    assert record["val_loss"] == pytest.approx(found["loss"])
    assert record["val_accuracy"] == found["accuracy"]


def test_class_weights_and_smoothing_go_with_mixing(backend: str) -> None:
    labels = np.array([0] * 25 + [1] * 5 + [2] * 5 + [3] * 5)
    weights = balanced(labels, 4)[labels]
    runs = [
        trainer(backend, targets=labels, sample_weight=each, loss=tn.SoftmaxCrossEntropy(0.1))
        for each in (weights, np.ones(40), None)
    ]
    losses = [run.run()[-1]["loss"] for run in runs]
    assert losses[1] == pytest.approx(losses[2], rel=1e-6)
    assert losses[0] != pytest.approx(losses[2], rel=1e-3)


def test_soft_targets_are_mixed_as_classes_are(backend: str) -> None:
    labels = np.arange(40) % 4
    runs = [trainer(backend, targets=each) for each in (labels, np.eye(4)[labels])]
    one, other = (run.run() for run in runs)
    assert one[-1]["loss"] == other[-1]["loss"]
    assert one[-1]["accuracy"] == other[-1]["accuracy"]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("outputs", [1, 4])
def test_answers_to_questions_are_mixed(outputs: int, weighted: bool, backend: str) -> None:
    """Yes and no as one number a sample are rows of it; the first step learns from what the batch holds."""
    targets = np.arange(160).reshape(40, 4)[:, :outputs] % 3 == 0
    given = [targets, *([targets[:, 0], targets[:, 0].astype(np.float32)] if outputs == 1 else [])]
    v = np.linspace(0, 2, 40) if weighted else None
    records = []
    for each in given:
        net = [tn.Rescale(), tn.Flatten(), tn.Dense(outputs)]
        model = tn.Sequential(net, (9, 6, 2), backend=backend, seed=1)
        settings: dict[str, Any] = {"loss": tn.BinaryCrossEntropy(), "batch_size": 40, "sample_weight": v}
        run = Trainer(model, (pixels(40), each), augmentation=BOTH, epochs=2, **settings)
        x, t, *w = map(model.backend.to_host, next(run.train.epoch(model.seed, 0)))
        assert t.shape == (40, outputs)
        assert ((t > 0) & (t < 1)).any()
        z, weights = model.predict(x).astype(float), w[0][:, None] if w else 1
        expected = (weights * (np.logaddexp(0, z) - t * z)).mean()
        records.append(run.run())
        assert records[-1][0]["loss"] == pytest.approx(expected, rel=1e-5)
        assert 0 <= records[-1][0]["accuracy"] <= 1
    assert all(each[-1]["loss"] == records[0][-1]["loss"] for each in records)


@pytest.mark.parametrize(
    ("loss", "targets"),
    [
        (tn.MeanSquaredError(), np.zeros((40, 4))),
        (tn.CrossEntropy(), np.arange(40) % 4),
    ],
)
def test_a_loss_that_takes_no_mixtures_is_refused(loss: Loss, targets: Array) -> None:
    with pytest.raises(ConfigError, match=rf"BinaryCrossEntropy\n  received: {type(loss).__name__}\n  fix: "):
        trainer("numpy", loss=loss, targets=targets)


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
@pytest.mark.parametrize("alpha", [-0.1, 101, float("nan"), "much"])
def test_an_alpha_out_of_range_is_refused(name: str, alpha: Any) -> None:
    with pytest.raises(
        ConfigError, match=rf"this value for {name}\n  expected: a finite number in \[0, 100\]"
    ):
        Augmentation(**{name: alpha})


def test_only_images_are_mixed(ops: Backend) -> None:
    with pytest.raises(ShapeError, match="distorts images"):
        Batches(np.zeros((4, 7), np.float32), np.arange(4), 2, ops, BOTH, classes=4)
    with pytest.raises(DTypeError, match="cannot be augmented"):
        Batches(np.zeros((4, 2, 2, 1), np.int16), np.arange(4), 2, ops, BOTH, classes=4)
