"""From three colours to the one number a pixel that tells ink from ground best."""

from __future__ import annotations

import numpy as np

from tinynet.data.pictures import windows
from tinynet.types import Array

GRAIN = 4.0
"""Variance of the grey levels that is noise in any case: rounding, and what JPEG leaves."""


def separate(colours: Array, where: Array | None = None) -> Array:
    """The plane float32 (h, w) in which colours (h, w, 3) differ most from what is around, within `where`.

    It is the linear discriminant of colour: of all directions the one with the greatest variance around the
    local mean, for each unit of variance between neighbours, which is noise. So green ink on red paper of the
    same grey is as plain as black on white. One step of the plane is one of 256 levels; bright stays bright.
    """
    colours = colours.astype(np.float32)
    where = np.ones(colours.shape[:2], bool) if where is None else where
    radius = max(1, min(colours.shape[:2]) // 6)
    around = np.stack([windows.mean(colours[..., channel], radius) for channel in range(3)], axis=-1)
    signal = _covariance((colours - around)[where])
    steps = np.diff(colours, axis=1)[where[:, 1:] & where[:, :-1]]
    size = np.abs(steps).sum(axis=1)
    noise = _covariance(steps[size <= np.quantile(size, 0.8)]) if len(steps) else np.zeros((3, 3))
    values, vectors = np.linalg.eigh(noise + GRAIN * np.eye(3))
    whiten = vectors / np.sqrt(values)
    direction = whiten @ np.linalg.eigh(whiten.T @ signal @ whiten)[1][:, -1]
    direction /= np.abs(direction).sum() * (1 if direction.sum() >= 0 else -1)
    return colours @ direction.astype(np.float32)


def _covariance(values: Array) -> Array:
    """Of rows (N, 3), around 0: (3, 3)."""
    values = values.astype(np.float64)
    return values.T @ values / max(1, len(values))
