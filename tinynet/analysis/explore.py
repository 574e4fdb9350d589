"""A first look at a data set, before any training: what is in it, how even, of how many dimensions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tinynet import plots
from tinynet.data import overlap
from tinynet.data.datasets import Dataset, Split
from tinynet.errors import DataError
from tinynet.io.lock import one_at_a_time
from tinynet.io.markdown import count, markdown_table, percent, write_json, write_page
from tinynet.rng import Key, Stream, permutation
from tinynet.types import Array

MAX_VALUES = 8192
"""In an image: its covariance takes 512 MiB."""
ROWS = 8192
"""Images turned to float64 at a time: 49 MiB of MNIST's."""
SAMPLES = 8
"""Images of each class in the grid of samples."""
SHARES = (0.90, 0.95, 0.99)
"""Of the variance: how many components keep so much?"""


def describe(split: Split) -> dict[str, Any]:
    """The facts of one split: sizes, missing values, what is blank or repeated, and the pixels' statistics.

    Images are of bytes, 0 to 255. `missing` counts NaN, as tables of null counts do; here it is 0,
    since bytes hold none and the reader of Kaggle's CSV refuses an empty field, naming its line and column.
    """
    images = split.images
    rows = images.reshape(len(images), -1)
    histogram = np.bincount(rows.reshape(-1), minlength=256)
    levels = np.arange(256)
    mean = float(levels @ histogram / rows.size)
    return {
        "images": len(images),
        "shape": images.shape[1:],
        "dtype": str(images.dtype),
        "bytes": images.nbytes,
        "missing": int(np.isnan(images).sum()),
        "blank": int((~rows.any(axis=1)).sum()),
        "duplicates": len(images) - len(_distinct(rows)),
        "constant_pixels": int((rows == rows[0]).all(axis=0).sum()),
        "pixel_min": int(rows.min()),
        "pixel_max": int(rows.max()),
        "pixel_mean": mean,
        "pixel_deviation": float(np.sqrt(np.square(levels - mean) @ histogram / rows.size)),
        "histogram": histogram,
    }


def histograms(images: Array) -> Array:
    """How often each level occurs in each channel of images (N, H, W, C) of bytes, int64 (C, 256)."""
    channels = np.moveaxis(images, -1, 0)
    return np.stack([np.bincount(channel.reshape(-1), minlength=256) for channel in channels])


def class_means(split: Split, classes: int) -> Array:
    """The mean image of each class, float64 (K, H, W, C); NaN for a class without images."""
    images, labels = split.images, split.labels
    empty = np.full(images.shape[1:], np.nan)
    return np.stack(
        [images[labels == k].mean(axis=0) if (labels == k).any() else empty for k in range(classes)]
    )


def covariance(images: Array) -> Array:
    """How pixels vary together: (1/(N−1)) Σₙ (xₙ − x̄)(xₙ − x̄)ᵀ, float64 (D, D), of images (N, …) of D bytes.

    Computed as (Σ x xᵀ − N x̄ x̄ᵀ) / (N − 1). That cancels badly in general, but here both sums are exact: of
    whole numbers, and below 2⁵³ for up to 10¹¹ images.

    Raises DataError unless there are two images that differ, and for D > MAX_VALUES.
    """
    if images.dtype != np.uint8:
        raise DataError("covariance is of images of bytes", expected="uint8", received=images.dtype)
    rows = images.reshape(len(images), -1)
    if rows.shape[1] > MAX_VALUES:
        raise DataError(
            "these images are too large for their covariance",
            expected=f"{MAX_VALUES:,} values in each, at most",
            received=" x ".join(map(str, images.shape[1:])),
            fix="scale them down: --size 32",
        )
    if len(rows) < 2 or (rows == rows[0]).all():
        raise DataError(
            "the images do not differ",
            expected="two or more that are not equal",
            received=f"{len(rows)} of one kind",
            fix="check the file: is it the one you meant?",
        )
    products, total = np.zeros((rows.shape[1],) * 2), np.zeros(rows.shape[1])
    for start in range(0, len(rows), ROWS):
        part = rows[start : start + ROWS].astype(np.float64)
        products += part.T @ part
        total += part.sum(axis=0)
    return (products - np.outer(total, total / len(rows))) / (len(rows) - 1)


def correlation(covariances: Array) -> Array:
    """cov(i, j) / √(cov(i, i) cov(j, j)), (D, D), and NaN where a pixel is the same in all images."""
    deviation = np.sqrt(np.diag(covariances))
    deviation = np.where(deviation > 0, deviation, np.nan)
    return covariances / np.outer(deviation, deviation)


def explained_variance(covariances: Array) -> Array:
    """The share of the variance along each principal component, largest first, (D,), summing to 1.

    The variance along a component is an eigenvalue of the covariance: the square of a singular value of the
    centred images, divided by N − 1. (Jolliffe: "Principal component analysis", 2002, section 3.5.)
    """
    variances = np.linalg.eigvalsh(covariances)[::-1].clip(min=0)
    return variances / variances.sum()


def elbow(shares: Array) -> int:
    """The number of components at the elbow of Σᵢ sharesᵢ, (D,): after it, another one brings little.

    Where the curve, both axes scaled to 0 … 1, is farthest above its chord. (Satopää, Albrecht, Irwin,
    Raghavan: "Finding a 'kneedle' in a haystack", 2011, without their smoothing.)
    """
    return int(np.argmax(np.cumsum(shares) - np.arange(1, len(shares) + 1) / len(shares))) + 1


def components_for(shares: Array, share: float) -> int:
    """How many of the components, largest first, keep at least `share` of the variance."""
    return min(int(np.searchsorted(np.cumsum(shares), share)) + 1, len(shares))


@dataclass(frozen=True)
class Exploration:
    """A data set, all the figures of it, and the covariance (D, D) of its training images."""

    dataset: Dataset
    figures: dict[str, Any]
    covariance: Array


def explore(dataset: Dataset) -> Exploration:
    """Measure both splits, and the variance of the training images. Raises DataError as `covariance` does."""
    splits = {"train": dataset.train, "test": dataset.test}
    covariances = covariance(dataset.train.images)
    shares = explained_variance(covariances)
    figures = {
        "name": dataset.name,
        "source": dataset.source,
        "sha256": dataset.sha256,
        "classes": dataset.classes,
        "splits": {
            title: describe(split) | {"labels": np.bincount(split.labels, minlength=len(dataset.classes))}
            for title, split in splits.items()
        },
        "test_images_in_train": int(overlap(dataset.test.images, dataset.train.images).sum()),
        "components": {f"{100 * share:.0f} %": components_for(shares, share) for share in SHARES},
        "elbow": elbow(shares),
        "elbow_variance": float(shares[: elbow(shares)].sum()),
        "explained_variance": shares,
    }
    return Exploration(dataset, figures, covariances)


@one_at_a_time
def write_exploration(folder: Path, exploration: Exploration, *, seed: int = 0) -> dict[str, Any]:
    """Write exploration.md, exploration.json and six pictures into `folder`, made where it is missing.

    `seed` chooses the sample images. Returns what exploration.json holds. Each file is written atomically,
    the page last. Raises RunError if the folder cannot be made.
    """
    draw = _pictures(exploration, seed)
    for name, picture in draw.items():
        picture(folder / name)
    written: dict[str, Any] = write_json(folder / "exploration.json", exploration.figures)
    write_page(folder / "exploration.md", _blocks(exploration.figures, list(draw)))
    return written


SPLIT_FACTS = (
    "images",
    "size",
    "memory",
    "missing values",
    "blank images",
    "repeated images",
    "pixels always the same",
    "pixel values",
    "mean, deviation",
    "mean, deviation of pixel/255",
)


def split_facts(found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """A row of text for each fact of `describe`: its name, and what it is in each split."""
    columns = []
    for split in found["splits"].values():
        mean, deviation = split["pixel_mean"], split["pixel_deviation"]
        columns.append(
            (
                f"{split['images']:,}",
                " × ".join(map(str, split["shape"])) + f" {split['dtype']}",
                f"{split['bytes'] / 2**20:.1f} MiB",
                *(f"{split[key]:,}" for key in ("missing", "blank", "duplicates", "constant_pixels")),
                f"{split['pixel_min']} to {split['pixel_max']}",
                f"{mean:.2f}, {deviation:.2f}",
                f"{mean / 255:.4f}, {deviation / 255:.4f}",
            )
        )
    return list(zip(SPLIT_FACTS, *columns, strict=True))


def label_counts(found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """A row of text for each class: its name, and how many images of it are in each split."""
    columns = [map(count, split["labels"].tolist()) for split in found["splits"].values()]
    return [tuple(map(str, row)) for row in zip(found["classes"], *columns, strict=True)]


def conclusions(found: Mapping[str, Any]) -> list[str]:
    """What the figures say, a sentence each."""
    labels = found["splits"]["train"]["labels"]
    most, least = int(labels.argmax()), int(labels.argmin())
    names, components = found["classes"], found["components"]
    kept = ", ".join(f"{number} components keep {share}" for share, number in components.items())
    highest, lowest = (percent(labels[k] / labels.sum()) for k in (most, least))
    return [
        f"All classes are equally frequent: {highest} of the training images each."
        if labels[most] == labels[least]
        else f"Most frequent: {names[most]} ({highest} of the training images);"
        f" least: {names[least]} ({lowest}).",
        f"{found['test_images_in_train']:,} test images are in the training set, too.",
        f"Of the variance of the training images, {kept}; the elbow is at {found['elbow']}"
        f" ({percent(found['elbow_variance'])}).",
    ]


def _pictures(exploration: Exploration, seed: int) -> dict[str, Callable[[Path], None]]:
    """The file name of each picture, and what draws it into a path."""
    train, classes, found = exploration.dataset.train, exploration.dataset.classes, exploration.figures
    splits = found["splits"]
    means = class_means(train, len(classes))
    present = [k for k in range(len(classes)) if not np.isnan(means[k]).any()]
    chosen = samples(train, len(classes), seed)
    return {
        "labels.png": partial(plots.labels, {title: s["labels"] for title, s in splits.items()}, classes),
        "pixels.png": partial(plots.pixels, histograms(train.images)),
        "mean-images.png": partial(
            plots.digits,
            means[present].round().astype(np.uint8),
            [classes[k] for k in present],
            title="Mean image of each class",
        ),
        "samples.png": partial(
            plots.digits,
            train.images[chosen],
            [classes[k] for k in train.labels[chosen]],
            title=f"Training images, at random, up to {SAMPLES} of each class",
        ),
        "correlation.png": partial(
            plots.correlation, correlation(exploration.covariance), train.images.shape[1:3]
        ),
        "explained-variance.png": partial(
            plots.explained_variance, found["explained_variance"], found["elbow"], found["components"]
        ),
    }


def samples(split: Split, classes: int, seed: int) -> Array:
    """The positions of up to SAMPLES images of each class, class by class, chosen by `seed`."""
    order = permutation(Key(seed, Stream.EXPLORE), len(split))
    return np.concatenate([order[split.labels[order] == k][:SAMPLES] for k in range(classes)])


def _distinct(rows: Array) -> set[bytes]:
    return {row.tobytes() for row in rows}


def _blocks(found: Mapping[str, Any], pictures: list[str]) -> list[str]:
    splits = list(found["splits"])
    return [
        f"# A first look at {found['name']}",
        f"{found['source']} (sha256 {found['sha256']}).",
        *conclusions(found),
        "## Splits",
        markdown_table(("", *splits), split_facts(found)),
        "## Labels",
        markdown_table(("class", *splits), label_counts(found)),
        "## Pictures, of the training images",
        *(f"![{name.removesuffix('.png')}]({name})" for name in pictures),
    ]
