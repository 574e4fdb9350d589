"""What to say where a folder is not that of a run."""

from __future__ import annotations

from pathlib import Path

from tinynet.printable import quoted


def name_a_run(folder: Path) -> str:
    """The fix: the names of runs that lie in the folder, if there are any."""
    runs = sorted(config.parent for config in folder.glob("*/config.json"))
    if not runs:
        return "check the path; `tinynet train` prints it"
    return f"name a run in it: {', '.join(map(quoted, runs[:3]))}{', …' * (len(runs) > 3)}"
