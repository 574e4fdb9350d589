"""Every plot is made whole or not at all, the same bytes each time, whatever the caller does."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from plots_drawn import DRAW, every_plot

from tinynet.errors import ConfigError
from tinynet.plots.architecture import HATCHES
from tinynet.plots.style import dot_negative


def settings_now() -> dict[str, Any]:
    """The caller's settings, without the one that imports pyplot when it is read."""
    return {key: mpl.rcParams[key] for key in mpl.rcParams if key != "backend"}


@every_plot
def test_png(draw: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "plot.png"
    draw(path)
    assert os.listdir(tmp_path) == ["plot.png"]
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert min(image.size) > 200
        pixels = np.asarray(image.convert("L"))
    assert pixels.min() < 100 < 250 < pixels.max()


@pytest.mark.parametrize(("name", "suffix"), [*((name, "svg") for name in DRAW), ("digits", "png")])
def test_the_same_bytes_whatever_the_settings_of_the_caller(name: str, suffix: str, tmp_path: Path) -> None:
    draw = DRAW[name]
    first, second = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    draw(first)
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red"}):
        before = settings_now()
        draw(second)
        assert settings_now() == before
    assert first.read_bytes() == second.read_bytes()


def test_negative_values_carry_dots_so_that_signs_differ_in_grey() -> None:
    axes = Figure().add_subplot()
    dot_negative(axes, np.array([[1.0, -1.0], [-0.1, -0.5]]), 1.0)
    dot_negative(axes, np.array([[-1.0, 1.0]]), 1.0, extent=(10, 30, 5, 1))
    dots = [line.get_xydata() for line in axes.lines]
    np.testing.assert_array_equal(dots[0], [[1, 0], [1, 1]])
    np.testing.assert_array_equal(dots[1], [[15, 3]])


def test_dots_of_a_large_array_do_not_touch() -> None:
    axes = Figure().add_subplot()
    dot_negative(axes, -np.ones((784, 784)), 1.0)
    assert len(np.asarray(axes.lines[0].get_xydata())) <= 32**2
    dot_negative(axes, -np.ones((28, 28)), 1.0, across=10)
    assert len(np.asarray(axes.lines[1].get_xydata())) == 10**2


@pytest.mark.parametrize("kinds", [("convolution", "dense"), ("pooling", "other"), ("pooling", "dense")])
def test_kinds_of_blocks_differ_by_more_than_colour(kinds: tuple[str, str]) -> None:
    first, second = (HATCHES[kind] for kind in kinds)
    assert first != second


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "plot.png"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        DRAW["digits"](path)
    assert os.listdir(tmp_path) == ["plot.png"]
    assert path.read_bytes() == b"old"


@every_plot
@pytest.mark.parametrize("name", ["plot.jpg", "plot"])
def test_refuses_other_kinds_of_file(draw: Callable[[Path], None], name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\.png or \.svg"):
        draw(tmp_path / name)
    assert os.listdir(tmp_path) == []


def test_neither_import_nor_drawing_loads_more_than_it_needs(tmp_path: Path) -> None:
    code = (
        "import sys; from tinynet import plots; assert 'matplotlib' not in sys.modules\n"
        "plots.confusion_matrix([[3, 1], [0, 2]], ['a', 'b'], sys.argv[1])\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(tmp_path / "plot.png")], check=True, timeout=60
    )
