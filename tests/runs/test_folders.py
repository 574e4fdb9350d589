"""tinynet.runs.folders: a folder is taken by making it, and whoever comes second is told."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tinynet.errors import FolderInUseError, RunError
from tinynet.runs.folders import check_free, take, take_next


def test_the_next_folder_is_made_and_locked(tmp_path: Path) -> None:
    (tmp_path / "runs" / "net-1").mkdir(parents=True)
    with take_next("net", tmp_path / "runs") as lock:
        assert lock.folder == tmp_path / "runs" / "net-2"
        with pytest.raises(FolderInUseError):
            take(lock.folder)
    assert os.listdir(lock.folder) == []


def test_all_who_ask_at_once_get_a_folder_of_their_own(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as crowd:
        locks = list(crowd.map(lambda _: take_next("net", tmp_path / "new" / "runs"), range(48)))
    assert {lock.folder.name for lock in locks} == {f"net-{number}" for number in range(1, 49)}


@pytest.mark.parametrize("left", [[], [".lock"], [f".{'a1' * 16}.tmp", ".lock"]])
def test_what_a_killed_process_left_does_not_count(left: list[str], tmp_path: Path) -> None:
    for name in left:
        (tmp_path / name).touch()
    check_free(tmp_path)
    take(tmp_path).release()


@pytest.mark.parametrize("name", ["notes.txt", "config.json", "a.tmp", f".{'g1' * 16}.tmp"])
def test_anything_else_does(name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    for check in (check_free, take):
        with pytest.raises(RunError, match=r"is not empty\n(.|\n)*fix: choose another --out"):
            check(tmp_path)
    assert os.listdir(tmp_path) == [name]


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for attempt in (
        lambda: take(tmp_path / "file"),
        lambda: take(tmp_path / "file" / "run"),
        lambda: take_next("net", tmp_path / "file"),
        lambda: check_free(tmp_path / "file"),
    ):
        with pytest.raises(RunError, match=r"cannot be used|no folder can be made"):
            attempt()
