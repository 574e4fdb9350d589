"""Choosing a backend by name: a class found in a table, and what it says of itself."""

from __future__ import annotations

import pytest
from device import DeviceBackend

from tinynet import backends
from tinynet.backends.numpy_ import NumpyBackend
from tinynet.errors import BackendError, ConfigError


def test_a_backend_is_added_by_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(backends.BACKENDS, "device", "device:DeviceBackend")
    assert backends.find("device") is DeviceBackend
    assert backends.status("device").works
    assert isinstance(backends.get("device", convolution="im2col"), DeviceBackend)


def test_one_whose_library_is_missing_cannot_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(backends.BACKENDS, "jax", "tinynet.no_such_library:JaxBackend")
    status = backends.status("jax")
    assert not status.works
    assert status.detail.startswith("jax cannot be used: No module named 'tinynet.no_such_library'")
    with pytest.raises(
        BackendError, match=r"the jax backend cannot run here\n  received: .*\n  fix: pip install"
    ):
        backends.get("jax")


def test_without_numba_auto_is_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TINYNET_BACKEND", raising=False)
    assert backends.get().name == "numba"
    monkeypatch.setitem(backends.BACKENDS, "numba", "tinynet.no_such_library:NumbaBackend")
    assert type(backends.get()) is NumpyBackend


@pytest.mark.parametrize("name", ["numpy", "numba"])
@pytest.mark.parametrize("setting", ["convolution", "precision"])
def test_a_backend_takes_the_settings_that_it_names(name: str, setting: str) -> None:
    known = {"convolution": backends.CONVOLUTIONS, "precision": backends.PRECISIONS}[setting]
    for value in known:
        if value in backends.find(name).settings[setting]:
            assert getattr(backends.get(name, **{setting: value}), setting) == value
        else:
            with pytest.raises(ConfigError, match=f"the {name} backend has no {setting} '{value}'"):
                backends.get(name, **{setting: value})
    with pytest.raises(ConfigError, match=f"unknown {setting}"):
        backends.get(name, **{setting: "nosuch"})
