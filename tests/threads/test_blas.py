"""BLAS keeps to our limit, in a script to TINYNET_THREADS, and no caller's threads disturb another's."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np
from threadpoolctl import threadpool_info

from tinynet import threads
from tinynet.backends.numba_ import NumbaBackend
from tinynet.geometry import Window


def blas_threads() -> list[int]:
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


def test_limit_holds_for_our_pool_and_blas_and_ends_with_its_block() -> None:
    before, blas_before = threads.size(), blas_threads()
    with threads.limit(1):
        assert threads.size() == 1
        assert set(blas_threads()) <= {1}
    assert (threads.size(), blas_threads()) == (before, blas_before)


def test_callers_in_several_threads_do_not_disturb_each_other() -> None:
    x = np.random.default_rng(0).standard_normal((64, 20, 20, 8), dtype=np.float32)
    W, b = np.random.default_rng(1).standard_normal((3, 3, 8, 8), dtype=np.float32), np.ones(8, np.float32)
    window = Window((3, 3))
    expected = NumbaBackend().conv2d(x, W, b, window)[0]
    results: list[bool] = []

    def run() -> None:
        ops = NumbaBackend()
        results.extend(np.array_equal(ops.conv2d(x, W, b, window)[0], expected) for _ in range(5))

    with threads.limit(2):
        before = blas_threads()
        callers = [threading.Thread(target=run) for _ in range(4)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(60)
        assert blas_threads() == before
    assert results == [True] * 20


PROGRAM = """
import hashlib, sys
import numpy as np
import tinynet
from tinynet import backends
ops = backends.get("numpy")
print("threadpoolctl" in sys.modules)
a = np.random.default_rng(0).normal(size=(400, 3000)).astype(np.float32)
print(hashlib.sha256(ops.dense(a, a.T.copy(), np.zeros(400, np.float32)).tobytes()).hexdigest())
from threadpoolctl import threadpool_info
print({each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"})
"""


def _run(**variables: str) -> list[str]:
    environment = {name: text for name, text in os.environ.items() if name != "TINYNET_THREADS"}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, env=environment | variables, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_the_variable_limits_blas() -> None:
    assert _run(TINYNET_THREADS="1")[2] == "{1}"


def test_without_it_nothing_is_loaded_to_limit_blas() -> None:
    assert _run()[0] == "False"


def test_bits_are_those_of_one_thread_of_blas() -> None:
    assert _run(TINYNET_THREADS="1")[1] == _run(OPENBLAS_NUM_THREADS="1")[1]
