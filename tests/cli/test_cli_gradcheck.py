"""tinynet gradcheck: right gradients pass, a wrong one does not."""

from __future__ import annotations

from typing import Any

import pytest
from commands import Command

from tinynet.cli import progress
from tinynet.layers import Dense


@pytest.mark.parametrize("name", ["Dense", "SoftmaxCrossEntropy", "small mlp"])
def test_one_thing_alone(tinynet: Command, name: str) -> None:
    said = tinynet("gradcheck", "--layer", name, "--backend", "numpy")
    assert "gradients right" in said
    assert said.count("The limit is 1e-06.") == 1
    assert "WRONG" not in said


def test_a_planted_error_is_found(tinynet: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    right = Dense.backward

    def wrong(self: Any, dy: Any, cache: Any) -> Any:
        dx = right(self, dy, cache)
        return None if dx is None else 1.001 * dx

    monkeypatch.setattr(Dense, "backward", wrong)
    said = tinynet("gradcheck", "--layer", "Dense", "--backend", "numpy", code=1)
    assert "WRONG: Dense (L2), ∂L/∂x worst at [" in said
    assert "ratio 1.001 (12 of the 12 elements looked at are wrong)" in said
    assert "likely slip: a factor: everything is 1.001 times what it should be" in said
    assert "checking" not in said, "no terminal, and no two seconds"


def test_lines_show_progress_where_there_is_no_terminal_and_it_takes_long(
    tinynet: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "QUIET", 0.0)
    assert "checking Dense (1 of 1)" in tinynet("gradcheck", "--layer", "Dense", "--backend", "numpy")


def test_an_unknown_layer(tinynet: Command) -> None:
    said = tinynet("gradcheck", "--layer", "Dens", code=1)
    assert "expected: Dense, Conv2D" in said
    assert "received: 'Dens'" in said
    assert "fix: did you mean 'Dense'?" in said
