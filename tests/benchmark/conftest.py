"""A folder for contenders: 64 random images and a net."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tinynet.benchmark import harness
from tinynet.benchmark.harness import Conditions
from tinynet.layers import Dropout
from tinynet.runs import recipe


@pytest.fixture
def conditions(tmp_path: Path) -> Conditions:
    """64 random images, an mlp with dropout and a folder for both."""
    rng = np.random.default_rng(0)
    for prefix, count in (("", 64), ("test-", 20)):
        images = rng.integers(0, 256, (count, 28, 28, 1), np.uint8)
        harness.write_data(tmp_path, images, rng.integers(0, 10, count), prefix)
    plan = recipe.load("mlp")
    layers = [*plan.layers[:4], Dropout(0.5), plan.layers[4]]
    harness.write_net(tmp_path, "mlp", recipe.Recipe(layers=layers), seed=3)
    return Conditions(tmp_path, rounds=2, seconds=0.001, most_lost=1.0, threads=1)


@pytest.fixture
def data(conditions: Conditions) -> tuple[np.ndarray, np.ndarray]:
    return np.load(conditions.folder / "images.npy"), np.load(conditions.folder / "labels.npy")
