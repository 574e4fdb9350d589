"""tinynet read: plain where it is piped; on a terminal with colours that can be read on any ground."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner
from commands import Command
from rich.console import Console

from tinynet import codes
from tinynet.cli import main, screen, theme


def lines(*arguments: str) -> list[str]:
    return CliRunner().invoke(main, ["read", *arguments]).output.splitlines()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What goes to the pager of a terminal of 20 lines."""
    console = screen.Screen.__new__(screen.Screen)
    Console.__init__(console, force_terminal=True, color_system="truecolor", width=100, height=20)
    paged: list[str] = []
    monkeypatch.setattr(screen, "console", console)
    monkeypatch.setattr("click.echo_via_pager", paged.append)
    return paged


def test_it_is_plain_code_where_it_is_piped() -> None:
    said = lines("dense")
    assert any(re.fullmatch(r"tinynet/layers/dense\.py:\d+", line) for line in said)
    at = said.index("    dW[...] = x.T @ dy")
    assert said[at + 1] == "    db[...] = column_sums(dy)"
    assert not re.search("\x1b", "\n".join(said))
    assert "  tinynet gradcheck --layer Dense" in said


def test_one_backend_alone() -> None:
    said = lines("relu", "--only", "cuda")
    assert "__global__ void relu(int size, const Real *x, Real *y) {" in said
    assert not any("NumPy: the reference" in line or "Numba: compiled" in line for line in said)


def test_javascript_alone() -> None:
    said = lines("flatten", "--only", "javascript")
    assert "tinynet.flatten = function (x) {" in said
    assert not any("NumPy: the reference" in line or "CUDA: for a GPU" in line for line in said)
    assert "JavaScript: in any browser" in lines("dense")
    assert "JavaScript: in any browser" not in lines("dense", "--only", "numpy")
    assert "There is no JavaScript of it: a page runs nets, it does not train them." in lines(
        "adam", "--only", "javascript"
    )


def test_what_a_backend_takes_from_the_reference_is_said() -> None:
    assert "softmax_backward: NumPy's code, as it is" in lines("softmax")
    assert "This runs as it stands on every backend: on NumPy's arrays or on a GPU's." in lines("flatten")
    assert not any("on every backend" in line for line in lines("cosine"))


def test_without_a_name_all_are_listed(tinynet: Command) -> None:
    said = tinynet("read")
    assert all(name in said for names in codes.names().values() for name in names)


def test_an_unknown_name(tinynet: Command) -> None:
    assert "fix: did you mean 'Conv2D'?" in tinynet("read", "conv2", code=1)
    assert "fix: tinynet read lists them all" in tinynet("read", "foo", code=1)


def test_a_long_page_goes_to_the_pager_of_a_terminal_with_colours(terminal: list[str]) -> None:
    assert CliRunner().invoke(main, ["read", "conv2d"]).output == ""
    [shown] = terminal
    assert "\x1b[" in shown
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert re.search(r"^ +\d+ def forward\(", plain, re.MULTILINE)
    assert "kernels/cuda/im2col.cu" in plain


def test_colours_can_be_read_on_black_and_on_white() -> None:
    for colour in (theme.BLUE, theme.PURPLE, theme.GREEN, theme.ORANGE, theme.GREY):
        luminance = relative_luminance(colour)
        assert (luminance + 0.05) / 0.05 >= 4.5
        assert 1.05 / (luminance + 0.05) >= 4.5


def relative_luminance(colour: str) -> float:
    """Of a colour "#rrggbb", as WCAG 2.2 defines it."""
    shares = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
