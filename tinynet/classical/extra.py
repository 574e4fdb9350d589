"""scikit-learn is an extra: imported when it is needed, and an error that says how to get it."""

from __future__ import annotations

from tinynet.errors import ConfigError

FIX = "pip install -e '.[classical]' (or pip install scikit-learn)"


def load_sklearn() -> str:
    """The version of scikit-learn. Raises ConfigError where it cannot be imported."""
    try:
        import sklearn
    except ImportError as error:
        raise ConfigError("the classical models need scikit-learn", received=error, fix=FIX) from error
    version: str = sklearn.__version__
    return version
