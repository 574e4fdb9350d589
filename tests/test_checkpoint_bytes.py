"""checkpoint: equal models make equal files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys
from tinynet import Dense, Sequential, save_model
model = Sequential([Dense(3), Dense(2)], (4,), backend="numpy")
for number in range(8):
    save_model(f"{sys.argv[1]}-{number}", model, about={"classes": ["a", "ä"], "name": "net"})
"""


def test_equal_models_make_equal_files(tmp_path: Path) -> None:
    for process in "ab":
        subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path / process)], check=True)
    assert len({file.read_bytes() for file in tmp_path.iterdir()}) == 1
