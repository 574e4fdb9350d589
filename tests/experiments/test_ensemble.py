"""Several nets asked the same: which go together, and what each of them believes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from nets import images

from tinynet.checkpoint import save_model
from tinynet.errors import RunError
from tinynet.experiments import ensemble
from tinynet.layers import Dense, Flatten, Rescale
from tinynet.losses import SoftmaxCrossEntropy
from tinynet.model import Sequential
from tinynet.runs import predictions


def saved(path: Path, seed: int, classes: str = "abcd") -> Path:
    model = Sequential([Rescale(), Flatten(), Dense(len(classes))], (6, 6, 1), backend="numpy", seed=seed)
    save_model(path, model, SoftmaxCrossEntropy(), {"classes": list(classes)})
    return path


def test_each_member_answers_for_itself(tmp_path: Path) -> None:
    paths = [saved(tmp_path / f"{seed}.safetensors", seed) for seed in (1, 2)]
    members = ensemble.load_members(paths, backend="numpy")
    x, _ = images(5)
    found = ensemble.predict(members, x)
    assert found.shape == (2, 5, 4)
    for one, (model, loss, _) in zip(found, members, strict=True):
        np.testing.assert_array_equal(one, predictions.predict(model, loss, x).probabilities)
    assert (found[0] != found[1]).any()


def test_one_net_or_one_net_twice_is_no_ensemble(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.safetensors", 1)
    for paths in ([path], [path, path]):
        with pytest.raises(RunError, match="takes several nets"):
            ensemble.load_members(paths)


def test_nets_of_other_classes_do_not_go_together(tmp_path: Path) -> None:
    paths = [saved(tmp_path / f"{classes}.safetensors", 1, classes) for classes in ("abcd", "abce")]
    with pytest.raises(RunError, match=r"does not go with(.|\n)*classes a, b, c, d\n.*classes a, b, c, e"):
        ensemble.load_members(paths)
