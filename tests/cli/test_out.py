"""What --out takes: every command refuses what is no name before it does anything."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tinynet.cli import COMMANDS, main
from tinynet.cli.out import Out

WRITES = ("--out", "-o", "--submission", "--mistakes", "--seen", "--storage", "--json")


def outputs() -> Iterator[tuple[str, click.Option]]:
    """Every option that names what is written, of every command."""
    for name in COMMANDS:
        command = main.get_command(click.Context(main), name)
        assert command is not None
        inner = command.commands.values() if isinstance(command, click.Group) else [command]
        for each in inner:
            for option in each.params:
                if isinstance(option, click.Option) and set(option.opts) & {*WRITES} and not option.is_flag:
                    yield f"{name} {each.name}", option


def test_every_output_of_every_command_is_checked() -> None:
    found = list(outputs())
    assert len(found) > 15
    assert [name for name, option in found if not isinstance(option.type, Out)] == []


@pytest.mark.parametrize(
    ("value", "said"), [("", "the name is empty"), ("-", "nothing is written to a pipe")]
)
@pytest.mark.parametrize("words", [["export", "-o"], ["card", "--out"], ["train", "--out"]])
def test_what_is_no_name_is_refused(words: list[str], value: str, said: str) -> None:
    result = CliRunner().invoke(main, [*words, value])
    assert result.exit_code == 2
    assert said in result.output


def test_files_of_a_run_are_refused_and_others_in_its_folder_are_not(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"weights")
    (tmp_path / "link").symlink_to(weights)
    for path in (weights, tmp_path / "link", tmp_path / "report.md", tmp_path / "confusion-matrix.png"):
        with pytest.raises(click.BadParameter, match="is a file of a run"):
            Out().convert(str(path), None, None)
    assert Out().convert(str(tmp_path / "digits.html"), None, None) == tmp_path / "digits.html"
    with pytest.raises(
        click.BadParameter, match=r"a run's folder, with pictures of its own: name .*evaluation"
    ):
        Out(is_own=True).convert(str(tmp_path), None, None)
    (tmp_path / "elsewhere").mkdir()
    assert Out().convert(str(tmp_path / "elsewhere" / "report.md"), None, None)


@pytest.mark.parametrize(
    "words", [["export", "-o"], ["card", "--out"], ["find-rate", "--out"], ["summary", "--out"]]
)
def test_a_file_in_a_folder_that_does_not_exist_is_refused_before_any_work(
    words: list[str], tmp_path: Path
) -> None:
    result = CliRunner().invoke(main, [*words, str(tmp_path / "no" / "file.png")])
    assert result.exit_code == 2
    assert "make the folder first" in result.output
    assert not (tmp_path / "no").exists()


def test_a_place_where_nothing_can_be_written_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(click.BadParameter, match=r"file is a file, and no folder can lie in it"):
        Out().convert(str(tmp_path / "file" / "deep" / "together"), None, None)
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    with pytest.raises(click.BadParameter, match="nothing can be written in"):
        Out().convert(str(tmp_path / "deep" / "together"), None, None)


def test_a_picture_of_another_kind_is_refused_before_any_work() -> None:
    drawing = [(name, option.type) for name, option in outputs() if ".png or .svg" in (option.help or "")]
    assert len(drawing) == 5
    assert [name for name, kind in drawing if not (isinstance(kind, Out) and kind.is_picture)] == []
    assert Out(is_picture=True).convert("NET.SVG", None, None) == Path("NET.SVG")
    result = CliRunner().invoke(main, ["predict", "no-such-run", "no-such-file", "--seen", "seen.pdf"])
    assert (result.exit_code, result.stdout) == (1, "")


def test_what_a_command_reads_it_does_not_replace(tmp_path: Path) -> None:
    table, link = tmp_path / "table.csv", tmp_path / "link.csv"
    table.write_text("label,pixel0\n")
    link.symlink_to(table)
    for words in (
        ["predict", "run", str(table), "--out", str(link)],
        ["ensemble", "run", "other", "--file", str(table), "--submission", str(table)],
        ["import", str(table), "-o", str(table)],
    ):
        result = CliRunner().invoke(main, words)
        assert result.exit_code == 2
        assert "is read, too, and would be lost: name another" in result.output
    assert table.read_text() == "label,pixel0\n"


def test_a_file_named_for_two_outputs_is_not_said_to_be_read(tmp_path: Path) -> None:
    (tmp_path / "same.csv").touch()
    same = str(tmp_path / "same.csv")
    result = CliRunner().invoke(main, ["predict", "run", "file", "--out", same, "--submission", same])
    assert "is read, too" not in result.output
