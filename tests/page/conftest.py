"""A page and a browser to open it in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browsers
import pytest
from browsers import Browser

from tinynet.checkpoint import Loaded
from tinynet.page import build, default


@pytest.fixture(scope="session")
def net() -> Loaded:
    """The net that comes with tinynet."""
    return default.load("numpy")


@pytest.fixture(scope="session")
def digits(net: Loaded, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its page."""
    path = tmp_path_factory.mktemp("page") / "digits.html"
    path.write_text(build(net.model, {"name": "made for tests"}, list("0123456789"), loss=net.loss), "utf-8")
    return path


@pytest.fixture(scope="module")
def playwright() -> Iterator[Any]:
    """What drives Chromium and Firefox: one at a time in a process, whose event loop runs until its end."""
    with pytest.importorskip("playwright.sync_api").sync_playwright() as started:
        yield started


@pytest.fixture(scope="module", params=["chromium", "firefox", "webkit"])
def launched(request: pytest.FixtureRequest) -> Iterator[Browser]:
    """Each browser, started once."""
    if reason := browsers.why_not(request.param):
        pytest.skip(reason)
    if request.param == "webkit":
        with browsers.webkit() as browser:
            yield browser
    else:
        start = {"chromium": browsers.chromium, "firefox": browsers.firefox}[request.param]
        with start(request.getfixturevalue("playwright")) as other:
            yield other


@pytest.fixture
def browser(launched: Browser, digits: Path) -> Iterator[Browser]:
    """Each browser with the page of the digits. At the end its console must be empty."""
    launched.open(digits)
    yield launched
    assert launched.faults() == []
