"""learn.verdict, and `check` as a notebook calls it: whatever the student's function does."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import made_up_rung
import numpy as np
import pytest

from tinynet.errors import ShapeError
from tinynet.learn import check, progress, verdict
from tinynet.learn.verdict import TooLong, judge, time_limit

Say = Callable[[Callable[..., Any]], str]
DOUBLE = made_up_rung.EXERCISES[0]
posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGALRM")


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """What `check` prints of an answer to 00.double."""
    made_up_rung.install(monkeypatch)
    monkeypatch.setattr(verdict, "OTHERS", (*verdict.OTHERS, made_up_rung.__file__))  # ours

    def ask(function: Any) -> str:
        check("00.double", function)
        return capsys.readouterr().out

    return ask


def double(x: Any) -> Any:
    return 2 * x


def double_solution(x: Any) -> Any:
    return 2 * x


def not_begun(x: Any) -> Any:
    raise NotImplementedError


def index_error(x: Any) -> Any:
    return x[x.shape[0]]


def deep_inside(x: Any) -> Any:
    return np.concatenate([x, x[0]])


def shape_error(x: Any) -> Any:
    raise ShapeError("no such shape", expected=3, received=4)


def long_message(x: Any) -> Any:
    raise ValueError("a\x1b" * 1000)


def test_a_right_answer_counts_and_a_solution_that_was_run_does_not(says: Say) -> None:
    assert says(double_solution) == "00.double: right\n"
    assert progress.right() == {}
    assert says(double) == "00.double: right\n"
    assert progress.right().keys() == {"00.double"}


def test_a_starter_is_not_written_yet(says: Say) -> None:
    assert says(not_begun) == "00.double: not written yet. Return 2 x for x (N, I).\n"


def test_an_exception_is_named_with_the_students_own_line(says: Say) -> None:
    first, line = says(index_error).splitlines()
    assert first == "00.double: IndexError: index 2 is out of bounds for axis 0 with size 2"
    assert line.startswith("  in line ")
    assert line.endswith(" of test_verdict.py: return x[x.shape[0]]")


def test_the_line_is_the_students_where_a_library_raised(says: Say) -> None:
    assert says(deep_inside).endswith(" of test_verdict.py: return np.concatenate([x, x[0]])\n")


def test_a_call_that_does_not_fit_has_no_line(says: Say) -> None:
    [line] = says(lambda: 1).splitlines()
    assert "TypeError: " in line
    assert "takes 0 positional arguments but 1 was given" in line


def test_shapes_that_do_not_go_together_have_a_hint(says: Say) -> None:
    assert "keepdims=True" in says(lambda x: np.ones((3, 4)) - np.ones((3, 4)).sum(axis=1))


def test_an_error_of_the_engines_is_shown_whole(says: Say) -> None:
    assert says(shape_error).startswith("00.double: no such shape\n  expected: 3\n  received: 4\n  in line ")


def test_a_message_is_cut_short_and_harmless(says: Say) -> None:
    first = says(long_message).splitlines()[0]
    assert len(first) < 350
    assert "\x1b" not in first


def test_what_is_no_function(says: Say) -> None:
    assert "this is no function\n  expected: check(name, function)\n  received: float" in says(3.0)  # type: ignore[arg-type]


def test_ctrl_c_is_the_users(says: Say) -> None:
    def interrupted(x: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        says(interrupted)


def endless(x: Any) -> Any:
    while True:
        try:
            time.sleep(0.01)
        except Exception:
            raise


@posix
def test_what_never_ends_is_stopped_and_the_clock_is_put_back() -> None:
    before = signal.getsignal(signal.SIGALRM)
    why = judge(DOUBLE, lambda: endless, seconds=0.2).why
    assert why.startswith("it did not end within 0.2 seconds\n  likely slip: a loop whose condition")
    assert " of test_verdict.py: " in why
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0.0


@posix
def test_the_limit_is_for_the_block_alone() -> None:
    with time_limit(0.05):
        pass
    time.sleep(0.1)
    with pytest.raises(TooLong), time_limit(0.05):
        time.sleep(5)


def test_off_the_main_thread_there_is_no_limit() -> None:
    found = []
    thread = threading.Thread(target=lambda: found.append(judge(DOUBLE, lambda: double, seconds=0.001)))
    thread.start()
    thread.join()
    assert [each.is_right for each in found] == [True]


@pytest.mark.parametrize(
    ("slip", "hint"),
    [
        (lambda x: x @ np.ones((x.size, x.size)) @ np.ones((x.size + 1, 2)), r"a\.T turns a matrix over"),
        (lambda x: x if x > 0 else 0, "np.where decides for each"),
        (lambda x: np.ones((3, 4)) / np.ones(3), "keepdims=True"),
    ],
)
def test_what_numpy_says_gets_a_hint(says: Say, slip: Callable[..., Any], hint: str) -> None:
    assert re.search(hint, says(slip))
