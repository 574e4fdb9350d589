"""tinynet.machine: the facts of a report, against what the system says by other means."""

from __future__ import annotations

import os
import platform

import numba
import numpy as np

import tinynet
from tinynet import machine


def test_the_machine() -> None:
    facts = machine.facts()
    assert facts["cpu"]
    assert 1 <= facts["cores"] <= (os.cpu_count() or 1)
    assert facts["memory_gib"] is None or facts["memory_gib"] > 0
    assert platform.system() in facts["os"]


def test_the_versions() -> None:
    assert machine.versions() == {
        "python": platform.python_version(),
        "tinynet": tinynet.__version__,
        "numpy": np.__version__,
        "numba": numba.__version__,
    }
    assert machine.version_of("no-such-package") is None


def test_the_summary() -> None:
    line = machine.summary()
    assert line.startswith(machine.processor())
    assert f"NumPy {np.__version__}, Numba {numba.__version__}" in line
    assert "\n" not in line
