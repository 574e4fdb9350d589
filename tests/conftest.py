"""What every test may ask for: a backend, the real MNIST files, an environment of its own.

`TINYNET_TEST_BACKENDS` names the backends to test, comma separated. One that is named must run; without the
variable, those that can run here are tested, and the report's header says why others cannot. `device` is a
make-believe GPU (device.py): what passes on it does not take a GPU's arrays for the host's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tinynet import backends
from tinynet.errors import TinynetError
from tinynet.kernels.cpu import brgemm

NAMED = [name.strip() for name in os.environ.get("TINYNET_TEST_BACKENDS", "").split(",") if name.strip()]
MNIST = os.environ.get("TINYNET_DATA")
"""The folder of the four real MNIST files, read before `user_cache` hides it from the tests."""


if "device" in NAMED:
    backends.BACKENDS["device"] = "device:DeviceBackend"


def _why_not(name: str) -> str | None:
    try:
        backends.get(name)
    except (TinynetError, ImportError) as error:
        return " ".join(str(error).split())
    return None


WHY_NOT = {name: _why_not(name) for name in NAMED or backends.NAMES}
"""Of each backend to be tested, why it cannot be; None if it can."""


def pytest_report_header() -> list[str]:
    return [f"backend {name}: {reason or 'is tested'}" for name, reason in WHY_NOT.items()]


@pytest.fixture(params=[name for name, reason in WHY_NOT.items() if NAMED or not reason], scope="module")
def backend(request: pytest.FixtureRequest) -> str:
    """The name of each backend under test."""
    name: str = request.param
    if reason := WHY_NOT[name]:
        pytest.fail(reason)
    return name


@pytest.fixture(params=[512, 256, 128])
def vector_bits(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Forces a vector width. Widths the processor lacks are split by the compiler: slow there, but right."""
    monkeypatch.setenv(brgemm.VARIABLE, str(request.param))
    for remembered in (brgemm.vector_bits, brgemm.tile_for):
        remembered.cache_clear()
    yield request.param
    for remembered in (brgemm.vector_bits, brgemm.tile_for):
        remembered.cache_clear()


@pytest.fixture(scope="session")
def mnist_dir() -> Path:
    """The folder of the four real MNIST files."""
    if not MNIST:
        pytest.skip("needs all of MNIST: name the folder of its four files in TINYNET_DATA")
    return Path(MNIST)


@pytest.fixture(autouse=True)
def user_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own; none of the variables that change what tinynet does is set."""
    for name in [name for name in os.environ if name.startswith("TINYNET_")]:
        monkeypatch.delenv(name)
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("TINYNET_CACHE", str(folder))
    monkeypatch.setenv("TINYNET_PROGRESS", str(folder / "progress"))
    return folder
