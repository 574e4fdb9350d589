"""Choosing a backend by name, at run time. Only the one asked for is imported."""

from __future__ import annotations

import os
from importlib import import_module

from tinynet import extras
from tinynet.backends.base import CONVOLUTIONS, PRECISIONS, Backend, Status
from tinynet.errors import BackendError, ConfigError

__all__ = ["BACKENDS", "CONVOLUTIONS", "NAMES", "PRECISIONS", "Backend", "Status", "find", "get", "status"]

BACKENDS = {
    "numpy": "tinynet.backends.numpy_:NumpyBackend",
    "numba": "tinynet.backends.numba_:NumbaBackend",
    "cupy": "tinynet.backends.cupy_:CupyBackend",
}
"""The class of each backend: a new one is a file and a line here."""
NAMES = tuple(BACKENDS)


def get(name: str | None = None, *, convolution: str = "auto", precision: str = "float32") -> Backend:
    """The backend called `name`; with None, what TINYNET_BACKEND says, else "auto".

    `convolution` is one of `CONVOLUTIONS`, `precision` one of `PRECISIONS`; a backend's `settings` say which
    of them it takes.

    "auto" is numba, or numpy where numba cannot be loaded. It never picks a GPU by itself. Raises ConfigError
    for an unknown name or setting and BackendError, with the fix, for a backend that this machine cannot run.
    """
    name = name or _default()
    if name == "auto":
        name = "numba" if status("numba").works else "numpy"
    _check_known("backend", name, ("auto", *BACKENDS))
    _check_known("convolution", convolution, CONVOLUTIONS)
    _check_known("precision", precision, PRECISIONS)
    found = status(name)
    if not found.works:
        raise BackendError(f"the {name} backend cannot run here", received=found.detail, fix=found.fix)
    kind = find(name)
    for setting, value in (("convolution", convolution), ("precision", precision)):
        if value not in kind.settings[setting]:
            able = [each for each in NAMES if value in find(each).settings[setting]]
            raise ConfigError(
                f"the {name} backend has no {setting} {value!r}",
                expected=", ".join(kind.settings[setting]),
                received=repr(value),
                fix=f"choose a backend that has it ({', '.join(able)}), or leave it out",
            )
    return kind(convolution, precision)


def find(name: str) -> type[Backend]:
    """The class of the backend `name`. Raises ConfigError if none has it, ImportError without its library."""
    _check_known("backend", name, tuple(BACKENDS))
    module, kind = BACKENDS[name].split(":")
    found: type[Backend] = getattr(import_module(module), kind)
    return found


def use_device(name: str | None, rank: int) -> str:
    """`Backend.use_device` of the backend that `get` would take: before that, which tries the device out."""
    try:
        return find(name or _default()).use_device(rank)
    except (ConfigError, ImportError):  # "auto", which has no devices, or what `get` will refuse
        return ""


def status(name: str) -> Status:
    """Whether the backend `name` can run on this machine."""
    try:
        return find(name).status()
    except ImportError as error:
        return Status(name, False, f"{name} cannot be used: {error}", extras.install(again=True))


def _default() -> str:
    return os.environ.get("TINYNET_BACKEND") or "auto"


def _check_known(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"unknown {what}", expected=", ".join(known), received=repr(value))
