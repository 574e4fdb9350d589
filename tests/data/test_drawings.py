"""Pictures as people take them are read: drawings by hands that the reader was not built on.

The net is `cnn`, trained for a moment on the bundled sample, so this runs without MNIST. The full table, with
the net that MNIST makes, is in bench/results/pictures.md.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from drawings import CLEAN, CONDITIONS, HELD_OUT, draw

from tinynet import checkpoint
from tinynet.cli import main
from tinynet.data.pictures import read_picture
from tinynet.runs.predictions import predict


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder."""
    folder = tmp_path_factory.mktemp("net") / "run"
    recipe = folder.with_name("brief.toml")
    recipe.write_text(files("tinynet.zoo").joinpath("cnn.toml").read_text("utf-8").replace("1500", "300"))
    options = ["--dataset", "sample", "--seed", "1", "--out", str(folder)]
    result = CliRunner().invoke(main, ["train", str(recipe), *options])
    assert result.exit_code == 0, result.output
    return folder


def test_held_out_drawings_are_read(net: Path, tmp_path: Path) -> None:
    model, loss, _ = checkpoint.load_model(net)
    right = {}
    for condition in CONDITIONS:
        images, digits = [], []
        for drawing in list(draw(HELD_OUT, condition, 1))[:: 2 if condition in CLEAN else 3]:
            (tmp_path / "picture").write_bytes(drawing.file)
            images.append(read_picture(tmp_path / "picture").image)
            digits.append(drawing.digit)
        right[condition] = predict(model, loss, np.stack(images)).classes == digits
    assert np.concatenate(list(right.values())).mean() >= 0.95
    assert np.concatenate([right[condition] for condition in CLEAN]).mean() >= 0.99
    assert min(answers.mean() for answers in right.values()) >= 0.75


def test_two_drawings_of_the_same_number_are_the_same_file() -> None:
    first, second = (next(draw(HELD_OUT, "heavy noise", 1)) for _ in range(2))
    assert first.file == second.file
    assert set(CLEAN) <= set(CONDITIONS)
