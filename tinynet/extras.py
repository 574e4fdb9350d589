"""Libraries that only some commands need: each is an extra of tinynet's, imported when it is asked for."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

from tinynet.errors import ConfigError

DISTRIBUTION = "tinynet-engine"
"""What installers call this package. On the package index, `tinynet` is a project of other people."""

LIBRARIES = {
    "classical": ("sklearn", "scikit-learn", "the classical models need"),
    "keras": ("h5py", "h5py", "Keras files need"),
    "onnx": ("onnx", "onnx", "ONNX files need"),
    "serve": (
        "fastapi uvicorn prometheus_client",
        "fastapi uvicorn prometheus-client",
        "the service needs",
    ),
    "sklearn": ("sklearn", "scikit-learn", "the estimators need"),
    "tensorboard": ("tensorboardX", "tensorboardX", "a log for TensorBoard needs"),
    "tune": ("optuna", "optuna", "the search needs"),
}
"""By the name of the extra: its modules, the packages with them, and what to say of their use."""


def load(extra: str) -> Any:
    """The first module of an extra. Raises ConfigError, with what installs it, where one is missing."""
    modules, packages, use = LIBRARIES[extra]
    try:
        first, *_ = [importlib.import_module(module) for module in modules.split()]
        return first
    except ImportError as error:
        raise ConfigError(
            f"{use} {packages.replace(' ', ', ')}",
            expected=f"tinynet with its extra `{extra}`",
            received=error,
            fix=f"{install(extra)} (or pip install {packages})",
        ) from error


def install(extra: str = "", *, again: bool = False) -> str:
    """The shell command that adds an extra to the present installation, whatever kind that is.

    Without an extra, it installs all that tinynet always needs; `again` replaces what is there but damaged.
    """
    source, editable = _source()
    wanted = f"{source}[{extra}]" if extra else source
    options = ["--force-reinstall"] * again + ["-e"] * editable
    return _quoted(["pip", "install", *options, wanted])


def _source() -> tuple[str, bool]:
    """Where pip finds this installation again, and whether that is a checkout: a path, else the name.

    Installers leave a direct_url.json where a package does not come from an index.
    """
    import json  # here and below: what only a hint needs, and would take longer to import than all of tinynet
    from importlib import metadata
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    checkout = Path(__file__).resolve().parents[1]
    if (checkout / "pyproject.toml").exists():
        return str(checkout), True
    try:
        found = metadata.distribution(DISTRIBUTION)
        text = found.read_text("direct_url.json")  # None if from an index: PEP 610
    except metadata.PackageNotFoundError:
        text = None
    url = urlsplit(json.loads(text)["url"] if text else "")
    path = url2pathname(url.path)
    return (path if url.scheme == "file" and Path(path).exists() else DISTRIBUTION), False


def _quoted(words: list[str]) -> str:
    """A line that this system's shell cuts into these words."""
    import shlex
    import subprocess

    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)
