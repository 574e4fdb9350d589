"""Optuna is an extra: imported when it is needed, and an error that says how to get it."""

from __future__ import annotations

from tinynet.errors import ConfigError

FIX = "pip install -e '.[tune]' (or pip install optuna)"


def load_optuna() -> str:
    """The version of Optuna. Raises ConfigError where it cannot be imported."""
    try:
        import optuna
    except ImportError as error:
        raise ConfigError("the search needs Optuna", received=error, fix=FIX) from error
    version: str = optuna.__version__
    return version
