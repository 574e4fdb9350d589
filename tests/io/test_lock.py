"""tinynet.io.lock: one process at a time in a folder, and none kept out by one that is dead."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tinynet.errors import FolderInUseError, RunError
from tinynet.io.lock import FolderLock, one_at_a_time

HOLD = """
import sys, time
from pathlib import Path
from tinynet.io.lock import FolderLock
lock = FolderLock(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


def hold(folder: Path) -> subprocess.Popen[str]:
    """Another process that has the lock."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_lock_is_held_until_it_is_given_back(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "run"
    with FolderLock(folder), pytest.raises(FolderInUseError, match=f"process {os.getpid()} on "):
        FolderLock(folder)
    assert os.listdir(folder) == []
    lock = FolderLock(folder)
    lock.release()
    lock.release()
    FolderLock(folder).release()


def test_a_lock_that_is_forgotten_is_given_back(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    del lock
    FolderLock(tmp_path).release()


def test_another_process_is_named_and_its_death_frees_the_folder(tmp_path: Path) -> None:
    process = hold(tmp_path)
    with pytest.raises(FolderInUseError, match=f"process {process.pid} on "):
        FolderLock(tmp_path)
    process.kill()
    process.communicate()
    assert os.listdir(tmp_path) == [".lock"]
    FolderLock(tmp_path).release()
    assert os.listdir(tmp_path) == []


def test_who_waits_gets_it_afterwards(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    timer = threading.Timer(0.3, lock.release)
    timer.start()
    began = time.monotonic()
    FolderLock(tmp_path, wait=30).release()
    assert 0.2 < time.monotonic() - began < 25
    timer.join()


def test_a_crowd_goes_one_by_one(tmp_path: Path) -> None:
    """Each removes its file when it leaves: a file that is gone must not be taken for the lock."""
    inside, together = 0, []

    @one_at_a_time
    def enter(folder: Path) -> None:
        nonlocal inside
        for _ in range(5):
            inside += 1
            together.append(inside)
            time.sleep(0.001)
            inside -= 1

    crowd = [threading.Thread(target=enter, args=(tmp_path,)) for _ in range(12)]
    for each in crowd:
        each.start()
    for each in crowd:
        each.join()
    assert together == [1] * 60


def test_a_file_that_somebody_removed_by_hand(tmp_path: Path) -> None:
    first = FolderLock(tmp_path)
    (tmp_path / ".lock").unlink()
    second = FolderLock(tmp_path)
    first.release()
    assert (tmp_path / ".lock").exists()
    second.release()


def test_what_was_left_half_written_is_removed_on_request(tmp_path: Path) -> None:
    half, mine = tmp_path / f".{'0f' * 16}.tmp", tmp_path / "mine.tmp"
    half.touch()
    mine.touch()
    with FolderLock(tmp_path) as lock:
        assert half.exists()
        lock.clean()
    assert os.listdir(tmp_path) == ["mine.tmp"]


def test_a_place_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder" / ".lock").mkdir(parents=True)
    for folder in (tmp_path / "file", tmp_path / "folder"):
        with pytest.raises(RunError, match=r"cannot be used: .*\n  fix: make it writable for you"):
            FolderLock(folder)
