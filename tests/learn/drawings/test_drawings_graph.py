"""The drawing of a computational graph: what it shows, and when."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from tinynet.learn.drawings.graph import Edge, Node, computational_graph

pytest.importorskip("matplotlib")

NODES = [
    Node("x", "x", (0, 0), "2", "−6", given=True),
    Node("y", "x²", (1, 0), "4", "−1.5"),
    Node("L", "loss", (2, 1), "9", "1"),
]
EDGES = [Edge("x", "y", "2x"), Edge("y", "L", "slope")]


def texts(done: Collection[str] | None) -> set[str]:
    [axes] = computational_graph(NODES, EDGES, done=done, title="A graph").axes
    return {text.get_text() for text in axes.texts} - {""}


def test_values_are_always_there_and_gradients_where_the_backward_has_been() -> None:
    forward = {"A graph", "x", "x²", "loss", "2", "4", "9"}
    assert texts(()) == forward
    assert texts(("L", "y")) == forward | {"1", "−1.5", "slope"}
    assert texts(None) == forward | {"1", "−1.5", "−6", "slope", "2x"}


def test_every_box_lies_within_the_picture() -> None:
    [axes] = computational_graph(NODES, EDGES).axes
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    for box in (patch.get_path().get_extents(patch.get_patch_transform()) for patch in axes.patches):
        assert left < box.x0 < box.x1 < right
        assert bottom < box.y0 < box.y1 < top
    assert len(axes.patches) == len(NODES)
