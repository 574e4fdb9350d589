"""What ends training between two steps: a signal, a callback's wish, and a second signal at once."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from nets import StopAt, blobs, mlp

from tinynet.callbacks.monitors import EarlyStopping
from tinynet.errors import ConfigError
from tinynet.training import Callback, Trainer


def test_stop_ends_after_the_step_under_way_and_callbacks_hear_the_end() -> None:
    heard: list[tuple[int, str | None]] = []

    class Listen(Callback):
        def on_end(self, trainer: Trainer) -> None:
            heard.append((trainer.state.step, trainer.state.stopped))

    Trainer(mlp(), blobs(50), batch_size=10).run([StopAt(7), Listen()])
    assert heard == [(7, "interrupted")]


PROGRAM = """
import sys, time
import numpy as np
from tinynet import Callback, Dense, Sequential, Trainer
from tinynet.interrupt import Interrupted

class Talk(Callback):
    def on_step(self, trainer, event):
        print("step", event.step, flush=True)
        time.sleep(0.01)
    def on_end(self, trainer):
        print("end", trainer.state.step, trainer.state.stopped, flush=True)
        time.sleep(float(sys.argv[1]))

model = Sequential([Dense(2)], (3,), backend="numpy")
data = np.ones((40, 3), np.float32), np.arange(40) % 2
try:
    Trainer(model, data, epochs=10**6, batch_size=10).run([Talk()])
except Interrupted:
    print("left in order", flush=True)
"""


def start(seconds_at_the_end: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM, str(seconds_at_the_end)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "step 1\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_training_in_order(number: signal.Signals) -> None:
    with start(0) as process:
        process.send_signal(number)
        assert process.stdout is not None
        assert process.stderr is not None
        out, err = process.stdout.read(), process.stderr.read()  # `communicate` misses what was read ahead
    assert process.returncode == 0, err
    *_, last_step, end, left = ["step 1", *out.splitlines()]
    assert end == f"end {last_step.removeprefix('step ')} interrupted"
    assert left == "left in order"


def test_a_second_interrupt_ends_at_once() -> None:
    process = start(60)
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    while not process.stdout.readline().startswith("end"):
        pass
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode != 0
    assert "KeyboardInterrupt" in err
    assert "left in order" not in out


def test_the_handlers_of_the_caller_come_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    Trainer(mlp(), blobs(), epochs=1).run()
    with pytest.raises(ConfigError):
        Trainer(mlp(), blobs(), epochs=1).run([EarlyStopping()])
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
