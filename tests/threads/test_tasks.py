"""Calls at the same time: nested ones finish, and an error reaches the caller."""

from __future__ import annotations

import threading
import time

import pytest

from tinynet import threads


def test_calls_run_at_the_same_time() -> None:
    barrier = threading.Barrier(3, timeout=10)
    with threads.limit(3):
        threads.together([barrier.wait] * 3)


def test_nested_calls_finish() -> None:
    done = []

    def inner() -> None:
        time.sleep(0.001)
        done.append(1)

    def outer() -> None:
        threads.together([inner] * 5)

    with threads.limit(3):
        threads.together([outer] * 7)
    assert len(done) == 35


@pytest.mark.parametrize("size", [1, 2])
def test_an_error_in_a_call_reaches_the_caller(size: int) -> None:
    def fail() -> None:
        raise ValueError("broken part")

    with threads.limit(size), pytest.raises(ValueError, match="broken part"):
        threads.together([lambda: time.sleep(0.01), fail])
