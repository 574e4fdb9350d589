"""The health of the layers: what its titles say of figures inside their bands and outside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from plots_drawn import LAYERS, svg_text

from tinynet import plots
from tinynet.errors import DataError
from tinynet.plots.health import QUANTITIES, verdict

RATE = "learning rate (--lr)"
SPREAD = "For the spread of outputs: put a BatchNorm behind that layer"
HE = "or start it from he_normal"
DEAD = f"For the dead ReLUs: lower the {RATE}, or take LeakyReLU for ReLU"
RATIO = f"For the update-to-weight ratio: lower the {RATE}"


def changed(epoch: int, layer: str, **figures: Any) -> list[dict[str, Any]]:
    """LAYERS with other figures in one line."""
    return [row | figures if (row["epoch"], row["layer"]) == (epoch, layer) else row for row in LAYERS]


def test_a_healthy_net() -> None:
    assert verdict(LAYERS) == "Health of the layers: all in their bands."


@pytest.mark.parametrize(
    ("epoch", "figures", "said"),
    [
        (0, {"deviation": 31.0}, f"spread of outputs 31 (dense_1, epoch 0). {SPREAD}, or lower the {RATE}"),
        (2, {"deviation": 0.03}, f"spread of outputs 0.03 (dense_1, epoch 2). {SPREAD}, {HE}"),
        (1, {"deviation": 0.0}, f"spread of outputs 0 (dense_1, epoch 1). {SPREAD}, {HE}"),
        (2, {"dead": 0.21}, f"dead ReLUs 21 % (dense_1, epoch 2). {DEAD}"),
        (1, {"update_ratio": 0.031}, f"update-to-weight ratio 0.031 (dense_1, epoch 1). {RATIO}"),
        (1, {"mean": 1e9, "gradient_norm": 1e9}, "all in their bands"),
        (2, {"update_ratio": 1e-9}, "all in their bands"),  # as at the end of a schedule
    ],
)
def test_what_leaves_its_band_is_named(epoch: int, figures: dict[str, float], said: str) -> None:
    assert verdict(changed(epoch, "dense_1", **figures)) == f"Health of the layers: {said}."


def test_updates_that_are_always_too_small_are_named() -> None:
    rows = [row | {"update_ratio": row["update_ratio"] and 1e-3 * row["update_ratio"]} for row in LAYERS]
    assert "update-to-weight ratio 1e-06 (conv2d_1, epoch 1)" in verdict(rows)
    assert verdict(rows).endswith("For the update-to-weight ratio: raise the learning rate (--lr).")


def test_the_worst_of_several_is_named() -> None:
    rows = changed(1, "dense_1", deviation=100.0)
    assert "100 (dense_1, epoch 1)" in verdict(rows)
    rows = [row | {"deviation": 1e-4} if row["epoch"] == 0 else row for row in rows]
    assert "0.0001 (conv2d_1, epoch 0)" in verdict(rows)


def test_the_picture_says_what_to_see(tmp_path: Path) -> None:
    plots.health(changed(0, "dense_1", deviation=99.0), tmp_path / "plot.svg")
    text = svg_text(tmp_path / "plot.svg")
    assert "Health of the layers: 1 of 3 quantities leave their bands" in text
    assert "spread of outputs:" in text
    assert "99 (dense_1, epoch 0)" in text
    assert "in its band" in text
    assert "the largest of each layer is in the band" in text
    assert "0.333 to 1" in text
    for name in ("healthy band", "conv2d_1", "dense_1"):
        assert name in text


@pytest.mark.parametrize("key", [quantity.key for quantity in QUANTITIES])
def test_a_figure_that_no_layer_has(key: str, tmp_path: Path) -> None:
    plots.health([row | {key: None} for row in LAYERS], tmp_path / "plot.svg")
    assert "none" in svg_text(tmp_path / "plot.svg")


def test_many_layers_and_zeros_are_drawn(tmp_path: Path) -> None:
    rows = [LAYERS[0] | {"layer": f"dense_{i}", "deviation": 0, "gradient_norm": 0} for i in range(30)]
    plots.health(rows, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").exists()


@pytest.mark.parametrize("key", ["deviation", "update_ratio", "gradient_norm"])
def test_a_zero_on_a_logarithmic_axis_has_its_tick(key: str, tmp_path: Path) -> None:
    plots.health(LAYERS, tmp_path / "without.svg")
    plots.health(changed(1, "dense_1", **{key: 0.0}), tmp_path / "with.svg")
    labels = [svg_text(tmp_path / f"{name}.svg").splitlines().count("0") for name in ("without", "with")]
    assert labels[1] == labels[0] + 1


def test_no_records(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing to draw"):
        plots.health([], tmp_path / "plot.png")
