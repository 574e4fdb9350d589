"""Rows of a few hundred digits, and what the classical models made of them."""

from __future__ import annotations

import dataclasses

import pytest
from fitted import Fitted

from tinynet.data import Split, load
from tinynet.data.datasets import Dataset
from tinynet.experiments import classical
from tinynet.experiments.classical import models
from tinynet.experiments.classical.rows import Rows


@pytest.fixture(scope="session")
def small() -> Dataset:
    """The sample, cut down to 500 + 60 digits."""
    data = load("sample")
    train = Split(data.train.images[:500], data.train.labels[:500])
    test = Split(data.test.images[:60], data.test.labels[:60])
    return dataclasses.replace(data, train=train, test=test)


@pytest.fixture(scope="session")
def rows(small: Dataset) -> Rows:
    return classical.from_dataset(small)


@pytest.fixture(autouse=True)
def few_clusters(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many clusters as a few hundred rows can bear."""
    monkeypatch.setattr(models, "MINI_CLUSTERS", 40)


@pytest.fixture(scope="session")
def fitted(rows: Rows) -> Fitted:
    """All results and the principal components; look, do not touch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "MINI_CLUSTERS", 40)
        results = {result.name: result for result in classical.compare(rows)}
    return Fitted(results, classical.principal_components(rows))
