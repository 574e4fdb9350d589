"""Libraries that only some commands need: each is an extra of tinynet's, imported when it is asked for."""

from __future__ import annotations

import importlib
from typing import Any

from tinynet.errors import ConfigError

LIBRARIES = {
    "classical": ("sklearn", "scikit-learn", "the classical models need"),
    "tensorboard": ("tensorboardX", "tensorboardX", "a log for TensorBoard needs"),
    "tune": ("optuna", "optuna", "the search needs"),
}
"""By the name of the extra: its module, the package with it, and what to say of its use."""


def load(extra: str) -> Any:
    """The module of an extra. Raises ConfigError, with the command that installs it, where it is missing."""
    module, package, use = LIBRARIES[extra]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"{use} {package}",
            expected=f"tinynet with its extra `{extra}`",
            received=error,
            fix=f"{install(extra)} (or pip install {package})",
        ) from error


def install(extra: str) -> str:
    """The command that installs an extra, in a copy of tinynet's sources."""
    return f"pip install -e '.[{extra}]'"
