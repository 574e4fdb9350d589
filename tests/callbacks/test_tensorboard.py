"""The log for TensorBoard, read back record by record."""

from __future__ import annotations

import re
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinynet as tn
from tinynet import extras
from tinynet.callbacks.checkpoints import LastCheckpoint
from tinynet.callbacks.log import JsonLog, read_log
from tinynet.callbacks.tensorboard import TensorBoardLog
from tinynet.checkpoint import load_training
from tinynet.errors import ConfigError
from tinynet.training import Callback

Point = tuple[str, int]
"""A tag and the steps done."""


def trainer() -> tn.Trainer:
    x = np.random.default_rng(0).normal(size=(70, 6)).astype("float32")
    labels = (x.sum(axis=1) > 0).astype(int)
    model = tn.Sequential([tn.Dense(2)], (6,), backend="numpy")
    schedule = tn.Cosine()
    return tn.Trainer(
        model, (x, labels), validation=(x, labels), schedule=schedule, epochs=3, batch_size=16
    )  # 5 steps an epoch


def records(path: Path) -> list[bytes]:
    """The records of an event file: length, its checksum, the bytes, theirs."""
    data, found = path.read_bytes(), []
    while data:
        (size,) = struct.unpack("<Q", data[:8])
        found.append(data[12 : 12 + size])
        data = data[16 + size :]
    return found


def points(folder: Path) -> dict[Point, float]:
    """What TensorBoard would show; a point that is there twice is an error."""
    from tensorboardX.proto.event_pb2 import Event, SessionLog

    shown: dict[Point, float] = {}
    for path in sorted(folder.iterdir()):
        for record in records(path):
            event = Event.FromString(record)
            if event.session_log.status == SessionLog.START:  # a resume: later points are forgotten
                shown = {point: value for point, value in shown.items() if point[1] < event.step}
            for value in event.summary.value:
                point = (value.tag, event.step)
                assert point not in shown
                shown[point] = value.simple_value
    return shown


def logged(path: Path) -> dict[Point, float]:
    """The same figures, out of the JSON log."""
    return {
        (f"{line['event']}/{name}", line["step"]): value
        for line in read_log(path)
        if line["event"] in ("step", "epoch")
        for name, value in line.items()
        if name not in ("event", "epoch", "step")
    }


def listeners(folder: Path, *others: Callback) -> list[Any]:
    logs = [JsonLog(folder / "log", {}, every_steps=2), TensorBoardLog(folder / "events", every_steps=2)]
    return [*logs, *others, LastCheckpoint(folder / "last", [], {}, seconds=0)]


class Crash(Callback):
    """Dies after so many steps, or in an epoch's end, as a power cut would."""

    def __init__(self, step: int, in_epoch: bool = False) -> None:
        self.step, self.in_epoch = step, in_epoch

    def on_step(self, trainer: tn.Trainer, event: Any) -> None:
        if event.step == self.step and not self.in_epoch:
            raise SystemExit("crash")

    def on_epoch(self, trainer: tn.Trainer, event: Any) -> None:
        if trainer.state.step == self.step and self.in_epoch:
            raise SystemExit("crash")


def test_it_holds_the_figures_of_the_log(tmp_path: Path) -> None:
    trainer().run(listeners(tmp_path))
    found, expected = points(tmp_path / "events"), logged(tmp_path / "log")
    assert found.keys() == expected.keys()
    assert {("step/loss", 14), ("step/learning_rate", 14), ("epoch/val_accuracy", 15)} <= found.keys()
    for point, value in expected.items():
        assert found[point] == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize(
    "crash", [Crash(1), Crash(4), Crash(7), Crash(10), Crash(10, in_epoch=True), Crash(15, in_epoch=True)]
)
def test_a_resumed_run_goes_on_without_doubles(crash: Crash, tmp_path: Path) -> None:
    cut = listeners(tmp_path, crash)
    with pytest.raises(SystemExit):
        trainer().run(cut)  # it dies before the checkpoint of this step
    cut[1].close()  # as the end of its process would
    resumed = trainer()
    if (tmp_path / "last").exists():
        load_training(tmp_path / "last", resumed, [])
    resumed.run(listeners(tmp_path))
    found, expected = points(tmp_path / "events"), logged(tmp_path / "log")
    lost = {"step/loss", "step/learning_rate"} if crash.in_epoch else set()
    assert found.keys() == {point for point in expected if point[0] not in lost or point[1] != crash.step}
    for point, value in expected.items():
        if point in found and not point[0].endswith("seconds"):
            assert found[point] == pytest.approx(value, rel=1e-6)
    assert len(list((tmp_path / "events").iterdir())) == 2


def test_without_the_writer_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(
        ConfigError, match=rf"needs tensorboardX\n(.*\n)*  fix: {re.escape(extras.install('tensorboard'))}"
    ):
        TensorBoardLog(tmp_path / "events")
    assert not (tmp_path / "events").exists()
