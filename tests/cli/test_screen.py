"""cli.screen: any text on any screen."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.table import Table

from tinynet.cli.screen import Screen
from tinynet.printable import HANDLER

ODD = ["runs/exp[final]", "runs/lr:100:x", "runs/a[/b]", "runs/[bold]b", "a\nb", "\x1b]0;title\x07x"]
ENCODINGS = ["ascii", "latin-1", "cp1252", "cp437", "utf-8"]


def shown(*objects: object, width: int = 200) -> str:
    screen = Screen()
    screen.file, screen.width = io.StringIO(), width
    screen.print(*objects)
    return screen.file.getvalue()


@pytest.mark.parametrize("text", ODD[:4])
def test_text_is_shown_as_it_is(text: str) -> None:
    table = Table(title=f"{text} title")
    table.add_column(text)
    table.add_row(text)
    assert text in shown(f"tinynet evaluate {text}")
    assert shown(table).count(text) == 3


def test_what_a_terminal_would_obey_is_escaped() -> None:
    table = Table("name")
    table.add_row("\x1b[2Jwiped")
    for found in (shown("\x1b[2Jwiped"), shown(table)):
        assert "\x1b" not in found
        assert r"\x1b[2Jwiped" in found


def test_a_long_path_is_one_line_where_output_is_no_terminal() -> None:
    path = "/".join(["folder"] * 60)
    assert shown(path, width=80) == f"{path}\n"


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_what_an_encoding_lacks_becomes_plain(encoding: str) -> None:
    written = "1 × 2 → 3 … ± 的 \udcff".encode(encoding, HANDLER).decode(encoding)
    assert "2" in written
    assert r"\udcff" in written
    if encoding == "ascii":
        assert written == r"1 x 2 -> 3 ... +- \u7684 \udcff"


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    "command",
    [["doctor"], ["summary", "lenet"], ["data", "info", "sample"], ["train", "--help"], ["nonsense→"]],
)
def test_commands_write_to_any_encoding(command: list[str], encoding: str) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "TERM": "dumb", "COLUMNS": "20"}
    done = subprocess.run([sys.executable, "-m", "tinynet", *command], env=environment, capture_output=True)
    # click writes UTF-8 where it is asked for ASCII
    said = (done.stdout + done.stderr).decode(encoding, "replace")
    assert "Traceback" not in said
    assert done.returncode == (2 if "nonsense" in command[0] else 0), said


@pytest.mark.skipif(os.name == "nt", reason="file names are Unicode there")
def test_a_run_in_a_folder_whose_name_is_no_utf8(tmp_path: Path) -> None:
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff[/b]\n:100:")
    options = [
        "train",
        "linear",
        "--dataset",
        "sample",
        "--epochs",
        "1",
        "--backend",
        "numpy",
        "--out",
        folder,
    ]
    done = subprocess.run([sys.executable, "-m", "tinynet", *options], capture_output=True)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    assert "report.md" in os.listdir(folder)
    done = subprocess.run([sys.executable, "-m", "tinynet", "evaluate", folder], capture_output=True)
    assert done.returncode == 0, done.stderr.decode(errors="replace")


@pytest.mark.skipif(os.name == "nt", reason="pipes close otherwise there")
def test_a_closed_pipe_is_no_traceback() -> None:
    command = f"{sys.executable} -m tinynet summary lenet | head -1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True)
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="pipes close otherwise there")
def test_no_work_is_lost_by_a_closed_pipe(tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = (
        f"{sys.executable} -m tinynet train {tiny} --dataset sample --backend numpy --out {out} | head -1"
    )
    subprocess.run(["bash", "-c", command], capture_output=True, check=True)
    assert (out / "report.md").exists()
