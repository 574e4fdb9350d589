"""The study: which trials are drawn, by how many processes, and files that cannot be used."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from tinynet.errors import ConfigError, RunError
from tinynet.experiments.tuning import search, study

GRID = {"training.batch_size": [10, 20, 30], "training.optimizer.weight_decay": [0.0, 0.5]}


def draw(opened: Any, found: search.Search, figure: float = 0.5) -> dict[str, Any]:
    """What the next trial draws; it is told this figure."""
    trial = opened.ask(study.distributions(found.space))
    opened.tell(trial, figure)
    return dict(trial.params)


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_processes_that_share_a_seed_draw_what_one_would_draw(
    sampler: str, wanted: Any, opened: Any, tmp_path: Path
) -> None:
    found = wanted()
    one, other = opened(found, sampler), opened(found, sampler)
    shared = [draw(each, found, 1 / (i + 1)) for i, each in enumerate([one, other, other, one] * 4)]
    rates = [each["training.optimizer.learning_rate"] for each in shared]
    assert len(set(rates)) == 16
    assert [trial.number for trial in one.trials] == list(range(16))
    (tmp_path / "study.journal").unlink()
    alone = opened(found, sampler)
    assert [draw(alone, found, 1 / (i + 1)) for i in range(16)] == shared


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_another_seed_draws_other_trials(sampler: str, wanted: Any, opened: Any, tmp_path: Path) -> None:
    first = draw(opened(wanted(seed=0), sampler), wanted())
    (tmp_path / "study.journal").unlink()
    assert draw(opened(wanted(seed=2**40), sampler), wanted()) != first


def test_trials_under_way_at_once_differ(wanted: Any, opened: Any) -> None:
    found = wanted(GRID)
    studies = [opened(found, "grid") for _ in range(3)]
    running = [each.ask(study.distributions(found.space)) for each in studies for _ in range(2)]
    assert len({tuple(trial.params.values()) for trial in running}) == 6


def test_the_grid_tries_again_what_failed(wanted: Any, opened: Any) -> None:
    found = wanted(GRID)
    shared = opened(found, "grid")
    tried: dict[TrialState, set[tuple[Any, ...]]] = {TrialState.COMPLETE: set(), TrialState.FAIL: set()}
    for number in range(8):
        trial = shared.ask(study.distributions(found.space))
        state = TrialState.FAIL if number in (1, 4) else TrialState.COMPLETE
        shared.tell(trial, None if state == TrialState.FAIL else 0.5, state=state)
        tried[state].add(tuple(trial.params.values()))
    assert len(tried[TrialState.FAIL]) == 2
    assert len(tried[TrialState.COMPLETE]) == 6


def test_tpe_learns_where_it_is_good(wanted: Any, opened: Any) -> None:
    found = wanted({"training.optimizer.weight_decay": {"low": 0.0, "high": 1.0}})
    shared = opened(found, "tpe")
    distributions = study.distributions(found.space)
    for _ in range(40):
        trial = shared.ask(distributions)
        shared.tell(trial, -abs(trial.params["training.optimizer.weight_decay"] - 0.25))
    distances = [abs(trial.params["training.optimizer.weight_decay"] - 0.25) for trial in shared.trials]
    assert sum(distances[-10:]) < 0.5 * sum(distances[:10])


def test_a_grid_that_is_too_large(wanted: Any) -> None:
    found = wanted({f"training.optimizer.{name}": {"low": 0.1, "high": 0.2, "points": 50} for name in "abc"})
    with pytest.raises(ConfigError, match=r"at most 10,000 combinations\n  received: 125,000"):
        study.Sampler("grid", found.space, 0)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"epochs": 3}, "recipe"),
        ({"settings": {"training.batch_size": [25]}}, "search space"),
        ({"seed": 1}, "seed"),
    ],
)
def test_a_storage_that_holds_another_search(
    change: Any, what: str, wanted: Any, opened: Any, tmp_path: Path
) -> None:
    draw(opened(wanted()), wanted())
    before = (tmp_path / "study.journal").read_bytes()
    with pytest.raises(
        RunError, match=f"another search: not the same {what}\n  expected: {what}: .*\n  received: {what}: "
    ) as caught:
        opened(wanted(**change))
    assert "fix: choose another --out or --storage" in str(caught.value)
    assert (tmp_path / "study.journal").read_bytes() == before
    assert len(opened(wanted()).trials) == 1


def test_a_storage_of_other_data(wanted: Any, opened: Any) -> None:
    found = wanted()
    opened(found)
    with pytest.raises(RunError, match="not the same data"):
        study.check_same(Path("study.journal"), found.about(), {**found.about(), "data": "0" * 64})


@pytest.mark.parametrize("content", ["SQLite format 3\0", "hello\n", "[1]\n[2]\n", '{"op_code": 99}\n', "\n"])
def test_a_file_that_is_no_storage_stays_as_it_is(
    content: str, wanted: Any, opened: Any, tmp_path: Path
) -> None:
    (tmp_path / "study.journal").write_text(content)
    with pytest.raises(RunError, match=r"is not the storage of a search(.*\n)*.*fix: "):
        opened(wanted())
    assert (tmp_path / "study.journal").read_text() == content
    assert os.listdir(tmp_path) == ["study.journal"]


def test_a_study_of_someone_elses(wanted: Any, opened: Any, tmp_path: Path) -> None:
    line = {"op_code": 0, "worker_id": "w", "study_name": "mine", "directions": [1]}
    (tmp_path / "study.journal").write_text(json.dumps(line) + "\n")
    with pytest.raises(RunError, match=r"is not the storage of a search(.*\n)*.*a study called 'mine'"):
        opened(wanted())


def test_a_line_that_a_crash_cut_short_is_dropped(wanted: Any, opened: Any, tmp_path: Path) -> None:
    draw(opened(wanted()), wanted())
    shared = opened(wanted())
    for reopened in (False, True):
        with open(tmp_path / "study.journal", "a") as journal:
            journal.write('{"op_code": 4, "work')
        draw(opened(wanted()) if reopened else shared, wanted())
    assert [trial.state for trial in shared.trials] == [TrialState.COMPLETE] * 3


def test_a_locked_storage(wanted: Any, opened: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(opened(wanted()), wanted())
    lock = tmp_path / "study.journal.lock"
    lock.touch()
    monkeypatch.setattr(study, "PATIENCE", 0.02)
    with pytest.raises(RunError, match=r"storage is locked\n  expected: .*\n  received: .*lock.*\n  fix: "):
        opened(wanted())
    lock.unlink()
    assert len(opened(wanted()).trials) == 1
    assert not lock.exists()


def test_a_trial_whose_process_is_gone_is_closed(wanted: Any, opened: Any) -> None:
    shared = opened(wanted())
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for host, pid in ((platform.node(), gone.pid), (platform.node(), os.getppid()), ("elsewhere", gone.pid)):
        shared.ask(study.distributions(wanted().space)).set_user_attr("process", [host, pid])
    states = [trial.state for trial in opened(wanted()).trials]
    assert states == [TrialState.FAIL, TrialState.RUNNING, TrialState.RUNNING]


def test_pruners() -> None:
    made = [study.make_pruner(name, 5) for name in ("median", "halving", "none")]
    assert [type(pruner).__name__ for pruner in made] == [
        "MedianPruner",
        "SuccessiveHalvingPruner",
        "NopPruner",
    ]


def test_a_damaged_line_is_a_sentence(wanted: Any, opened: Any, tmp_path: Path) -> None:
    draw(opened(wanted()), wanted())
    path = tmp_path / "study.journal"
    lines = path.read_bytes().splitlines(keepends=True)
    for number in range(len(lines)):
        for damage in (b"[1]\n", b"\xff\n", b"[" * 5000 + b"\n", b"{}\n", b'{"op_code": 4}\n', b""):
            path.write_bytes(b"".join([*lines[:number], damage, *lines[number + 1 :]]))
            with suppress(RunError):
                list(search.trials(wanted(), opened(wanted()), count=1))
                assert damage in (b"", b'{"op_code": 4}\n')  # what is left is a whole search


def test_a_pipe_in_place_of_the_journal(wanted: Any, opened: Any, tmp_path: Path) -> None:
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "study.journal")
        with pytest.raises(RunError, match="a named pipe"):
            opened(wanted())
