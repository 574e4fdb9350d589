"""JsonLog: its lines, and which of them a resume drops."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from nets import blobs, mlp

from tinynet.callbacks.log import JsonLog, parse_log, read_log
from tinynet.errors import RunError, TinynetWarning
from tinynet.training import Trainer


def test_the_log_has_a_start_steps_epochs_and_an_end(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    trainer = Trainer(mlp(), blobs(50), epochs=2, batch_size=10)
    trainer.run([JsonLog(path, {"seed": 7}, every_steps=3)])
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["event"], line["step"]) for line in lines] == [
        *[("start", 0), ("step", 3), ("epoch", 5), ("step", 6), ("step", 9), ("epoch", 10), ("end", 10)]
    ]
    assert lines[0]["seed"] == 7
    assert lines[1]["learning_rate"] == pytest.approx(1e-3)
    assert math.isfinite(lines[1]["loss"])
    epochs = [line for line in lines if line["event"] == "epoch"]
    assert epochs == [{"event": "epoch", **record} for record in trainer.state.history]
    assert lines[-1]["stopped"] is None
    assert read_log(path) == lines


def test_a_resume_drops_the_lines_of_work_to_be_done_again(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    done = [
        {"event": "start", "step": 0},
        {"event": "step", "step": 4},
        {"event": "epoch", "epoch": 1, "step": 5},
        {"event": "step", "step": 8},
    ]
    again = [
        {"event": "step", "step": 9},
        {"event": "epoch", "epoch": 2, "step": 10},
        {"event": "start", "step": 9},
        {"event": "end", "step": 12},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in [*done, *again]) + '{"event": "ste')
    trainer = Trainer(mlp(), blobs())
    trainer.state.step, trainer.state.epoch = 8, 1
    JsonLog(path, {"resumed": True}).on_start(trainer)
    assert read_log(path) == [*done, {"event": "start", "step": 8, "resumed": True}]


def test_a_line_cut_short_by_a_kill_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    assert read_log(path) == []
    path.write_text('{"event": "start", "step": 0}\n{"event": "step", "st')
    assert read_log(path) == [{"event": "start", "step": 0}]


DAMAGED = {
    "no JSON": b"not json",
    "no table": b"[1]",
    "deep": b"[" * 5000,
    "no event": b'{"step": 1}',
    "an unknown event": b'{"event": ["epoch"], "step": 1}',
    "no step": b'{"event": "step", "step": "one"}',
    "no epoch": b'{"event": "epoch", "step": 5}',
    "no figure": b'{"event": "epoch", "step": 5, "epoch": 1, "loss": "low"}',
    "no UTF-8": b'{"event": "end", "step": 1, "stopped": "\xff"}',
    "a long number": b'{"event": "step", "step": ' + b"1" * 5000 + b"}",
    "zeros": bytes(100),
}


@pytest.mark.parametrize("line", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_line_is_dropped_and_its_number_said(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"event": "start", "step": 0}\n' + line + b'\n{"event": "end", "step": 5}\n')
    assert parse_log(path) == ([{"event": "start", "step": 0}, {"event": "end", "step": 5}], [2])


def test_a_resume_takes_lost_epochs_from_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    trainer = Trainer(mlp(), blobs(50), epochs=2, batch_size=10)
    trainer.run([JsonLog(path, every_steps=3)])
    whole = read_log(path)
    lines = path.read_text().splitlines()
    lines[2] = lines[2][:9]
    path.write_text("\n".join(lines) + "\n")
    with pytest.warns(TinynetWarning, match=r"log.jsonl: line 3 is damaged, and dropped"):
        JsonLog(path).on_start(trainer)
    assert read_log(path) == [*whole, {"event": "start", "step": 10}]

    path.unlink()
    JsonLog(path).on_start(trainer)
    epochs = [line for line in whole if line["event"] == "epoch"]
    assert read_log(path) == [*epochs, {"event": "start", "step": 10}]


def test_a_log_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").mkdir()
    with pytest.raises(RunError, match=r"cannot be read(.|\n)*directory"):
        read_log(tmp_path / "log.jsonl")
