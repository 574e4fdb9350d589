"""tinynet gradcheck: right gradients pass, a wrong one does not."""

from __future__ import annotations

from typing import Any

import pytest
from commands import Command

from tinynet.layers import Dense


@pytest.mark.parametrize("name", ["Dense", "SoftmaxCrossEntropy", "model mlp"])
def test_one_thing_alone(tinynet: Command, name: str) -> None:
    said = tinynet("gradcheck", "--layer", name, "--backend", "numpy")
    assert "gradients right" in said
    assert "WRONG" not in said


def test_a_planted_error_is_found(tinynet: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    right = Dense.backward

    def wrong(self: Any, dy: Any, cache: Any) -> Any:
        dx = right(self, dy, cache)
        return None if dx is None else 1.001 * dx

    monkeypatch.setattr(Dense, "backward", wrong)
    assert "WRONG" in tinynet("gradcheck", "--layer", "Dense", "--backend", "numpy", code=1)


def test_an_unknown_layer(tinynet: Command) -> None:
    said = tinynet("gradcheck", "--layer", "Dens", code=1)
    assert "expected: Dense, Conv2D" in said
    assert "received: 'Dens'" in said
