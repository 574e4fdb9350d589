"""tinynet.learn: the rungs, and the grading of what a student wrote."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from tinynet.errors import ConfigError
from tinynet.gradcheck.slips import likely_slip
from tinynet.learn import ladder
from tinynet.learn.exercise import Wrong
from tinynet.learn.grading import agree, answer, answers

X = np.arange(6.0).reshape(2, 3) + 1.0


def test_an_exercise_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"there is no exercise '99\.x'"):
        ladder.exercise("99.x")


def test_an_answer_is_checked_before_its_numbers_are() -> None:
    np.testing.assert_array_equal(answer(lambda x: x + 1.0, X, shape=(2, 3)), X + 1.0)
    with pytest.raises(Wrong, match="missing `return`"):
        answer(lambda x: None, X, shape=(2, 3))
    with pytest.raises(Wrong, match=r"received: list\n.*np\.array makes"):
        answer(lambda x: x.tolist(), X, shape=(2, 3))
    with pytest.raises(Wrong, match="likely slip: transposed"):
        answer(lambda x: x.T, X, shape=(2, 3))
    with pytest.raises(Wrong, match="received: float32"):
        answer(lambda x: x.astype("float32"), X, shape=(2, 3))
    with pytest.raises(Wrong, match="received: nan at"):
        answer(lambda x: x * np.nan, X, shape=(2, 3))
    with pytest.raises(Wrong, match="argument 1 was changed"):
        answer(lambda x: np.add(x, 1.0, out=x), X, shape=(2, 3))


def test_several_arrays_are_checked_by_name() -> None:
    shapes = {"dx": (2, 3), "db": (3,)}
    dx, db = answers(lambda x: (x, x.sum(axis=0)), X, shapes=shapes)
    np.testing.assert_array_equal(dx, X)
    np.testing.assert_array_equal(db, X.sum(axis=0))
    with pytest.raises(Wrong, match="missing `return`"):
        answers(lambda x: None, X, shapes=shapes)
    with pytest.raises(Wrong, match="received: one ndarray"):
        answers(lambda x: x, X, shapes=shapes)
    with pytest.raises(Wrong, match=r"received: 3 values\n.*`return dx, db`"):
        answers(lambda x: (x, x, x), X, shapes=shapes)
    with pytest.raises(Wrong, match=r"db has the wrong shape\n.*\n.*\n.*a missing sum"):
        answers(lambda x: (x, x), X, shapes=shapes)
    with pytest.raises(Wrong, match="argument 1 was changed"):
        answers(lambda x: (np.add(x, 1.0, out=x), x[0]), X, shapes=shapes)


def test_a_wrong_answer_gets_the_hint_of_the_slip_that_gives_it() -> None:
    with pytest.raises(Wrong, match="likely slip: forgot the batch"):
        agree(X[:1], X[:1] * 2.0 + X[1:], "dx", {"forgot the batch": X[:1]})
    with pytest.raises(Wrong, match="likely slip: the sign"):
        agree(-X, X, "dx")


def test_a_wrong_number_has_no_place() -> None:
    with pytest.raises(Wrong, match="the loss is wrong\n  expected: 2\n"):
        agree(np.array(3.0), np.array(2.0), "the loss")


def test_a_slip_is_guessed_from_the_pattern() -> None:
    square = np.arange(9.0).reshape(3, 3)
    assert likely_slip(square.T, square) == "transposed"
    assert likely_slip(X / 2.0, X) == "a factor: everything is 0.5 times what it should be"
    assert likely_slip(X + 1.0, X) is None


def test_the_course_computes_products_on_one_thread() -> None:
    program = (
        "import tinynet.learn; from threadpoolctl import threadpool_info as info;"
        "print({each['num_threads'] for each in info() if each['user_api'] == 'blas'})"
    )
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "2"}
    ran = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)
    assert ran.stdout.decode().strip() in ("{1}", "set()")
