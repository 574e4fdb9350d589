"""The log of a training, one JSON object a line."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tinynet.checks import whole
from tinynet.errors import RunError, TinynetWarning
from tinynet.io.atomic import write_atomic
from tinynet.io.reading import parse_json, read_regular, reason
from tinynet.training import Callback, EpochEnd, StepEnd, Trainer

EVENTS = ("start", "step", "epoch", "end")
MAX_BYTES = 2**26
"""Of a log that is read: half a million lines."""


class JsonLog(Callback):
    """One JSON object a line: a `start`, every epoch's record, every so many steps, an `end`.

    After a resume the lines of work that is about to be done again are dropped first, and those that are
    damaged, with a warning. Epochs that the log lacks are taken from the checkpoint.
    """

    def __init__(self, path: str | Path, start: dict[str, Any] | None = None, every_steps: int = 50) -> None:
        self.path, self.start = Path(path), start or {}
        self.every_steps = whole(every_steps, "JsonLog", "every_steps", least=1)

    def on_start(self, trainer: Trainer) -> None:
        state = trainer.state
        lines, damaged = parse_log(self.path) if state.step else ([], [])
        if damaged:
            said = f"{self.path}: {listed(damaged)} damaged, and dropped"
            warnings.warn(said, TinynetWarning, stacklevel=2)
        lines = _with_epochs(lines, state.history)
        kept = [
            line
            for line in lines
            if (line["event"] == "step" and line["step"] <= state.step)
            or (line["event"] == "epoch" and line["epoch"] <= state.epoch)
            or (line["event"] in ("start", "end") and line["step"] <= state.step)
        ]
        kept.append({"event": "start", "step": state.step, **self.start})
        write_atomic(self.path, as_lines(kept).encode())

    def steps_to_look(self, trainer: Trainer) -> float:
        return self.every_steps - trainer.state.step % self.every_steps

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
        append(self.path, [line], to_disk=line["event"] != "step")


def as_lines(values: Iterable[Any]) -> str:
    """The values as JSON, one a line."""
    return "".join(json.dumps(value) + "\n" for value in values)


def append(path: Path, values: Iterable[Any], *, to_disk: bool = True) -> None:
    """Append the values to a log; `to_disk`: wait until they are there."""
    with open(path, "a", encoding="utf-8") as log:
        log.write(as_lines(values))
        log.flush()
        if to_disk:
            os.fsync(log.fileno())


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a JSON log that are whole. Raises RunError where the file cannot be read at all."""
    return parse_log(path)[0]


def parse_log(path: Path) -> tuple[list[dict[str, Any]], list[int]]:
    """The lines that are whole, and the numbers of those that are not: of another kind, or no JSON.

    A last line cut short by a kill is no damage, and left out. Raises RunError where the file cannot be read.
    """
    return parse_lines(path, _is_ours)


def parse_lines(path: Path, is_ours: Callable[[Any], bool]) -> tuple[list[dict[str, Any]], list[int]]:
    """The same for any file of JSON lines, of which those are whole that `is_ours` accepts."""
    try:
        texts = read_regular(path, MAX_BYTES).split(b"\n")[:-1]
    except FileNotFoundError:
        return [], []
    except OSError as error:
        raise RunError(
            f"{path} cannot be read",
            expected=f"a log of at most {MAX_BYTES:,} bytes",
            received=reason(error),
            fix="move it away: the run goes on without it",
        ) from error
    numbered = [(number, _parsed(text)) for number, text in enumerate(texts, start=1) if text]
    whole = [line for _, line in numbered if is_ours(line)]
    return whole, [number for number, line in numbered if not is_ours(line)]


def _parsed(text: bytes) -> Any:
    """What a line says; None where it is no JSON."""
    try:
        return parse_json(text.decode("utf-8"))
    except ValueError:
        return None


def _is_ours(line: Any) -> bool:
    if not isinstance(line, dict) or line.get("event") not in EVENTS or not is_count(line.get("step")):
        return False
    if line["event"] != "epoch":
        return True
    figures = all(isinstance(value, int | float | None) for name, value in line.items() if name != "event")
    return figures and is_count(line.get("epoch"))


def is_count(value: Any) -> bool:
    """Whether the value is a whole number of at least 0."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _with_epochs(lines: list[dict[str, Any]], history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines, and one for each epoch of the history that has none, in the order of their steps."""
    told = {line["epoch"] for line in lines if line["event"] == "epoch"}
    lost = [{"event": "epoch", "step": 0, **record} for record in history if record["epoch"] not in told]
    return sorted([*lines, *lost], key=lambda line: line["step"])


def listed(numbers: list[int]) -> str:
    """The numbers of damaged lines, the first five of them, as the beginning of a sentence."""
    shown = ", ".join(map(str, numbers[:5])) + (", …" if len(numbers) > 5 else "")
    return f"line {shown} is" if len(numbers) == 1 else f"lines {shown} are"
