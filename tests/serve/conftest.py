"""One service for all tests that only look: a small net of grey images, another of colour ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from served import Client, save, serving

from tinynet.serve.models import Served, load
from tinynet.serve.service import Service


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("nets")
    return [save(folder), save(folder, "colour", shape=(6, 6, 3), classes=3)]


@pytest.fixture(scope="session")
def served(files: list[Path]) -> Served:
    """The first net, without a service."""
    return load([str(files[0])], "numpy")["net"]


@pytest.fixture(scope="session")
def running(files: list[Path]) -> Iterator[tuple[Client, Service]]:
    with serving(*files, page=lambda served: f"<p>the page of {served.name}</p>") as found:
        yield found


@pytest.fixture
def ask(running: tuple[Client, Service]) -> Client:
    return running[0]
