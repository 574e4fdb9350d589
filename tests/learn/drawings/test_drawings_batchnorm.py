"""The pictures of batch normalisation show what they are given."""

from __future__ import annotations

import numpy as np
from matplotlib.patches import FancyArrowPatch

from tinynet.learn.drawings import batchnorm as draw
from tinynet.learn.drawings.batchnorm import EDGES, NODES

VALUES = {name: np.array([number, -0.001]) for number, name in enumerate(NODES)}


def arrows(gradients: dict[str, np.ndarray] | None = None) -> int:
    axes = draw.graph(VALUES, gradients).axes[0]
    return sum(
        isinstance(patch, FancyArrowPatch) and patch.get_arrowstyle() is not None for patch in axes.patches
    )


def test_the_graph_shows_every_node_and_no_negative_zero() -> None:
    texts = [text.get_text() for text in draw.graph(VALUES).axes[0].texts]
    assert [formula for _, _, formula in NODES.values()] == texts[::2]
    assert texts[1::2] == [f"{number}  0" for number in range(len(NODES))]


def test_an_edge_goes_back_where_both_of_its_ends_have_gradients() -> None:
    back = [
        sum(begin in known and end in known for begin, end in EDGES) for known in ({"y", "x_hat"}, set(NODES))
    ]
    assert back == [1, len(EDGES)]
    for known, extra in zip((["y", "x_hat"], list(NODES)), back, strict=True):
        assert arrows({name: VALUES[name] for name in known}) == len(EDGES) + extra


def test_curves_are_named() -> None:
    for figure, names in (
        (draw.spreads({"a": [1.0, 2.0], "b": [1.0, 0.5]}), ["a", "b"]),
        (
            draw.running([1.0, 2.0], [0.1, 0.3], 1.5, "mean"),
            ["of one batch", "running average", "of all images"],
        ),
        (draw.accuracies([0.1, 1.0], {"a": [0.5, 0.6]}), ["a"]),
    ):
        legend = figure.axes[0].get_legend()
        assert legend is not None
        assert [text.get_text() for text in legend.get_texts()] == names
