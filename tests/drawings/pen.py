"""From strokes, or a font's outlines, to the share of each pixel that is inked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from drawings.hands import Hand
from tinynet.types import Array

FINER = 3
"""Pixels are drawn so many times smaller first, so that edges come out smooth."""
FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"


@dataclass
class Writer:
    """Who writes which digit."""

    hand: Hand
    font: str
    digit: int
    random: np.random.Generator

    def write(
        self,
        height: int = 280,
        width: int = 280,
        *,
        size: float = 0.62,
        pen: float = 0.09,
        turned: float = 0.0,
        at: tuple[float, float] = (0.5, 0.5),
    ) -> Array:
        """The inked share of each pixel (height, width): 0 to 1.

        size: the digit's height, as a share of the picture's shorter side   pen: its width, of that height
        turned: degrees clockwise   at: where its middle lies, as shares of width and height
        """
        tall = size * min(height, width)
        turn, lean = np.radians(turned), self.hand.slant + self.random.uniform(-0.06, 0.06)
        across = self.hand.width * self.random.uniform(0.9, 1.1)
        canvas = Image.new("L", (width * FINER, height * FINER))
        nib = max(1, round(pen * tall * FINER))
        for stroke in self.hand.digits[self.digit]:
            x, y = (tremble(dense(stroke), 100 * self.hand.tremor, self.random) / 100 - 0.5).T
            x = across * x - lean * y
            corners = np.stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)], 1)
            _trace(canvas, FINER * (tall * corners + np.array(at) * (width, height)), nib)
        return _shrunk(canvas, width, height)

    def printed(self, height: int = 280, width: int = 280, size: float = 0.6) -> Array:
        """The same of the digit in print."""
        font = ImageFont.truetype(FONTS / f"{self.font}.ttf", round(size * height * FINER))
        canvas = Image.new("L", (width * FINER, height * FINER))
        middle = (width * FINER / 2, height * FINER / 2)
        ImageDraw.Draw(canvas).text(middle, str(self.digit), fill=255, font=font, anchor="mm")
        return _shrunk(canvas, width, height)


def tremble(points: Array, far: float, random: np.random.Generator) -> Array:
    """Points (N, 2) that stray slowly back and forth, `far` at a standard deviation."""
    shaken: Array = np.asarray(random.normal(size=points.shape))
    kernel = np.hanning(9)[1:-1]
    smooth = np.stack([np.convolve(axis, kernel / np.sqrt((kernel**2).sum()), "same") for axis in shaken.T])
    strayed: Array = points + far * smooth.T
    return strayed


def dense(stroke: Array, step: float = 3.0) -> Array:
    """The same line, a point every few units."""
    lengths = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(stroke, axis=0).T))])
    along = np.linspace(0, lengths[-1], max(2, int(lengths[-1] / step)))
    return np.stack([np.interp(along, lengths, axis) for axis in stroke.T], axis=1)


def _trace(canvas: Image.Image, points: Array, nib: int) -> None:
    draw = ImageDraw.Draw(canvas)
    draw.line([tuple(point) for point in points], fill=255, width=nib, joint="curve")
    for x, y in points:
        draw.ellipse([x - nib / 2, y - nib / 2, x + nib / 2, y + nib / 2], fill=255)


def _shrunk(canvas: Image.Image, width: int, height: int) -> Array:
    return np.asarray(canvas.resize((width, height), Image.Resampling.BOX), dtype=np.float64) / 255
