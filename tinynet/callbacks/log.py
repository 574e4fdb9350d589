"""The log of a training, one JSON object a line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tinynet.io.atomic import write_atomic
from tinynet.training import Callback, EpochEnd, StepEnd, Trainer


class JsonLog(Callback):
    """One JSON object a line: a `start`, every epoch's record, every so many steps, an `end`.

    After a resume the lines of work that is about to be done again are dropped first.
    """

    def __init__(self, path: str | Path, start: dict[str, Any] | None = None, every_steps: int = 50) -> None:
        self.path, self.start, self.every_steps = Path(path), start or {}, every_steps

    def on_start(self, trainer: Trainer) -> None:
        state = trainer.state
        kept = [
            line
            for line in read_log(self.path)
            if (line["event"] == "step" and line["step"] <= state.step)
            or (line["event"] == "epoch" and line["epoch"] <= state.epoch)
            or (line["event"] in ("start", "end") and line["step"] <= state.step)
        ]
        kept.append({"event": "start", "step": state.step, **self.start})
        write_atomic(self.path, "".join(json.dumps(line) + "\n" for line in kept).encode())

    def on_step(self, trainer: Trainer, event: StepEnd) -> None:
        if event.step % self.every_steps == 0:
            line = {
                "event": "step",
                "step": event.step,
                "loss": float(event.loss),
                "learning_rate": event.learning_rate,
            }
            self._append(line)

    def on_epoch(self, trainer: Trainer, event: EpochEnd) -> None:
        self._append({"event": "epoch", **event.record})

    def on_end(self, trainer: Trainer) -> None:
        self._append({"event": "end", "step": trainer.state.step, "stopped": trainer.state.stopped})

    def _append(self, line: dict[str, Any]) -> None:
        with open(self.path, "a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
            log.flush()
            os.fsync(log.fileno()) if line["event"] != "step" else None


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a JSON log; a last line cut short by a kill is left out."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1] if line]
