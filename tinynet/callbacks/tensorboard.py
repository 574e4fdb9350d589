"""A run's figures as TensorBoard reads them. The writer, tensorboardX, is an extra, imported when needed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tinynet import extras
from tinynet.checks import whole
from tinynet.training import Callback, EpochEnd, StepEnd, Trainer


class TensorBoardLog(Callback):
    """Scalars in event files in `folder`: `step/…` every so many steps, `epoch/…` at the end of each epoch.

    All stand at the number of steps done by then. After a resume TensorBoard is told to forget the points of
    work that is done again. (Had the run ended between an epoch's last step and the figures of that epoch, it
    forgets both, and the step's are lost.) In the list of callbacks it comes before LastCheckpoint, so that
    whatever a checkpoint has done is in the files.
    """

    def __init__(self, folder: str | Path, every_steps: int = 50) -> None:
        extras.load("tensorboard")
        self.folder = Path(folder)
        self.every_steps = whole(every_steps, "TensorBoardLog", "every_steps", least=1)

    def on_start(self, trainer: Trainer) -> None:
        # Not SummaryWriter: it hands events to a thread, and its flush does not wait for those under way.
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import SessionLog

        self.folder.mkdir(parents=True, exist_ok=True)
        before = len(list(self.folder.iterdir()))
        self._writer = EventsWriter(str(self.folder / "events"), f".{before}")  # one name for each start
        state = trainer.state
        is_epoch_due = state.batch == len(trainer.train)
        redone = state.step if is_epoch_due else state.step + 1
        self._write(redone, session_log=SessionLog(status=SessionLog.START))

    def steps_to_look(self, trainer: Trainer) -> float:
        return self.every_steps - trainer.state.step % self.every_steps

    def on_step(self, trainer: Trainer, event: StepEnd) -> None:
        if event.step % self.every_steps == 0:
            figures = {"loss": float(event.loss), "learning_rate": event.learning_rate}
            self._write_scalars("step", figures, event.step)

    def on_epoch(self, trainer: Trainer, event: EpochEnd) -> None:
        figures = {name: value for name, value in event.record.items() if name not in ("epoch", "step")}
        self._write_scalars("epoch", figures, event.record["step"])

    def on_end(self, trainer: Trainer) -> None:
        self.close()

    def close(self) -> None:
        """Write what is left, and close the file."""
        self._writer.close()

    def _write_scalars(self, group: str, figures: dict[str, float], step: int) -> None:
        from tensorboardX.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=f"{group}/{name}", simple_value=x) for name, x in figures.items()]
        self._write(step, summary=Summary(value=values))

    def _write(self, step: int, **what: Any) -> None:
        from tensorboardX.proto.event_pb2 import Event

        self._writer.write_event(Event(wall_time=time.time(), step=step, **what))
        self._writer.flush()
