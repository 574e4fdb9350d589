"""What an error says, and the built-in error each of ours may be caught as."""

from __future__ import annotations

import pytest

from tinynet import errors


def test_an_error_says_problem_expected_received_and_fix() -> None:
    error = errors.ConfigError("no such thing", expected="a or b", received=0, fix="use a")
    assert str(error) == "no such thing\n  expected: a or b\n  received: 0\n  fix: use a"
    assert str(errors.ConfigError("no such thing")) == "no such thing"


@pytest.mark.parametrize("kind", errors.TinynetError.__subclasses__(), ids=lambda kind: kind.__name__)
def test_each_is_a_built_in_error_too(kind: type[errors.TinynetError]) -> None:
    ours, builtin = kind.__bases__
    assert ours is errors.TinynetError
    assert builtin.__module__ == "builtins"
    with pytest.raises(builtin):
        raise kind("a mistake")


def test_a_name_that_is_almost_known() -> None:
    assert errors.did_you_mean("relu", ["relo", "ReLU", "Dense"]) == "did you mean 'ReLU'?"
    assert errors.did_you_mean("relos", ["ReLU", "relo", "Dense"]) == "did you mean 'relo'?"
    assert errors.did_you_mean("qqq", ["ReLU", "Dense"]) is None
    assert errors.did_you_mean(3, ["ReLU"]) is None
