"""What test-time augmentation gains, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tinynet import metrics
from tinynet.analysis import shifting
from tinynet.errors import ShapeError

LABELS = np.array([0, 0, 1, 1, 1])
WITHOUT = np.array([[0.4, 0.6], [0.7, 0.3], [0.6, 0.4], [0.2, 0.8], [0.8, 0.2]])
WITH = np.array([[0.6, 0.4], [0.3, 0.7], [0.1, 0.9], [0.3, 0.7], [0.9, 0.1]])


def test_the_gain_is_what_is_put_right_less_what_is_put_wrong() -> None:
    found = shifting.gain(LABELS, WITH, WITHOUT)
    assert (found["put_right"], found["put_wrong"]) == (2, 1)
    assert found["gain"] == pytest.approx(found["with"]["accuracy"] - found["without"]["accuracy"])
    assert found["with"] == {"errors": 2, "accuracy": 0.6, "interval": metrics.wilson_interval(3, 5)}
    assert found["without"] == {"errors": 3, "accuracy": 0.4, "interval": metrics.wilson_interval(2, 5)}
    assert shifting.sentence(found, 1) == (
        "The gain of averaging over shifts by up to 1 pixel: +20.00 points, from 40.00 % (95 % interval "
        "11.76 to 76.93 %) to 60.00 % (95 % interval 23.07 to 88.24 %). Images put right: 2; put wrong: 1."
    )


def test_a_loss_has_a_minus() -> None:
    found = shifting.gain(LABELS, WITHOUT, WITH)
    assert (found["put_right"], found["put_wrong"]) == (1, 2)
    assert shifting.points(found) == "-20.00"


def test_labels_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ShapeError, match="do not match"):
        shifting.gain(LABELS[1:], WITH[1:], WITHOUT)
