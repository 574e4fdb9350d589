"""Everything of ours passes its gradient check, in everything it learns."""

from __future__ import annotations

from typing import Any

import pytest
from one_layer import parameters

from tinynet import backends
from tinynet import layers as L
from tinynet.gradcheck import cases
from tinynet.gradcheck.cases import LAYER_CASES, NAMES
from tinynet.gradcheck.check import check_layer


@pytest.mark.parametrize("name", NAMES)
def test_every_gradient_is_the_derivative_of_its_forward(name: str, backend: str) -> None:
    checks = list(cases.run(name, backend))
    assert checks
    for check in checks:
        assert check.passed, str(check)
        assert check.error <= 1e-6


@pytest.mark.parametrize("algorithm", ["im2col", "direct", "winograd"])
@pytest.mark.parametrize("padding", ["valid", "same", ((0, 2), (1, 0))])
def test_every_convolution_of_the_numba_backend(algorithm: str, padding: Any) -> None:
    ops = backends.get("numba", convolution=algorithm)
    checks = check_layer(L.Conv2D(16, 3, padding=padding), (6, 5, 16), batch=2, backend=ops)
    assert len(checks) == 3
    assert all(check.passed for check in checks), checks


def test_every_layer_and_loss_is_checked_in_everything_it_learns() -> None:
    assert set(LAYER_CASES) == set(L.LAYERS)
    for name, each in LAYER_CASES.items():
        checked = {check.quantity for check in cases.run(name, "numpy")}
        assert checked == {
            "x",
            *(quantity for _, make, shape, _ in each for quantity in parameters(make, shape)),
        }
