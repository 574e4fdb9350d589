"""Augmentation: each distortion does what its name says, on every backend alike, to training images alone."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import maximum_filter, minimum_filter

import tinynet as tn
from tinynet import backends, threads
from tinynet.backends.base import Backend
from tinynet.backends.numba_ import NumbaBackend
from tinynet.backends.numpy_ import NumpyBackend
from tinynet.data import overlap
from tinynet.data.augmentation import (
    LIMITS,
    Augmentation,
    gaussian,
    spread,
)
from tinynet.data.batches import Batches
from tinynet.distortions import PIXEL, affine
from tinynet.errors import ConfigError, DTypeError, ShapeError
from tinynet.rng import Key, Stream, uniform
from tinynet.training import Trainer
from tinynet.types import Array

DTYPES = ("uint8", "float32", "float64")
KEY = Key(5, Stream.AUGMENTATION, layer=1, step=7)
STRONG = Augmentation(
    rotation=20,
    shift=0.1,
    scale=0.2,
    shear=10,
    elastic=1.5,
    smoothness=3,
    contrast=0.3,
    erase=0.2,
    stroke=1.5,
)


@pytest.fixture
def ops(backend: str) -> Backend:
    return backends.get(backend)


def images(dtype: str, count: int = 3, height: int = 9, width: int = 9, channels: int = 2) -> Array:
    pixels = np.random.default_rng(0).integers(0, 256, (count, height, width, channels), np.uint8)
    return pixels if dtype == "uint8" else (pixels / 255).astype(dtype)


def distorted(ops: Backend, x: Array, *, bend: Array | None = None, **asked: Any) -> Array:
    """x warped by these settings of `affine`, this contrast (256ths) and rectangle; nothing else is done."""
    count, size = len(x), x.shape[1:3]
    still = {"rotation": 0.0, "down": 0.0, "right": 0.0, "scale": 1.0, "shear": 0.0}
    set_here = {name: np.full(count, float(asked.get(name, value))) for name, value in still.items()}
    contrast = np.full(count, asked.get("contrast", 256))
    erased = np.tile(asked.get("erased", (0, 0, 0, 0)), (count, 1))
    x, places, contrast, erased = map(ops.asarray, (x, affine(size, **set_here), contrast, erased))
    bend = None if bend is None else ops.asarray(bend)
    return ops.to_host(ops.warp(x, places, contrast, erased, bend)).copy()


def moved(x: Array, down: int, right: int) -> Array:
    """np.roll of images, with zeros for what comes in again on the other side."""
    y = np.roll(x, (down, right), axis=(1, 2))
    y[:, : max(down, 0)] = 0
    y[:, :, : max(right, 0)] = 0
    if down < 0:
        y[:, down:] = 0
    if right < 0:
        y[:, :, right:] = 0
    return y


# --- each distortion ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_without_limits_nothing_changes(ops: Backend, dtype: str) -> None:
    still, x = Augmentation(), images(dtype, count=50, height=8, width=11)
    y = still.apply(ops.asarray(x), still.draw(KEY, 50, (8, 11), ops), KEY, ops)
    assert y.dtype == dtype
    assert ops.to_host(y).tobytes() == x.tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("down", "right"), [(2, 3), (-1, 4), (0, -5), (-8, 0), (9, 0), (30, -500)])
def test_a_shift_by_whole_pixels_is_a_roll(ops: Backend, dtype: str, down: int, right: int) -> None:
    x = images(dtype, width=7)
    expected = moved(x, down, right) if abs(down) < 9 and abs(right) < 7 else np.zeros_like(x)
    np.testing.assert_array_equal(distorted(ops, x, down=down, right=right), expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_constant_displacement_moves_the_place_looked_at(ops: Backend, dtype: str) -> None:
    x = images(dtype)
    bend = np.empty((len(x), 2, 9, 9), np.int32)
    bend[:, 0], bend[:, 1] = 2 * PIXEL, -PIXEL
    np.testing.assert_array_equal(distorted(ops, x, bend=bend), moved(x, -2, 1))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("quarters", [-2, -1, 1, 2, 3])
def test_quarter_turns_are_rot90(ops: Backend, dtype: str, quarters: int) -> None:
    for size in (9, 10):
        x = images(dtype, height=size, width=size)
        expected = np.rot90(x, quarters, axes=(1, 2))
        np.testing.assert_array_equal(distorted(ops, x, rotation=quarters * np.pi / 2), expected)


def test_rows_slide_sideways_when_sheared(ops: Backend) -> None:
    x = images("uint8")  # by 45°, each by as much as it lies above the centre
    expected = np.concatenate([moved(x[:, i : i + 1], 0, 4 - i) for i in range(9)], axis=1)
    np.testing.assert_array_equal(distorted(ops, x, shear=np.pi / 4), expected)


def test_twice_as_large(ops: Backend) -> None:
    x = images("float32")
    y = distorted(ops, x, scale=2)
    np.testing.assert_array_equal(y[:, ::2, ::2], x[:, 2:7, 2:7])
    np.testing.assert_allclose(y[:, 1:-1:2, ::2], (x[:, 2:6, 2:7] + x[:, 3:7, 2:7]) / 2, rtol=1e-6)
    small = distorted(ops, x, scale=0.5)
    np.testing.assert_array_equal(small[:, 2:7, 2:7], x[:, ::2, ::2])
    assert not small[:, [0, 1, 7, 8]].any()


@pytest.mark.parametrize(
    ("down", "right", "weights"), [(0.5, 0, (2, 0, 2, 0)), (0, 0.25, (3, 1, 0, 0)), (0.5, 0.5, (1, 1, 1, 1))]
)
def test_between_pixels_their_mean_weighted_by_nearness(
    ops: Backend, down: float, right: float, weights: tuple[int, ...]
) -> None:
    x = images("uint8")
    corners = (x, moved(x, 0, 1), moved(x, 1, 0), moved(x, 1, 1))
    mean = sum(w * corner.astype(float) for w, corner in zip(weights, corners, strict=True)) / 4
    np.testing.assert_array_equal(distorted(ops, x, down=down, right=right), np.floor(mean + 0.5))


@pytest.mark.parametrize("contrast", [0, 100, 256, 300, 512])
def test_contrast_scales_differences_from_the_mean(ops: Backend, contrast: int) -> None:
    x = images("float64")
    mean = x.mean(axis=(1, 2, 3), keepdims=True)
    expected = mean + contrast / 256 * (x - mean)
    np.testing.assert_allclose(distorted(ops, x, contrast=contrast), expected, atol=1e-14)
    y = distorted(ops, images("uint8"), contrast=contrast)
    np.testing.assert_allclose(y, np.clip(255 * expected, 0, 255), atol=0.51)
    assert (y.min() == 0) == (contrast >= 256)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_rectangle_is_blank_and_nothing_else(ops: Backend, dtype: str) -> None:
    x = images(dtype)
    y = distorted(ops, x, erased=(2, 5, 1, 8))
    assert not y[:, 2:5, 1:8].any()
    x[:, 2:5, 1:8] = 0
    np.testing.assert_array_equal(y, x)


# --- strokes that grow -------------------------------------------------------------------------------------


def grown(ops: Backend, x: Array, *pixels: float, passes: int = 2) -> Array:
    growth = np.array([round(256 * each) for each in pixels])
    return ops.to_host(ops.grow(ops.asarray(x), ops.asarray(growth), passes)).copy()


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_whole_pixel_is_the_largest_or_the_smallest_of_nine(ops: Backend, dtype: str) -> None:
    x, size = images(dtype, count=5), (3, 3, 1)
    found = grown(ops, x, 1, -1, 0, 2, -2)
    wide, narrow = maximum_filter, minimum_filter
    expected = [wide(x[0], size), narrow(x[1], size), x[2], wide(wide(x[3], size), size)]
    np.testing.assert_allclose(found[:4], expected, rtol=1e-6)
    np.testing.assert_allclose(found[4], narrow(narrow(x[4], size), size), rtol=1e-6)


def test_a_part_of_a_pixel_is_that_part_of_the_way(ops: Backend) -> None:
    dot = np.zeros((4, 5, 5, 1), np.uint8)
    dot[:, 2, 2] = 201
    half, shrunk, more, faint = grown(ops, dot, 0.5, -0.5, 1.25, 1 / 256)[..., 0]
    assert half[2].tolist() == [0, 101, 201, 101, 0]  # 100.5, rounded up
    assert shrunk[2].tolist() == [0, 0, 100, 0, 0]  # as far as that towards 0
    assert more[2].tolist() == [50, 201, 201, 201, 50]  # a pixel, then a fourth of the next
    assert faint[2].tolist() == [0, 1, 201, 1, 0]
    floats = grown(ops, dot / np.float32(255), 0.5, -0.5, 1.25, 1 / 256)
    np.testing.assert_allclose(255 * floats[..., 0], [half, shrunk, more, faint], atol=0.51)


# --- the smooth field ---------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(sigma=st.floats(*LIMITS["smoothness"]))
def test_the_gaussian_keeps_sums_exact_and_its_shape(sigma: float) -> None:
    taps = gaussian(sigma)
    both = np.concatenate([taps[:0:-1], taps])
    assert taps.dtype == np.float32
    assert (taps == np.rint(taps)).all()
    assert 255 * float(both.sum()) ** 2 < 2**24
    distance = np.arange(len(both)) - len(taps) + 1
    variance = (distance**2 * both).sum() / both.sum()
    if sigma > 1:
        assert 0.75 * sigma < np.sqrt(variance) < 1.05 * sigma


@pytest.mark.parametrize(("elastic", "sigma"), [(0.7, 1.0), (1.4, 4.0), (3.0, 6.0)])
def test_the_displacement_is_as_strong_and_as_smooth_as_asked(
    ops: Backend, elastic: float, sigma: float
) -> None:
    taps = gaussian(sigma)
    gain = elastic * PIXEL / spread(taps)
    field = ops.to_host(ops.displacement(KEY, (400, 64, 56), ops.asarray(taps), gain)) / PIXEL
    inner = field[:, :, len(taps) : -len(taps), len(taps) : -len(taps)]
    assert np.sqrt((inner**2).mean()) == pytest.approx(elastic, rel=0.03)
    assert abs(inner.mean()) < 0.05 * elastic
    apart = round(sigma)  # the Gaussian's autocorrelation at a distance d is exp(-d² / 4σ²)
    for one, other in (
        (inner[:, :, apart:], inner[:, :, :-apart]),
        (inner[..., apart:], inner[..., :-apart]),
    ):
        correlation = (one * other).mean() / (inner**2).mean()
        assert correlation == pytest.approx(np.exp(-(apart**2) / (4 * sigma**2)), abs=0.06)
    down, right = field[:, 0].ravel(), field[:, 1].ravel()
    assert abs(np.corrcoef(down, right)[0, 1]) < 0.05


def test_simards_setting_is_the_one_the_docstring_names() -> None:
    u = uniform(KEY, (200, 61, 61)) * 2 - 1
    offsets = np.arange(61)[:, None] - np.arange(61)
    weights = np.exp(-0.5 * (offsets / 4) ** 2) / (4 * np.sqrt(2 * np.pi))
    middle = 34 * (weights @ u @ weights)[:, 30, 30]
    assert middle.std() == pytest.approx(1.4, rel=0.15)


# --- the same everywhere ------------------------------------------------------------------------------------


augmentations = st.builds(Augmentation, **{name: st.floats(*limits) for name, limits in LIMITS.items()})


@settings(deadline=None, max_examples=40)
@given(
    chosen=augmentations,
    shape=st.tuples(*(st.integers(1, most) for most in (5, 20, 20, 3))),
    seed=st.integers(0, 2**64 - 1),
)
def test_backends_and_threads_agree_to_the_bit(chosen: Augmentation, shape: Any, seed: int) -> None:
    x = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    key = Key(seed, Stream.AUGMENTATION)
    drawn = chosen.draw(key, len(x), shape[1:3], NumpyBackend())
    expected = chosen.apply(x, drawn, key, NumpyBackend())
    for count in (1, 2):
        with threads.limit(count):
            np.testing.assert_array_equal(chosen.apply(x, drawn, key, NumbaBackend()), expected)
    floats = [chosen.apply(x / np.float32(255), drawn, key, o) for o in (NumpyBackend(), NumbaBackend())]
    np.testing.assert_allclose(floats[0], floats[1], atol=2e-6)


# --- only what is trained on --------------------------------------------------------------------------------


def samples(count: int = 50) -> tuple[Array, Array]:
    x = images("uint8", count, 10, 12, 1)
    return x, (x[:, :5].mean(axis=(1, 2, 3)) > 127).astype(np.int64)


def trainer(backend: str, augmentation: Augmentation | None, *, dense: bool = False) -> Trainer:
    before = [tn.Flatten()] if dense else [tn.Conv2D(4), tn.ReLU(), tn.Flatten(), tn.Dropout(0.2)]
    model = tn.Sequential([tn.Rescale(), *before, tn.Dense(2)], (10, 12, 1), backend=backend, seed=3)
    return Trainer(
        model,
        samples(),
        validation=samples(20),
        epochs=2,
        batch_size=16,
        augmentation=augmentation,
    )


def weights(run: Trainer) -> Array:
    return run.model.backend.to_host(run.model.store.values.flat).copy()


@pytest.mark.parametrize("dense", [False, True])
def test_the_distorted_pixels_reach_the_optimiser(
    backend: str, dense: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In every step, also in those that a dense net repeats from its recording of the first.

    A reference system built its augmented images and then trained on the others.
    """
    augmented, plain, handed_in = (trainer(backend, each, dense=dense) for each in (STRONG, None, None))
    ops = augmented.model.backend
    copies = [
        [(ops.to_host(x).copy(), ops.to_host(y).copy()) for x, y in augmented.train.epoch(3, epoch)]
        for epoch in range(2)
    ]
    assert not any(overlap(x, samples()[0]).any() for epoch in copies for x, _ in epoch)

    def ready(number: int) -> tuple[Array, Array]:
        x, y = copies[handed_in.state.epoch][number]
        return ops.asarray(x), ops.asarray(y)

    monkeypatch.setattr(handed_in.train, "batch", ready)
    for run in (augmented, plain, handed_in):
        run.run()
    assert weights(handed_in).tobytes() == weights(augmented).tobytes()
    assert np.abs(weights(plain) - weights(augmented)).max() > 1e-4


def test_what_is_held_out_is_left_alone(backend: str) -> None:
    augmented, plain = trainer(backend, STRONG), trainer(backend, None)
    augmented.run()
    plain.model.store.values.flat[...] = augmented.model.store.values.flat
    held_out, ops = augmented.validation, augmented.model.backend
    assert held_out is not None
    assert plain.validation is not None
    np.testing.assert_array_equal(ops.to_host(held_out.inputs), samples(20)[0])
    assert augmented.evaluate(held_out) == plain.evaluate(plain.validation)
    np.testing.assert_array_equal(ops.to_host(augmented.train.inputs), samples()[0])
    in_order = [ops.to_host(x).copy() for x, _ in augmented.train.in_order()]
    np.testing.assert_array_equal(np.concatenate(in_order), samples()[0])


def epoch_of(batches: Batches, *position: int) -> list[tuple[Array, Array]]:
    to_host = batches.backend.to_host
    return [(to_host(x).copy(), to_host(y).copy()) for x, y in batches.epoch(9, *position)]


def test_labels_stay_with_their_images(backend: str) -> None:
    shifted = Augmentation(shift=0.01)  # less than a pixel: an image is still most like itself
    x, labels = images("uint8", 40, 12, 12, 1), np.arange(40)
    for found, targets in epoch_of(Batches(x, labels, 16, backends.get(backend), shifted), 0):
        distance = np.abs(found[:, None].astype(float) - x[None]).mean(axis=(2, 3, 4))
        np.testing.assert_array_equal(distance.argmin(axis=1), targets)


def test_an_epoch_begun_in_its_middle_goes_on_as_it_would_have(backend: str) -> None:
    batches = Batches(*samples(), 16, backends.get(backend), STRONG)
    whole, rest = epoch_of(batches, 3), epoch_of(batches, 3, 2)
    assert len(rest) == 2
    for one, other in zip(whole[2:], rest, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
    assert not np.array_equal(whole[2][0], epoch_of(batches, 4, 2)[0][0])


@pytest.mark.parametrize("chosen", [Augmentation(rotation=20, shift=0.2), Augmentation(elastic=1)])
def test_no_image_batch_or_epoch_is_distorted_as_another(backend: str, chosen: Augmentation) -> None:
    x = np.repeat(images("uint8", 1, 12, 12, 1), 40, axis=0)
    batches = Batches(x, np.zeros(40, np.int64), 16, backends.get(backend), chosen)
    every = np.concatenate([found for epoch in range(3) for found, _ in epoch_of(batches, epoch)])
    assert len(np.unique(every, axis=0)) == 120


def test_batches_are_the_same_on_every_backend(backend: str) -> None:
    ours, reference = (Batches(*samples(), 16, backends.get(name), STRONG) for name in (backend, "numpy"))
    for one, other in zip(epoch_of(ours, 1), epoch_of(reference, 1), strict=True):
        np.testing.assert_array_equal(one[0], other[0])


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="uncompiled kernels have temporaries")
def test_a_steady_step_allocates_no_array_memory() -> None:
    """But for what there is without augmentation, a batch of images that is gathered anew."""
    x, labels = images("uint8", 256, 28, 28, 1), np.arange(256) % 10
    batches = Batches(x, labels, 64, NumbaBackend(), STRONG).epoch(0, 0)
    next(batches)
    next(batches)
    tracemalloc.start()
    try:
        next(batches)
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        next(batches)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < 64 * 28 * 28 + 32 * 1024


# --- mistakes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LIMITS)
def test_a_setting_out_of_range_is_explained(name: str) -> None:
    low, high = LIMITS[name]
    for value in (low - 0.01, high + 1, float("nan")):
        with pytest.raises(ConfigError, match=rf"this value for {name}\n  expected: .* in \[{low}, {high}\]"):
            Augmentation(**{name: value})


def test_only_images_can_be_distorted() -> None:
    labels = np.zeros(4, np.int64)
    with pytest.raises(ShapeError, match=r"\(N, height, width, channels\)\n  received: \(4, 784\)"):
        Batches(np.zeros((4, 784), np.uint8), labels, 2, NumpyBackend(), STRONG)
    with pytest.raises(DTypeError, match="expected: uint8, float32, float64\n  received: int16"):
        Batches(np.zeros((4, 2, 2, 1), np.int16), labels, 2, NumpyBackend(), STRONG)
