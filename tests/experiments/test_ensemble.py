"""Several nets asked the same: which go together, and what each of them believes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from nets import images

from tinynet import metrics
from tinynet.checkpoint import save_model
from tinynet.errors import RunError
from tinynet.experiments import ensemble
from tinynet.layers import Dense, Flatten, Rescale
from tinynet.losses import SoftmaxCrossEntropy
from tinynet.model import Sequential
from tinynet.runs import predictions
from tinynet.runs.predictions import Predictions


def saved(path: Path, seed: int, classes: str = "abcd") -> Path:
    model = Sequential([Rescale(), Flatten(), Dense(len(classes))], (6, 6, 1), backend="numpy", seed=seed)
    save_model(path, model, SoftmaxCrossEntropy(), {"classes": list(classes)})
    return path


def test_each_member_answers_for_itself(tmp_path: Path) -> None:
    paths = [saved(tmp_path / f"{seed}.safetensors", seed) for seed in (1, 2)]
    members = ensemble.load_members(paths, backend="numpy")
    x, _ = images(5)
    found = ensemble.predict(members, x)
    for one, (model, loss, _) in zip(found, members, strict=True):
        np.testing.assert_array_equal(one.probabilities, predictions.predict(model, loss, x).probabilities)
    assert (found[0].probabilities != found[1].probabilities).any()


NETS = [
    Predictions(np.array(averaged), np.array(plain))
    for averaged, plain in (
        ([[0.8, 0.2], [0.4, 0.6], [0.3, 0.7]], [[0.4, 0.6], [0.4, 0.6], [0.3, 0.7]]),
        ([[0.6, 0.4], [0.9, 0.1], [0.1, 0.9]], [[0.6, 0.4], [0.2, 0.8], [0.1, 0.9]]),
    )
]
LABELS = np.array([0, 0, 0])


def test_the_ensemble_answers_by_the_mean_with_shifts_and_without() -> None:
    found = ensemble.mean(NETS)
    np.testing.assert_allclose(found.probabilities, [[0.7, 0.3], [0.65, 0.35], [0.2, 0.8]])
    assert found.unshifted is not None
    np.testing.assert_allclose(found.unshifted, [[0.5, 0.5], [0.3, 0.7], [0.2, 0.8]])
    assert ensemble.mean([Predictions(each.probabilities) for each in NETS]).unshifted is None


def test_each_net_stands_beside_all_together_with_its_interval() -> None:
    found = ensemble.figures(["a", "b"], LABELS, NETS)
    assert [net["errors"] for net in found["nets"]] == [2, 1]
    assert found["nets"][1]["interval"] == metrics.wilson_interval(2, 3)
    assert [net["tta"]["gain"] for net in found["nets"]] == [1 / 3, 1 / 3]
    assert found["mean"] == pytest.approx(0.5)
    assert found["standard_deviation"] == pytest.approx(np.sqrt(2) / 6)
    assert found["half_width"] is None  # Student's t of one degree of freedom is 12.7
    three = ensemble.figures(["a", "b", "c"], LABELS, [*NETS, NETS[0]])
    assert three["half_width"] == pytest.approx(4.30265 / 9, rel=1e-4)
    assert "95 % interval of the mean ± 47.81)" in ensemble.sentence(three)
    together = found["together"]
    assert (together["errors"], together["tta"]["put_right"]) == (1, 1)
    assert together["interval"] == metrics.wilson_interval(2, 3)
    head, *rows = ensemble.table(found)
    assert head[-2:] == ("without --tta", "gain")
    assert rows[-1] == ("all together", "66.67 %", "20.77 to 93.85 %", "1", "33.33 %", "+33.33")
    assert "Together: 66.67 % (95 % interval 20.77 to 93.85 %)." in ensemble.sentence(found)
    plain = ensemble.figures(["a", "b"], LABELS, [Predictions(each.probabilities) for each in NETS])
    assert ensemble.table(plain)[-1] == rows[-1][:4]


def test_one_net_or_one_net_twice_is_no_ensemble(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.safetensors", 1)
    for paths in ([path], [path, path]):
        with pytest.raises(RunError, match="takes several nets"):
            ensemble.load_members(paths)


def test_a_net_under_two_names_is_told(tmp_path: Path) -> None:
    path, copied = saved(tmp_path / "a.safetensors", 1), tmp_path / "b.safetensors"
    copied.write_bytes(path.read_bytes())
    paths = [path, saved(tmp_path / "c.safetensors", 2), copied]
    [said] = ensemble.twins(paths, ensemble.load_members(paths))
    assert said.startswith(f"{copied} is the same net as {path}:")


def test_nets_of_other_classes_do_not_go_together(tmp_path: Path) -> None:
    paths = [saved(tmp_path / f"{classes}.safetensors", 1, classes) for classes in ("abcd", "abce")]
    with pytest.raises(RunError, match=r"does not go with(.|\n)*classes a, b, c, d\n.*classes a, b, c, e"):
        ensemble.load_members(paths)
