"""What test-time augmentation gains: the same images with it and without."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinynet.analysis.evaluation import interval, share_right
from tinynet.io.markdown import percent
from tinynet.printable import counted
from tinynet.types import Array


def gain(labels: Array, averaged: Array, unshifted: Array) -> dict[str, Any]:
    """What averaging over shifted images changes, image by image.

    labels (N,)   averaged, unshifted (N, K): the probabilities with the averaging and without

    Returns the figures of `evaluation.share_right` `with` it and `without`, how many images it `put_right`
    and `put_wrong`, and the `gain` in accuracy, which is their difference / N. Raises as `share_right` does.
    """
    after, before = averaged.argmax(axis=1), unshifted.argmax(axis=1)
    figures = {"without": share_right(labels, before), "with": share_right(labels, after)}
    put_right = int(((after == labels) & (before != labels)).sum())
    put_wrong = int(((after != labels) & (before == labels)).sum())
    return {
        **figures,
        "gain": (put_right - put_wrong) / len(labels),
        "put_right": put_right,
        "put_wrong": put_wrong,
    }


def sentence(found: Mapping[str, Any], pixels: int) -> str:
    """What `gain` found, in words, for shifts by up to so many pixels."""
    without, averaged = (
        f"{percent(found[each]['accuracy'])} (95 % interval {interval(found[each])})"
        for each in ("without", "with")
    )
    right, wrong = found["put_right"], found["put_wrong"]
    return (
        f"The gain of averaging over shifts by up to {counted(pixels, 'pixel')}: {points(found)} points, "
        f"from {without} to {averaged}. Images put right: {right:,}; put wrong: {wrong:,}."
    )


def points(found: Mapping[str, Any]) -> str:
    """The gain in hundredths, with its sign."""
    return f"{100 * found['gain']:+.2f}"
