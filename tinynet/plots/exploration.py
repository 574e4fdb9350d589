"""Pictures of a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinynet.io.markdown import percent
from tinynet.plots.style import BLUE, GREEN, INK, ORANGE, RED, dot_negative, figure_at, headline
from tinynet.types import Array, Shape

CHANNELS: tuple[dict[str, Any], ...] = (
    {"label": "red", "color": RED, "ls": "-"},
    {"label": "green", "color": GREEN, "ls": "--"},
    {"label": "blue", "color": BLUE, "ls": ":"},
)
"""The look of the three histograms of a coloured data set."""


def labels(counts: Mapping[str, Array], classes: Sequence[str], path: str | Path) -> None:
    """Draw how frequent each class is in each split, beside the share it had were all alike.

    counts: for each split (two at most) the images of each class (K,)   classes: K names

    Raises ConfigError and OSError as `learning_curve` does.
    """
    k, splits = len(classes), len(counts)
    first = next(iter(counts.values()))
    shares = first / first.sum()
    most, least = int(shares.argmax()), int(shares.argmin())
    with figure_at(path, max(0.62 * k + 1.5, 5.5), 4.0) as figure:
        axes = figure.add_subplot()
        width = 0.8 / splits
        looks = ((BLUE, ""), (ORANGE, "///"))
        for i, ((split, values), (colour, hatch)) in enumerate(zip(counts.items(), looks, strict=False)):
            places = np.arange(k) + (i - (splits - 1) / 2) * width
            axes.bar(
                places,
                100 * values / values.sum(),
                width,
                facecolor=colour,
                edgecolor="white",
                hatch=hatch,
                label=f"{split} ({values.sum():,})",
            )
        axes.axhline(100 / k, color=INK, lw=1, ls="--", label="all alike")
        long = max(map(len, classes)) > 3
        axes.set_xticks(range(k), classes, rotation=45 if long else 0, ha="right" if long else "center")
        axes.tick_params(axis="x", length=0)
        axes.grid(visible=False, axis="x")
        axes.set(xlabel="class", ylabel="share of the split (%)")
        axes.set_ylim(top=1.3 * axes.get_ylim()[1])
        span = (
            f"from {percent(shares[least])} ({classes[least]}) to {percent(shares[most])} ({classes[most]})"
        )
        even = f"all classes alike, {percent(shares[most])} each"
        axes.set_title(f"Labels: {span if shares[least] < shares[most] else even}")
        axes.legend(ncols=3, loc="upper left")


def pixels(histogram: Array, path: str | Path) -> None:
    """Draw how frequent each level is, before and after scaling 0 … 255 to 0 … 1.

    histogram (C, 256) of counts: of grey, or of red, green and blue. Raises ConfigError and OSError as
    `learning_curve` does.
    """
    levels, total, counts = np.arange(256), histogram.sum(), histogram.sum(axis=0)
    mean = levels @ counts / total
    deviation = np.sqrt(np.square(levels - mean) @ counts / total)
    is_coloured = len(histogram) == 3
    values = "Values" if is_coloured else "Pixels"
    with figure_at(path, 9.2, 3.8) as figure:
        share = percent(counts[0] / total)
        headline(figure, f"{values}: {share} are 0; scaling moves the axis, not the shape")
        panels = figure.subplots(1, 2, sharey=True)
        for axes, scale, colour, name in (
            (panels[0], 1, BLUE, "before scaling: 0 … 255"),
            (panels[1], 255, ORANGE, "after scaling: pixel / 255"),
        ):
            edges = (np.arange(257) - 0.5) / scale
            if is_coloured:
                for channel, look in zip(histogram, CHANNELS, strict=True):
                    axes.stairs(100 * channel / channel.sum(), edges, **look)
            else:
                axes.stairs(100 * counts / total, edges, fill=True, color=colour)
            axes.axvline(mean / scale, color=INK, lw=1.2, ls="--", label=f"mean {mean / scale:.3g}")
            axes.plot([], [], " ", label=f"deviation {deviation / scale:.3g}")
            axes.set(yscale="log", xlabel="level of a channel" if is_coloured else "grey level")
            axes.set_title(name, size=10, weight="normal")
            axes.legend(loc="upper center")
        panels[0].set_ylabel(f"share of {'a channel' if is_coloured else 'all pixels'} (%)")


def correlation(matrix: Array, size: Shape, path: str | Path) -> None:
    """Draw how pixels go together: all pairs, and those with the one in the middle as an image.

    matrix (D, D), NaN where undefined   size: (H, W), with D = H · W · C; of C > 1 the first is the image

    Raises ConfigError and OSError as `learning_curve` does.
    """
    channels = len(matrix) // (size[0] * size[1])
    middle = (size[0] // 2 * size[1] + size[1] // 2) * channels
    around = matrix[middle].reshape(*size, -1)[..., 0]
    with figure_at(path, 9.6, 4.8) as figure:
        every, one = figure.subplots(1, 2)
        title = _correlation_title(matrix, size, channels)
        headline(figure, title)
        for axes, values in ((every, matrix), (one, around)):
            axes.grid(False)
            axes.set_facecolor("#D9D9D9")
            image = axes.imshow(values, cmap="PuOr", vmin=-1, vmax=1, interpolation="nearest")
        value = "value" if channels > 1 else "pixel"
        every.set_title(f"every pair of {value}s, row by row", size=10, weight="normal")
        every.set(xlabel=value, ylabel=value)
        what = "the red of each pixel" if channels == 3 else "each pixel"
        one.set_title(f"{what} with the one in the middle (+)", size=10, weight="normal")
        dot_negative(one, around, 1.0)
        one.plot(size[1] // 2, size[0] // 2, "+", color="white", ms=10, mew=1.5)
        one.set(xlabel="column", ylabel="row")
        label = "correlation (grey: never changes; dots: below -0.2)"
        figure.colorbar(image, ax=[every, one], label=label, shrink=0.85)


def explained_variance(shares: Array, elbow: int, marks: Mapping[str, int], path: str | Path) -> None:
    """Draw how much of the variance the first components keep, with the elbow and some round shares.

    shares (D,) of the variance, largest first   elbow: a number of components   marks: for a name such as
    "95 %" the number of components that keep so much

    Raises ConfigError and OSError as `learning_curve` does.
    """
    kept = 100 * np.cumsum(shares)
    number = np.arange(1, len(shares) + 1)
    with figure_at(path, 7.2, 4.4) as figure:
        axes = figure.add_subplot()
        axes.plot(number, kept, color=BLUE)
        axes.plot([0, len(shares)], [0, 100], color="#999999", lw=1, ls=":", label="all components alike")
        axes.plot(
            elbow, kept[elbow - 1], "o", ms=10, color=RED, label=f"elbow: {elbow}, {kept[elbow - 1]:.1f} %"
        )
        for name, components in marks.items():
            axes.plot([0, components, components], [kept[components - 1]] * 2 + [0], color="#BBBBBB", lw=1)
            axes.plot(components, kept[components - 1], "s", color=ORANGE)
            place = (components, kept[components - 1])
            axes.annotate(
                f"{name}: {components}", place, (6, -12), textcoords="offset points", color=INK, size=9
            )
        axes.set(xlabel="components", ylabel="variance kept (%)", xlim=(0, len(shares)), ylim=(0, 103))
        axes.set_title(f"{elbow} of {len(shares)} components keep {kept[elbow - 1]:.1f} % of the variance")
        axes.legend(loc="lower right")


def _correlation_title(matrix: Array, size: Shape, channels: int) -> str:
    """What each pixel has to do with the one to its right, where both vary."""
    beside = np.append(np.diagonal(matrix, channels), [np.nan] * channels).reshape(*size, channels)[:, :-1]
    if np.isnan(beside).all():
        return "Correlation of pixels"
    return f"Correlation of pixels: {np.nanmean(beside):.2f} on average with the next one"
