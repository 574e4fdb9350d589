"""tinynet learn: the list, the notebook to work in, and every mistake that a student's file can hold."""

from __future__ import annotations

import json
import time
from pathlib import Path

import made_up_rung
import pytest
from commands import Command
from made_up_rung import RIGHT

from tinynet.cli import learn
from tinynet.cli.screen import console
from tinynet.errors import ConfigError
from tinynet.learn import ladder, progress

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = [rung for rung in ladder.RUNGS if (ROOT / "examples" / rung.notebook).exists()]


@pytest.fixture(autouse=True)
def rung(monkeypatch: pytest.MonkeyPatch) -> None:
    made_up_rung.install(monkeypatch)


def written(folder: Path, text: str, name: str = "mine.py") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def notebook(folder: Path, *cells: str) -> Path:
    made = {"cells": [{"cell_type": "code", "source": cell.splitlines(keepends=True)} for cell in cells]}
    return written(folder, json.dumps(made), "mine.ipynb")


def answers(tinynet: Command, path: Path, *options: object, code: int = 1) -> str:
    """What `learn check 00.double` says of the file."""
    return tinynet("learn", "check", "00.double", path, *options, code=code)


# --- list and start -----------------------------------------------------------------------------------------
def test_the_list_shows_rungs_exercises_and_progress_in_words(tinynet: Command) -> None:
    said = tinynet("learn")
    assert "Look at the data" in said
    assert "│ Look at the data │ │ double, row_sums │" in said
    assert "0 of 2 exercises right go on: tinynet learn start 00" in said
    progress.record("00.double")
    said = tinynet("learn")
    assert "│ Look at the data │ double │ row_sums │" in said
    assert "1 of 2 exercises right" in said
    progress.record("00.row_sums")
    assert tinynet("learn").endswith("2 of 2 exercises right")


def test_the_list_breaks_no_name_on_80_columns(tinynet: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ladder, "RUNGS", NOTEBOOKS)
    monkeypatch.setattr(console, "width", 80)
    exercises = [each for rung in NOTEBOOKS for each in rung.exercises()]
    for start in (0, 1):
        said = tinynet("learn")
        assert [each.function for each in exercises if each.function not in said] == []
        progress.record(*(each.name for each in exercises[start::2]))


@pytest.mark.filterwarnings("always::tinynet.errors.TinynetWarning")
def test_a_damaged_progress_file_gets_a_sentence_and_the_list_is_shown(tinynet: Command) -> None:
    progress.folder().mkdir(parents=True)
    (progress.folder() / progress.NAME).write_bytes(b"\xff\x00")
    said = tinynet("learn")
    assert "Warning: " in said
    assert "progress.json cannot be read" in said
    assert "0 of 2 exercises right" in said


@pytest.mark.skipif(not NOTEBOOKS, reason="no rung has its notebook yet")
def test_a_notebook_is_copied_and_never_overwritten(
    tinynet: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ladder, "RUNGS", NOTEBOOKS)
    number, name = f"{NOTEBOOKS[0].number:02}", NOTEBOOKS[0].notebook
    said = tinynet("learn", "start", number, "--out", tmp_path / "my work")
    target = tmp_path / "my work" / name
    assert target.read_bytes() == (ROOT / "examples" / name).read_bytes()
    assert "open it: in an editor that runs notebooks" in said
    assert f"grade it: tinynet learn check {number} '{target}'" in said
    assert "missing" not in said
    target.write_text("my answers")
    said = tinynet("learn", "start", number, "--out", tmp_path / "my work", code=1)
    assert "is there already, and stays as it is" in said
    assert target.read_text() == "my answers"


@pytest.mark.skipif(not NOTEBOOKS, reason="no rung has its notebook yet")
def test_a_missing_extra_is_named(tinynet: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ladder, "RUNGS", NOTEBOOKS)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    said = tinynet("learn", "start", f"{NOTEBOOKS[0].number:02}", "--out", tmp_path)
    assert "missing: what runs its cells, the extra `notebooks`: pip install" in said


def test_a_notebook_that_the_installation_lacks(tinynet: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ladder, "RUNGS", (ladder.Rung(0, "None", "00-none.ipynb"),))
    said = tinynet("learn", "start", "0", code=1)
    assert "the notebook of rung 00 is missing from this installation" in said
    assert "--force-reinstall" in said


@pytest.mark.parametrize("command", ["start", "check"])
def test_a_rung_that_does_not_exist(tinynet: Command, command: str) -> None:
    said = tinynet("learn", command, "42", code=1)
    assert "there is no rung '42' expected: a number from 00 to 00" in said
    for almost in ("look at data", "Look"):
        said = tinynet("learn", command, almost, code=1)
        assert "fix: did you mean 00, Look at the data?" in said
    assert "did you mean" not in tinynet("learn", command, "", code=1)


def test_an_exercise_that_does_not_exist(tinynet: Command, tmp_path: Path) -> None:
    said = tinynet("learn", "check", "0.duble", written(tmp_path, ""), code=1)
    assert "there is no exercise '0.duble' expected: 00.double, 00.row_sums" in said
    assert "fix: did you mean 00.double?" in said


# --- grading ------------------------------------------------------------------------------------------------
def test_right_answers_are_kept(tinynet: Command, tmp_path: Path) -> None:
    path = written(tmp_path, "\n".join(RIGHT.values()))
    assert tinynet("learn", "check", "0", path) == "00.double: right 00.row_sums: right 2 of 2 right"
    assert progress.right().keys() == {"00.double", "00.row_sums"}


def test_one_wrong_answer_ends_in_an_error_code_and_the_right_one_is_kept(
    tinynet: Command, tmp_path: Path
) -> None:
    path = notebook(tmp_path, RIGHT["double"], "def row_sums(x):\n    raise NotImplementedError")
    said = tinynet("learn", "check", "00", path, code=1)
    assert "00.double: right" in said
    assert "00.row_sums: not written yet. Return the sums" in said
    assert "1 of 2 right" in said
    assert progress.right().keys() == {"00.double"}


def test_without_a_file_it_is_the_rungs_notebook_here(
    tinynet: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    notebook(tmp_path, RIGHT["double"]).rename(ladder.RUNGS[0].notebook)
    assert "00.double: right" in tinynet("learn", "check", "00.double")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def double(x):\n    2 * x", "nothing expected: an array (2, 3) likely slip: a missing `return`"),
        ("def double(x):\n    return x.T * 2", "has the wrong shape expected: (2, 3) received: (3, 2)"),
        ("def double(x):\n    return (2 * x).astype('float32')", "element type expected: float64"),
        ("def double(x):\n    return x / 0 * 0", "is not finite expected: a number received: nan"),
        ("def double(x):\n    x *= 2\n    return x", "argument 1 was changed by your function"),
        ("def double(x):\n    return x * x", "likely slip: x squared"),
        ("def double(x):\n    n = 4\n    return x[n]", "IndexError: index 4 is out of bounds"),
        ("def double(x):\n    return x + 'a'", "in line 2 of mine.py: return x + 'a'"),
        (
            "def double(x):\n    return twice(x)",
            "NameError: name 'twice' is not defined in line 2 of mine",
        ),
        ("def double():\n    return 1", "TypeError: double() takes 0 positional arguments but 1 was given"),
        ("def double(x):\n    return double(x)", "RecursionError: maximum recursion depth exceeded"),
        ("def double(x):\n    exit('bye')", "SystemExit: bye in line 2 of mine.py: exit('bye')"),
        (
            "import os\ndef double(x):\n    print('here')\n    os._exit(7)",
            "here 00.double: Python ended while your function ran (exit code 7)",
        ),
        ("def double(x):\n    input()", "EOFError"),
        ("def double(x):\n    raise KeyboardInterrupt", "KeyboardInterrupt was raised"),
        (
            "class E(Exception):\n    def __str__(self): return 1 / 0\ndef double(x):\n    raise E",
            "E: its text cannot be had in line 4 of mine.py: raise E",
        ),
        ("double = 3", "this is no function expected: check(name, function) received: int"),
        ("n = 1 / 0\ndef double(x):\n    return n * x", "ZeroDivisionError: division by zero in line 1"),
        ("def duble(x):\n    return 2 * x", "likely slip: did you mean 'duble'?"),
        ("def double(x):\n    return 2 *", "a syntax error: invalid syntax in line 2 of mine.py: return 2 *"),
        ("\x00", "mine.py is not Python"),
        ("(" * 5000, "a syntax error: too many nested parentheses"),
    ],
    ids=range(22),
)
def test_a_wrong_answer_gets_a_sentence_that_teaches(
    tinynet: Command, tmp_path: Path, text: str, says: str
) -> None:
    progress.record("00.row_sums")
    said = answers(tinynet, written(tmp_path, text))
    assert says in said
    assert "Traceback" not in said
    assert said.endswith("0 of 1 right")
    assert progress.right().keys() == {"00.row_sums"}


def test_what_never_ends_is_stopped_at_its_line(tinynet: Command, tmp_path: Path) -> None:
    endless = (
        "def double(x):\n    while x.size:\n        try:\n            pass\n        except Exception: 0\n"
    )
    said = answers(tinynet, written(tmp_path, endless), "--seconds", "0.5")
    assert "it did not end within 0.5 seconds likely slip: a loop whose condition stays true" in said
    assert "of mine.py: " in said


def test_of_much_that_is_printed_the_beginning_is_shown(tinynet: Command, tmp_path: Path) -> None:
    said = answers(tinynet, written(tmp_path, "def double(x):\n    print('y' * 1_000_000)\n    return x"))
    assert "… and more that is printed, left out" in said
    assert said.count("y") < 30_000


def test_what_a_function_starts_ends_with_it(tinynet: Command, tmp_path: Path) -> None:
    late = tmp_path / "late"
    forks = (
        "import os, time\ndef double(x):\n    if os.fork() == 0:\n"
        f"        time.sleep(2); open({str(late)!r}, 'w')\n        os._exit(0)\n    while True: pass\n"
    )
    answers(tinynet, written(tmp_path, forks), "--seconds", "0.5")
    time.sleep(2)
    assert not late.exists()


def test_what_does_not_hear_its_own_clock_is_ended(
    tinynet: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tinynet.learn.trial.START", 8.0)
    deaf = (
        "def double(x):\n"
        "    while True:\n"
        "        try:\n            while True: pass\n"
        "        except BaseException: pass\n"
    )
    said = answers(tinynet, written(tmp_path, deaf), "--seconds", "0.5")
    assert "it did not end within 0.5 seconds" in said


@pytest.mark.parametrize(
    "name", ["missing.py", "folder", "mine.ipynb", "binary.py", "list.ipynb", "odd.ipynb"]
)
def test_a_file_that_cannot_be_read(tinynet: Command, tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "mine.ipynb").write_text("{'no': json}")
    (tmp_path / "list.ipynb").write_text("[1, 2]")
    (tmp_path / "odd.ipynb").write_text('{"cells": [{"cell_type": "code", "source": [1]}]}')
    (tmp_path / "binary.py").write_bytes(b"\x89PNG\xff\xfe")
    said = answers(tinynet, tmp_path / name)
    assert said.startswith(f"Error: {tmp_path / name} cannot be read expected: a notebook (.ipynb) or a")
    assert "received: " in said


def test_copy_leaves_a_link_alone(tmp_path: Path) -> None:
    """A link to nowhere is something that is there."""
    (tmp_path / "link.ipynb").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ConfigError):
        learn.copy(ladder.RUNGS[0], tmp_path / "link.ipynb")
    assert not (tmp_path / "nowhere").exists()


def test_a_rung_without_a_word_of_what_to_do(tinynet: Command) -> None:
    assert "fix: tinynet learn start 13" in tinynet("learn", "13", code=2)
