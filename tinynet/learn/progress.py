"""Which exercises a student has right: a file in the user's folder, so that it outlives notebooks."""

from __future__ import annotations

import json
import os
import time
import warnings
from datetime import date
from pathlib import Path

from tinynet.errors import TinynetError, TinynetWarning
from tinynet.io.atomic import write_atomic
from tinynet.io.lock import one_at_a_time
from tinynet.io.reading import read_json, reason

NAME = "progress.json"
MAX_BYTES = 1 << 20
VARIABLE = "TINYNET_PROGRESS"


def folder() -> Path:
    """Where it is kept: $TINYNET_PROGRESS, or else the platform's folder for a user's data."""
    if named := os.environ.get(VARIABLE):
        return Path(named)
    import platformdirs

    return platformdirs.user_data_path("tinynet")


def right() -> dict[str, str]:
    """The exercises that are right, and the day on which each was. A damaged file is warned of: none are."""
    path = folder() / NAME
    try:
        return _read(path)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        said = f"{path} cannot be read: {reason(error)}; the next right answer begins a new one"
        warnings.warn(said, TinynetWarning, stacklevel=2)
        return {}


def record(*names: str) -> None:
    """Note that these exercises are right. Where that cannot be written, a warning says so."""
    try:
        if not _has(names):
            _add(folder(), names)
    except (OSError, TinynetError) as error:
        said = str(error).splitlines()[0]
        fix = f"name a folder that can be written in {VARIABLE}"
        warnings.warn(f"your progress could not be kept: {said}\n  fix: {fix}", TinynetWarning, stacklevel=2)


def _has(names: tuple[str, ...]) -> bool:
    try:
        return set(names) <= _read(folder() / NAME).keys()
    except (OSError, ValueError):
        return False


@one_at_a_time
def _add(where: Path, names: tuple[str, ...]) -> None:
    path = where / NAME
    try:
        known = _read(path)
    except FileNotFoundError:
        known = {}
    except (OSError, ValueError):
        aside = path.with_name(f"progress-damaged-{time.time_ns()}.json")
        os.replace(path, aside)
        warnings.warn(f"what is in {NAME} was set aside as {aside.name}", TinynetWarning, stacklevel=2)
        known = {}
    today = date.today().isoformat()
    text = json.dumps({"right": dict.fromkeys(names, today) | known}, indent=1)
    write_atomic(path, f"{text}\n".encode())


def _read(path: Path) -> dict[str, str]:
    """What the file holds. OSError, ValueError."""
    found = read_json(path, MAX_BYTES)
    known = found.get("right") if isinstance(found, dict) else None
    if not isinstance(known, dict) or not all(isinstance(day, str) for day in known.values()):
        raise ValueError("no table of exercises")
    return known
