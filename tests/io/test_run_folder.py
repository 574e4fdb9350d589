"""A folder that is not that of a run: those in it are named."""

from __future__ import annotations

from pathlib import Path

from tinynet.io.run_folder import name_a_run


def test_the_first_three_runs_are_named_and_others_hinted_at(tmp_path: Path) -> None:
    assert name_a_run(tmp_path) == "check the path; `tinynet train` prints it"
    for number in range(4):
        (tmp_path / f"run {number}").mkdir()
    assert "check the path" in name_a_run(tmp_path)
    for number in range(3):
        (tmp_path / f"run {number}" / "config.json").touch()
    names = [f"'{tmp_path / f'run {number}'}'" for number in range(3)]
    assert name_a_run(tmp_path) == f"name a run in it: {', '.join(names)}"
    (tmp_path / "run 3" / "config.json").touch()
    assert name_a_run(tmp_path) == f"name a run in it: {', '.join(names)}, …"
