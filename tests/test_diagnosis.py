"""diagnosis: where a NaN comes from."""

from __future__ import annotations

import math

import numpy as np
import pytest
from nets import counted

from tinynet.diagnosis import first_non_finite


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("name", ["dense_1.W", "dense_2.b"])
def test_a_parameter_that_is_not_finite_is_named(name: str, value: float, backend: str) -> None:
    model = counted(backend)
    model.store.values.views[name][...] = value
    x = model.backend.asarray(np.array([[1.0, 2.0]]))
    assert first_non_finite(model, x) == f"the parameter {name}"


def test_the_first_layer_whose_output_is_not_finite_is_named(backend: str) -> None:
    model = counted(backend)
    model.store.values.views["dense_2.W"][...] = 1e308
    x = model.backend.asarray(np.array([[1.0, 20.0]]))
    with np.errstate(over="ignore"):
        assert first_non_finite(model, x) == "the output of Dense 'dense_2'"


def test_if_all_is_finite_it_is_the_loss(backend: str) -> None:
    model = counted(backend)
    assert first_non_finite(model, model.backend.asarray(np.ones((1, 2)))).startswith("the loss itself")
