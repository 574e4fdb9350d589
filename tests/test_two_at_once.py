"""Two commands started at the same moment: each pair ends well, or one is told; nothing is destroyed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from commands import call

from tinynet.callbacks.log import read_log
from tinynet.data import load
from tinynet.runs import recipe
from tinynet.runs.run import Run
from tinynet.runs.settings import Settings
from tinynet.training import Callback, EpochEnd, Trainer

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot fork")

ROUNDS = int(os.environ.get("TINYNET_TEST_ROUNDS", "1"))
"""How often each pair is started; more take longer than daily tests should."""
EPOCHS = 12
TINY = f"""
layers = [ {{ type = "Rescale" }}, {{ type = "Flatten" }}, {{ type = "Dense", units = 10 }} ]
[training]
epochs = {EPOCHS}
batch_size = 50
samples = 1000
validation = 0.2
"""
COMMON = ("--dataset", "sample", "--backend", "numpy", "--threads", "1")

Answer: TypeAlias = tuple[int, str]
Pair: TypeAlias = Callable[..., list[Answer]]
"""Runs several command lines at once; the exit code of each and what it said."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    (folder / "tiny.toml").write_text(TINY)
    return folder


@pytest.fixture(scope="module")
def at_once(home: Path) -> Iterator[Pair]:
    script = Path(__file__).with_name("together.py")
    helper = subprocess.Popen(
        [sys.executable, str(script)], cwd=home, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )

    def run(*commands: tuple[object, ...]) -> list[Answer]:
        assert helper.stdin is not None
        assert helper.stdout is not None
        print(json.dumps([list(map(str, command)) for command in commands]), file=helper.stdin, flush=True)
        return [(code, said) for code, said in json.loads(helper.stdout.readline())]

    yield run
    helper.communicate(timeout=30)


@pytest.fixture(scope="module")
def whole(home: Path) -> str:
    """The hash of the weights that a training ends with."""
    call("train", home / "tiny.toml", *COMMON, "--out", home / "whole")
    return weights(home / "whole")


def weights(folder: Path) -> str:
    digest: str = json.loads((folder / "report.json").read_text())["facts"]["weights_sha256"]
    return digest


def check_run(folder: Path, expected: str) -> None:
    """Each epoch was trained once, the weights are right, and every figure follows from the log."""
    assert weights(folder) == expected
    epochs = [line["epoch"] for line in read_log(folder / "log.jsonl") if line["event"] == "epoch"]
    assert epochs == list(range(1, EPOCHS + 1))
    assert "checks hold" in call("audit", folder)
    assert not (folder / ".lock").exists()


def check_refused(answers: list[Answer], *reasons: str) -> None:
    """At least one went well; the other did too, when it came after that, or was told why not."""
    assert any(code == 0 for code, _ in answers), answers
    for code, said in answers:
        assert code == 0 or (code == 1 and any(reason in said for reason in reasons)), answers


IN_USE = "another process is at work in"


def test_two_trainings_get_a_folder_each(at_once: Pair, home: Path, whole: str) -> None:
    for _ in range(ROUNDS):
        shutil.rmtree(home / "runs", ignore_errors=True)
        answers = at_once(*[("train", "tiny.toml", *COMMON)] * 2)
        assert [code for code, _ in answers] == [0, 0], answers
        for number in (1, 2):
            check_run(home / "runs" / f"tiny-{number}", whole)


def test_two_trainings_into_one_folder(at_once: Pair, home: Path, whole: str) -> None:
    for number in range(ROUNDS):
        answers = at_once(*[("train", "tiny.toml", *COMMON, "--out", f"same-{number}")] * 2)
        assert sorted(code for code, _ in answers) == [0, 1], answers
        check_refused(answers, IN_USE, "is not empty")
        check_run(home / f"same-{number}", whole)


class Crash(Callback):
    """Dies after an epoch, as a power cut would."""

    def on_epoch(self, trainer: Trainer, event: EpochEnd) -> None:
        if event.record["epoch"] == 4:
            raise SystemExit("crash")


@pytest.fixture
def unfinished(home: Path, tmp_path: Path) -> Path:
    """A run that was cut off in its fourth epoch."""
    data = load("sample")
    settings = Settings(
        name="tiny",
        recipe=recipe.load(str(home / "tiny.toml")),
        dataset="sample",
        data_dir=None,
        data_sha256=data.sha256,
        seed=0,
        backend="numpy",
        dtype="float32",
        command="tinynet train",
    )
    run = Run.start(tmp_path / "cut", settings, data)
    with run, pytest.raises(SystemExit):
        run.train([Crash()])
    return tmp_path / "cut"


def test_two_resume_one_run(at_once: Pair, home: Path, whole: str, unfinished: Path) -> None:
    for number in range(ROUNDS):
        folder = shutil.copytree(unfinished, home / f"cut-{number}")
        answers = at_once(*[("train", "--resume", folder)] * 2)
        check_refused(answers, IN_USE)
        check_run(folder, whole)


def test_one_trains_and_one_resumes(at_once: Pair, home: Path, whole: str) -> None:
    for number in range(ROUNDS):
        folder = home / f"new-{number}"
        answers = at_once(("train", "tiny.toml", *COMMON, "--out", folder), ("train", "--resume", folder))
        assert answers[0][0] == 0, answers
        check_refused(answers, IN_USE, "is not the folder of a run")
        check_run(folder, whole)


def test_two_cross_validations(at_once: Pair, home: Path) -> None:
    options = (*COMMON, "--folds", 2, "--epochs", EPOCHS)
    for number in range(ROUNDS):
        answers = at_once(*[("crossval", "tiny.toml", *options, "--out", f"folds-{number}")] * 2)
        check_refused(answers, IN_USE)
        report = json.loads((home / f"folds-{number}" / "report.json").read_text())
        assert report["all"]["samples"] == 4000
        for fold in (1, 2):
            assert "checks hold" in call("audit", home / f"folds-{number}" / f"fold-{fold}")
    shutil.rmtree(home / "runs", ignore_errors=True)
    answers = at_once(*[("crossval", "tiny.toml", *options)] * 2)
    assert [code for code, _ in answers] == [0, 0], answers
    assert all((home / "runs" / f"tiny-crossval-{n}" / "report.json").exists() for n in (1, 2))


def test_two_searches_share_the_work(at_once: Pair, home: Path) -> None:
    options = (*COMMON, "--epochs", 1, "--sampler", "random", "--pruner", "none", "--trials", 4)
    found: list[Any] = []
    for name in ("both", "again"):
        answers = at_once(*[("tune", "tiny.toml", *options, "--out", name)] * 2)
        assert [code for code, _ in answers] == [0, 0], answers
        trials = json.loads((home / name / "report.json").read_text())["trials"]
        assert 4 <= len(trials) <= 5
        found.append([trial["settings"] for trial in sorted(trials, key=lambda trial: trial["number"])][:4])
    assert found[0] == found[1]


def test_two_reproductions(at_once: Pair, home: Path) -> None:
    options = ("R1", *COMMON, "--seeds", 1, "--recipe", "ours", "--out", "R1")
    answers = at_once(*[("reproduce", *options)] * 2)
    assert all("MISSED" in said or IN_USE in said for _, said in answers), answers
    assert any("MISSED" in said for _, said in answers), answers
    assert "checks hold" in call("audit", home / "R1" / "linear-ours-0")


def test_two_write_one_evaluation(at_once: Pair, home: Path, whole: str) -> None:
    for number in range(ROUNDS):
        out = home / f"evaluation-{number}"
        answers = at_once(*[("evaluate", home / "whole", "--backend", "numpy", "--out", out)] * 2)
        assert [code for code, _ in answers] == [0, 0], answers
        assert json.loads((out / "evaluation.json").read_text())["samples"] == 1000
        assert not [path for path in out.iterdir() if path.name.startswith(".")]
