"""What every test may ask for: a backend, the real MNIST files, an environment of its own.

`TINYNET_TEST_BACKENDS` names the backends to test, comma separated. One that is named must run; of the
default list, one that cannot run here is skipped, with the reason. `device` is a make-believe GPU (device.py):
what passes on it does not take a GPU's arrays for the host's.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from device import DeviceBackend

from tinynet import backends
from tinynet.errors import TinynetError

ROOT = Path(__file__).resolve().parent.parent
NAMED = os.environ.get("TINYNET_TEST_BACKENDS", "")
BACKENDS = [name.strip() for name in (NAMED or "numpy,numba,cupy").split(",") if name.strip()]
MNIST = Path(os.environ.get("TINYNET_DATA") or ROOT.parent / "shared" / "data" / "mnist")


def _why_not(name: str) -> str | None:
    try:
        backends.get(name)
    except (TinynetError, ImportError) as error:
        return f"the {name} backend cannot run here: {error}"
    return None


if "device" in BACKENDS:
    real = backends.get
    backends.get = lambda name=None, **settings: (
        DeviceBackend() if name == "device" else real(name, **settings)
    )
WHY_NOT = {name: _why_not(name) for name in BACKENDS}


@pytest.fixture(params=BACKENDS, scope="module")
def backend(request: pytest.FixtureRequest) -> str:
    """The name of each backend under test."""
    name: str = request.param
    if reason := WHY_NOT[name]:
        (pytest.fail if NAMED else pytest.skip)(reason)
    return name


@pytest.fixture(scope="session")
def mnist_dir() -> Path:
    """The folder of the four real MNIST files."""
    if not (MNIST / "train-images-idx3-ubyte.gz").exists():
        pytest.skip(f"the MNIST files are not in {MNIST}; name their folder in TINYNET_DATA")
    return MNIST


@pytest.fixture(autouse=True)
def user_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own; none of the variables that change what tinynet does is set."""
    for name in [name for name in os.environ if name.startswith("TINYNET_")]:
        monkeypatch.delenv(name)
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("TINYNET_CACHE", str(folder))
    return folder
