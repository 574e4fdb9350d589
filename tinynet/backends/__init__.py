"""Choosing a backend by name, at run time. Only the one asked for is imported."""

from __future__ import annotations

import os
from dataclasses import dataclass

from tinynet import extras
from tinynet.backends.base import Backend
from tinynet.errors import BackendError, ConfigError

NAMES = ("numpy", "numba", "cupy")
CONVOLUTIONS = ("auto", "im2col", "direct", "winograd")
"""How convolutions are computed: the fastest for each layer, or one of the three wherever it applies."""
PRECISIONS = ("float32", "tf32")
"""Of products of float32 matrices: as they are, or of factors rounded to 10 bits, on a GPU."""


@dataclass(frozen=True)
class Status:
    """Whether a backend can run here; where not, why, and the fix."""

    name: str
    works: bool
    detail: str
    fix: str = ""


def get(name: str | None = None, *, convolution: str = "auto", precision: str = "float32") -> Backend:
    """The backend called `name`; with None, what TINYNET_BACKEND says, else "auto".

    `convolution` is one of `CONVOLUTIONS`; numpy and cupy know im2col alone. `precision` is one of
    `PRECISIONS`; tf32 is for cupy.

    "auto" is numba, or numpy where numba cannot be loaded (`explain_auto` says which and why). It never
    picks a GPU by itself. Raises ConfigError for an unknown name and BackendError, with the fix, for one
    that this machine cannot run.
    """
    name = name or os.environ.get("TINYNET_BACKEND") or "auto"
    if name == "auto":
        name = "numba" if status("numba").works else "numpy"
    if name not in NAMES:
        raise ConfigError("unknown backend", expected=", ".join(("auto", *NAMES)), received=repr(name))
    if convolution not in CONVOLUTIONS:
        raise ConfigError("unknown convolution", expected=", ".join(CONVOLUTIONS), received=repr(convolution))
    if name != "numba" and convolution not in ("auto", "im2col"):
        raise ConfigError(
            f"the {name} backend has no {convolution} convolution",
            expected="im2col",
            received=convolution,
            fix="use the numba backend for it",
        )
    if precision not in PRECISIONS:
        raise ConfigError("unknown precision", expected=", ".join(PRECISIONS), received=repr(precision))
    if name != "cupy" and precision != "float32":
        raise ConfigError(
            f"the {name} backend has no products in {precision}",
            expected="float32",
            received=precision,
            fix="use the cupy backend for it, or leave --precision out",
        )
    if name == "numpy":
        from tinynet.backends.numpy_ import NumpyBackend

        return NumpyBackend()
    found = status(name)
    if not found.works:
        raise BackendError(f"the {name} backend cannot run here", received=found.detail, fix=found.fix)
    if name == "numba":
        from tinynet.backends.numba_ import NumbaBackend

        return NumbaBackend(convolution)
    from tinynet.backends.cupy_ import CupyBackend

    return CupyBackend(tf32=precision == "tf32")


def status(name: str) -> Status:
    """Whether the backend `name` can run on this machine."""
    if name == "numba":
        try:
            import numba

            from tinynet.kernels.cpu import numba_private  # noqa: F401 (refuses a Numba it cannot use)
        except ImportError as error:
            return Status(name, False, f"numba cannot be used: {error}", extras.install(again=True))
        return Status(name, True, f"numba {numba.__version__}")
    if name == "cupy":
        return _cupy_status()
    import numpy

    return Status(name, True, f"numpy {numpy.__version__}")


def _cupy_status() -> Status:
    from tinynet.backends import cuda_status

    facts = cuda_status.read()
    problem = cuda_status.diagnose(facts)
    if problem:
        return Status("cupy", False, *problem)
    return Status("cupy", True, cuda_status.summary(facts))
