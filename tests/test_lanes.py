"""The lanes of TINYNET_TEST_BACKENDS, as a developer starts them: in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tinynet import backends

ROOT = Path(__file__).resolve().parent.parent
ONE = "tests/test_model.py::test_gradients_are_written_not_added"
no_gpu = pytest.mark.skipif(backends.status("cupy").works, reason="there is a GPU here")


@pytest.mark.parametrize("name", backends.NAMES)
def test_each_backend_can_be_tested_here(name: str) -> None:
    """So that a summary of the tests says which were not, and why."""
    status = backends.status(name)
    if not status.works:
        pytest.skip(f"{name} is not tested: {status.detail}")


def run_lane(named: str | None) -> tuple[int, str]:
    environment = {name: value for name, value in os.environ.items() if name != "TINYNET_TEST_BACKENDS"}
    if named is not None:
        environment["TINYNET_TEST_BACKENDS"] = named
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", ONE]
    found = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    return found.returncode, found.stdout


@no_gpu
def test_a_backend_that_is_named_and_missing_fails() -> None:
    code, said = run_lane("cupy")
    assert code == 1, said
    assert "the cupy backend cannot run here" in said
    assert "1 error" in said
    assert "skipped" not in said


@no_gpu
def test_one_that_is_missing_and_not_named_is_left_out_with_the_reason() -> None:
    code, said = run_lane(None)
    assert code == 0, said
    assert "backend numpy: is tested" in said
    assert "backend cupy: the cupy backend cannot run here received: no" in said
    assert "2 passed" in said


def test_a_name_that_no_backend_has_fails() -> None:
    code, said = run_lane("cuda")
    assert code == 1, said
    assert "unknown backend" in said


def test_a_lane_runs_on_what_is_named_and_nothing_else() -> None:
    code, said = run_lane("device, numpy")
    assert code == 0, said
    assert "2 passed" in said
