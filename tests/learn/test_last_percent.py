"""The figures that the last rung shows of all of MNIST: those of the committed results, and whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tinynet.learn.last_percent import decoded, encoded, read

BEST = Path(__file__).resolve().parents[2] / "bench" / "results" / "best.md"


def test_the_file_has_what_the_results_say() -> None:
    """Of the nets, of them together, and of every trial that the page has."""
    found, page = read(), BEST.read_text("utf-8")
    for each in (*found["nets"], found["together"]):
        assert f"{100 - 100 * each['errors'] / found['images']:.2f}" in page
    for trial in found["trials"]:
        assert f"| {100 * trial['right'] / trial['images']:.2f} % |" in page
    assert len(found["nets"]) >= 5
    assert found["trials"]


def test_no_net_has_right_what_all_of_them_miss() -> None:
    found = read()
    for row in found["missed"]:
        assert row["image"].shape == (28, 28, 1)
        assert len(row["nets"]) == len(found["nets"])
        assert all(net["says"] != row["label"] for net in row["nets"])
    assert len(found["missed"]) <= min(net["errors"] for net in found["nets"])


def test_an_image_is_kept_as_it_is() -> None:
    image = np.random.default_rng(0).integers(0, 256, (3, 4, 1), np.uint8)
    np.testing.assert_array_equal(decoded(encoded(image)), image)
