"""The watchdog: who was lost, who is on the way out, and silence once dismissed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from members import linux

from tinynet.distributed import watchdog


@linux
def test_the_witness_says_who_was_lost(capfd: pytest.CaptureFixture[str]) -> None:
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    watching = watchdog.start({0: os.getpid(), 7: sleeper.pid}, "go on somehow")
    sleeper.kill()
    sleeper.wait()
    assert watching is not None
    assert watching.wait(30) == watchdog.LOST
    watchdog.dismiss(watching)  # too late, which does no harm
    assert f"Lost: process 7 (id {sleeper.pid}). That ends the run; go on somehow" in capfd.readouterr().err


@linux
def test_the_witness_knows_a_process_on_its_way_out() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    assert not watchdog.is_ending(child.pid)
    assert child.stdin is not None
    child.stdin.close()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert watchdog.is_ending(child.pid)  # not yet waited for
    child.wait()
    assert watchdog.is_ending(child.pid)  # gone


@linux
def test_a_dismissed_witness_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    watching = watchdog.start({0: os.getpid()}, "")
    assert watching is not None
    watchdog.dismiss(watching)
    assert watching.returncode == 0
    assert capfd.readouterr().err == ""
