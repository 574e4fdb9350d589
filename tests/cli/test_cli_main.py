"""tinynet as a whole: help, versions, and mistakes that end in a message."""

from __future__ import annotations

import ctypes
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any

import click
import pytest
from click.testing import CliRunner
from commands import Command

import tinynet as package
from tinynet.cli import COMMANDS, broken_at_words, doctor, main

DATA = ("fetch", "info", "show", "explore", "verify", "to-kaggle")
LEARN = ("start", "check")
SUBCOMMANDS = [
    *([name] for name in COMMANDS),
    *(["data", name] for name in DATA),
    *(["learn", name] for name in LEARN),
]


@pytest.mark.parametrize("command", SUBCOMMANDS, ids=" ".join)
def test_help_shows_an_example_and_what_each_option_is_for(tinynet: Command, command: list[str]) -> None:
    said = tinynet(*command, "--help")
    assert f"Usage: main {' '.join(command)}" in said
    assert "Example" in said
    assert f"tinynet {' '.join(command)}" in said
    options = [each for each in resolve(*command)[0].params if isinstance(each, click.Option)]
    assert all(option.help for option in options)


def resolve(*words: str) -> tuple[click.Command, list[str]]:
    """The command that the first words name, and the words after it."""
    command: click.Command | None = main
    rest = list(words)
    while rest and isinstance(command, click.Group):
        command = command.get_command(click.Context(command), rest.pop(0))
    assert command is not None, words
    return command, rest


def test_an_error_is_broken_at_words_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = "  expected: " + ", ".join(f"name-{i}" for i in range(30))
    said = f"a problem\n{expected}\n  fix: tinynet {'x ' * 99}"
    assert broken_at_words(said) == said
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    first, *middle, fix = broken_at_words(said).splitlines()
    assert (first, fix) == ("a problem", "  fix: tinynet " + "x " * 99)
    assert max(map(len, middle)) <= 60
    assert " ".join(line.strip() for line in middle) == expected.strip()


@pytest.mark.parametrize("command", SUBCOMMANDS, ids=" ".join)
def test_every_example_is_understood(command: list[str]) -> None:
    lines = [line.strip() for line in (resolve(*command)[0].help or "").splitlines()]
    examples = [line.partition(" > ")[0] for line in lines if line.startswith("tinynet ")]
    assert examples
    for example in examples:
        asked, arguments = resolve(*shlex.split(example)[1:])
        asked.make_parser(click.Context(asked)).parse_args(arguments)


@pytest.mark.parametrize("command", SUBCOMMANDS, ids=" ".join)
@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_every_option_that_takes_a_number_wants_a_finite_one(
    tinynet: Command, command: list[str], value: str
) -> None:
    for option in resolve(*command)[0].params:
        if isinstance(option.type, click.types.FloatParamType):
            said = tinynet(*command, f"{option.opts[0]}={value}", code=2)
            assert re.search(f"{value} is not (a finite number|in the range)", said)


@pytest.mark.parametrize("command", SUBCOMMANDS, ids=" ".join)
def test_an_option_given_twice_is_refused_unless_it_can_be_repeated(
    tinynet: Command, command: list[str]
) -> None:
    """The last one used to win in silence."""
    options = [each for each in resolve(*command)[0].params if isinstance(each, click.Option)]
    for option in options:
        name = max(option.opts, key=len)
        said = tinynet(*command, *([name] if option.is_flag else [name, "1"]) * 2, "--nosuch", code=2)
        assert "No such option" in said
        if not (option.is_flag or option.multiple):
            assert f"{name}' is given 2 times" in tinynet(*command, name, "1", name, "2", code=2)


@pytest.mark.parametrize("command", SUBCOMMANDS, ids=" ".join)
def test_an_option_that_takes_a_word_wants_one(tinynet: Command, command: list[str]) -> None:
    """An empty one, as of a shell's unset variable, used to be taken for none."""
    for option in resolve(*command)[0].params:
        if isinstance(option, click.Option) and option.type is click.STRING:
            assert f"{option.opts[0]}' is empty" in tinynet(*command, option.opts[0], "", code=2)


def test_no_line_of_the_overview_is_cut_short(tinynet: Command) -> None:
    assert not re.search(r"[^]]\.\.\.", tinynet("--help") + tinynet("data", "--help"))


def test_help_lists_every_command(tinynet: Command) -> None:
    said = tinynet("--help")
    assert all(f" {name} " in said for name in COMMANDS)


def test_the_version(tinynet: Command) -> None:
    assert tinynet("--version") == f"tinynet, version {package.__version__}"


def test_an_unknown_command(tinynet: Command) -> None:
    said = tinynet("trian", code=2)
    assert "No such command 'trian'." in said
    assert "fix: did you mean 'train'?" in said
    assert "did you mean" not in tinynet("nosuch", code=2)


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--dataset", "nosuch"],
        ["train", "nosuch"],
        ["evaluate", "nosuch"],
        ["predict", "nosuch", "nosuch.png"],
        ["summary", "nosuch"],
        ["gradcheck", "--layer", "nosuch"],
        ["data", "verify", "nosuch"],
        ["train", "--resume", "nosuch"],
    ],
    ids=" ".join,
)
def test_a_mistake_ends_in_a_message(arguments: Any) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert result.output.splitlines()[0].startswith("Error: ")
    assert "nosuch" in result.output
    assert "Traceback" not in result.output


@pytest.mark.filterwarnings("default")
def test_a_warning_comes_without_the_line_of_python_that_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    def warn(**options: Any) -> None:
        warnings.warn("log.jsonl: line 3 is damaged", stacklevel=2)

    monkeypatch.setattr(doctor.command, "callback", warn)
    result = CliRunner().invoke(main, ["doctor"])
    assert (result.exit_code, result.stderr) == (0, "Warning: log.jsonl: line 3 is damaged\n")


@pytest.fixture
def usual_ctrl_c() -> Iterator[None]:
    """SIGINT as Python handles it, which it does not where tests run in the background of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT to send")
def test_what_fails_because_of_ctrl_c_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, usual_ctrl_c: None
) -> None:
    def compiler(**options: Any) -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise RuntimeError("no compiled object yet") from None

    monkeypatch.setattr(doctor.command, "callback", compiler)
    result = CliRunner().invoke(main, ["doctor"])
    assert (result.exit_code, result.stderr) == (130, "Interrupted.\n")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    def swallows(**options: Any) -> None:
        ctypes.CFUNCTYPE(None)(lambda: signal.raise_signal(signal.SIGINT))()
        for _ in range(400):
            time.sleep(0.05)

    monkeypatch.setattr(doctor.command, "callback", swallows)
    began, hook = time.monotonic(), sys.unraisablehook
    result = CliRunner().invoke(main, ["doctor"])
    assert (result.exit_code, result.stderr) == (130, "Interrupted.\n")
    assert time.monotonic() - began < 15
    assert sys.unraisablehook is hook

    def fails(**options: Any) -> None:
        raise RuntimeError("of its own")

    monkeypatch.setattr(doctor.command, "callback", fails)
    assert str(CliRunner().invoke(main, ["doctor"]).exception) == "of its own"


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from tinynet.cli import main;"
        "assert CliRunner().invoke(main, ['--help']).exit_code == 0;"
        "print([name for name in ('numba', 'rich', 'PIL', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
