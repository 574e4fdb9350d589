"""A search that trains in no time: a tiny recipe on a few of the bundled digits, with NumPy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tinynet import backends
from tinynet.data import load
from tinynet.data.datasets import Split
from tinynet.experiments.tuning import search, space, study
from tinynet.runs import recipe

LAYERS = [{"type": "Rescale"}, {"type": "Flatten"}, {"type": "Dense", "units": 10}]
SPACE = {
    "training.optimizer.learning_rate": {"low": 1e-3, "high": 1e-1, "log": True},
    "training.batch_size": [25, 50],
}


@pytest.fixture(scope="session")
def digits() -> Split:
    train = load("sample").train
    return Split(train.images[:300], train.labels[:300])


@pytest.fixture
def wanted(digits: Split) -> Callable[..., search.Search]:
    """Makes a search; name what is to be other than usual."""

    def make(
        settings: dict[str, Any] = SPACE, seed: int = 0, epochs: int = 2, **training: Any
    ) -> search.Search:
        table = {"layers": LAYERS, "training": {"validation": 100, **training}}
        plan = search.prepared(recipe.from_table(table), digits, epochs, None)
        found = space.from_table({"search": settings})
        return search.Search(plan, found, digits, "f" * 64, seed, backends.get("numpy"))

    return make


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., Any]:
    """Opens the study of a search, as another process would: with a storage of its own on the same file."""

    def make(wanted: search.Search, sampler: str = "tpe", pruner: str = "none") -> Any:
        return study.open_study(
            tmp_path / "study.journal",
            wanted.about(),
            study.Sampler(sampler, wanted.space, wanted.seed),
            study.make_pruner(pruner, wanted.plan.training.epochs),
        )

    return make
