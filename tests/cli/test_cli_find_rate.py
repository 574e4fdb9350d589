"""tinynet find-rate: what it says and draws, and what it refuses before it computes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from commands import Command

from tinynet.cli.progress import RateProgress
from tinynet.data import load
from tinynet.rates import find_rate
from tinynet.runs import recipe


@pytest.fixture
def find(tinynet: Command, tiny: Path, tmp_path: Path) -> Command:
    def run(*arguments: object, code: int = 0) -> str:
        out = () if "--out" in arguments else ("--out", tmp_path / "rates.png")
        net = (tiny, "--dataset", "sample", "--backend", "numpy")
        return tinynet("find-rate", *net, *out, *arguments, code=code)

    return run


def test_it_suggests_what_python_does_and_draws_it(find: Command, tiny: Path, tmp_path: Path) -> None:
    said = find("--seed", 3, "--steps", 60)
    assert "tiny: 60 steps on batches of 50, Adam, learning rates from 1e-06 to 10, numpy backend" in said
    train, plan = load("sample").train, recipe.load(str(tiny))
    model = plan.build_model(backend="numpy", seed=3)
    expected = find_rate(model, train.images[:400], train.labels[:400], steps=60, batch_size=50).suggestion
    assert f"Suggested learning rate: {expected:.2g} (the recipe's: 0.001)" in said
    assert f"To train with it: tinynet train {tiny} --dataset sample" in said
    assert f"--backend numpy --lr {expected:.2g}" in said
    assert f"Plot: {tmp_path / 'rates.png'}" in said
    assert (tmp_path / "rates.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(tmp_path.iterdir()) == [tmp_path / "rates.png"]


def test_the_command_to_train_with_has_the_options_that_were_given(
    tinynet: Command, tiny: Path, tmp_path: Path
) -> None:
    """It is the very command: pasted, it is understood."""
    given = ["--optimizer", "AdamW", "--batch", 40, "--class-weight", "balanced", "--seed", 3, "--threads", 1]
    given += ["--dataset", "sample", "--backend", "numpy"]
    said = tinynet("find-rate", tiny, *given, "--steps", 40, "--out", tmp_path / "rates.png")
    line = re.search(r"To train with it: tinynet (train .* --lr [0-9.e-]+)", said)
    assert line
    words = shlex.split(line[1])
    assert words[:2] == ["train", str(tiny)]
    for name, value in zip(given[::2], given[1::2], strict=True):
        assert words[words.index(str(name)) + 1] == str(value)
    assert not {"--steps", "--out"} & {*words}
    tinynet(*words, "--epochs", 1, "--out", tmp_path / "run")


def test_options_change_the_recipe(find: Command) -> None:
    said = find(
        "--optimizer", "SGD", "--batch", 25, "--low", 0.001, "--high", 1e9, "--class-weight", "balanced"
    )
    assert "100 steps on batches of 25, SGD, learning rates from 0.001 to 1e+09" in said
    assert "The loss exploded at a learning rate of" in said


def test_it_says_where_nothing_falls_and_where_all_does(find: Command) -> None:
    assert "No suggestion: the loss falls clear of its noise at none of these" in find(
        "--low", 1e-12, "--high", 1e-11
    )
    assert "a larger --high may show more" in find("--low", 1e-6, "--high", 1e-2)


def test_without_a_terminal_it_says_how_far_it_is(find: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RateProgress, "LINE_EVERY", 0.0)
    said = find("--steps", 20, "--high", 0.01)
    assert len(re.findall(r"step \d+/20 learning rate \d\.\de-\d\d loss \d\.\d{4}", said)) == 20


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--out", "nowhere/rates.png"], 2, "there is no folder"),
        (["--out", "rates.txt"], 1, "cannot draw rates.txt"),
        (["--low", 1, "--high", 0.1], 1, "the range of learning rates is empty or upside down"),
        (["--low", 0], 2, "0.0 is not in the range x>0"),
        (["--steps", 19], 2, "19 is not in the range 20<=x<=100000"),
        (["--steps", 10**20], 2, "is not in the range 20<=x<=100000"),
        (["--optimizer", "Nosuch"], 1, "unknown optimizer"),
        (["--low", 1e20, "--high", 1e30], 1, "fix: begin lower"),
    ],
)
def test_mistakes(find: Command, tmp_path: Path, arguments: list[object], code: int, said: str) -> None:
    assert said in find(*arguments, code=code)
    assert list(tmp_path.iterdir()) == []
