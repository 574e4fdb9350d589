"""The search: trials that are trained, judged by the right images, given up, interrupted, impossible."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from optuna.trial import TrialState

from tinynet.errors import ConfigError, RunError
from tinynet.experiments.tuning import search
from tinynet.experiments.tuning.search import Pruning, prepared
from tinynet.runs import recipe
from tinynet.training import Callback, EpochEnd, Trainer

LINEAR = recipe.load("linear")


class Interrupt(Callback):
    def on_epoch(self, trainer: Trainer, event: EpochEnd) -> None:
        trainer.stop("interrupted")


def states(study: Any) -> list[str]:
    return [trial.state.name for trial in study.trials]


def test_a_search(wanted: Any, opened: Any) -> None:
    found = wanted()
    study = opened(found)
    trials = list(search.trials(found, study, count=4))
    assert [trial.number for trial in trials] == [0, 1, 2, 3]
    assert all(set(trial.intermediate_values) == {1, 2} for trial in trials)
    assert all(trial.value == trial.intermediate_values[2] for trial in trials)
    best = search.best(study)
    assert best.value == max(trial.value or 0.0 for trial in trials) > 0.5
    assert list(search.trials(found, study, count=4)) == []
    assert [trial.number for trial in search.trials(found, study, count=5)] == [4]


def test_the_last_training_images_judge(wanted: Any, digits: Any) -> None:
    found = wanted()
    trainer = found.trainer(found.plan)
    assert np.array_equal(trainer.train.inputs, digits.images[:200])
    assert np.array_equal(trainer.validation.inputs, digits.images[200:])
    assert np.array_equal(trainer.validation.targets, digits.labels[200:])


def test_a_trial_repeats_exactly(wanted: Any, opened: Any) -> None:
    found = wanted()
    trial = next(search.trials(found, opened(found), count=1))
    plan = found.recipe_of(trial)
    history = found.trainer(plan).run()
    assert [row["val_accuracy"] for row in history] == list(trial.intermediate_values.values())
    rate = plan.training.optimizer.learning_rate
    assert rate == float(f"{trial.params['training.optimizer.learning_rate']:.4g}")


def test_the_weights_that_early_stopping_put_back_are_judged(wanted: Any, opened: Any) -> None:
    stopping = {"monitor": "val_accuracy", "patience": 1}
    found = wanted({"training.optimizer.learning_rate": [0.3]}, epochs=30, early_stopping=stopping)
    trial = next(search.trials(found, opened(found), count=1))
    reached = list(trial.intermediate_values.values())
    assert len(reached) < 30
    assert trial.value == max(reached) > reached[-1]


def test_a_trial_that_diverges_or_is_impossible_ends_alone(wanted: Any, opened: Any) -> None:
    sgd = {"type": "SGD", "learning_rate": 0.1}
    choices = {
        "training.optimizer.learning_rate": [0.1, 1e38],
        "layers.1": [{"type": "Flatten"}, {"type": "ReLU"}],
    }
    found = wanted(choices, optimizer=sgd)
    study = opened(found, "grid")
    with np.errstate(all="ignore"):
        list(search.trials(found, study, count=4))
    why = {tuple(t.params.values()): t.user_attrs.get(search.WHY, "") for t in study.trials}
    assert sorted(states(study)) == ["COMPLETE", "PRUNED", "PRUNED", "PRUNED"]
    assert "training stopped: the loss is" in why["1e+38", '{ type = "Flatten" }']
    assert why["0.1", '{ type = "ReLU" }'] != ""
    assert search.best(study).params["training.optimizer.learning_rate"] == "0.1"


def test_no_trial_to_choose_from(wanted: Any, opened: Any) -> None:
    found = wanted({"training.optimizer.learning_rate": [1e38]}, optimizer={"type": "SGD"})
    study = opened(found)
    with pytest.raises(RunError, match=r"no trial was trained to its end yet(.*\n)*  received: none"):
        search.best(study)
    with np.errstate(all="ignore"):
        list(search.trials(found, study, count=1))
    with pytest.raises(RunError, match="received: training stopped: the loss is"):
        search.best(study)


def test_an_interrupted_search_keeps_what_was_found(wanted: Any, opened: Any) -> None:
    found = wanted()
    study = opened(found)

    def listen(number: int) -> Callback:
        return Interrupt() if number == 2 else Callback()

    with pytest.raises(KeyboardInterrupt):
        list(search.trials(found, study, count=4, listen=listen))
    assert states(study) == ["COMPLETE", "COMPLETE", "FAIL"]
    again = opened(found)
    list(search.trials(found, again, count=4))
    assert states(again) == ["COMPLETE", "COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]


def test_an_error_of_a_listener_does_not_leave_a_trial_running(wanted: Any, opened: Any) -> None:
    class Broken(Callback):
        def on_epoch(self, trainer: Trainer, event: EpochEnd) -> None:
            raise OSError("disk full")

    study = opened(wanted())
    with pytest.raises(OSError, match="disk full"):
        list(search.trials(wanted(), study, count=1, listen=lambda number: Broken()))
    assert states(study) == ["FAIL"]


def test_no_trial_begins_after_the_time(wanted: Any, opened: Any) -> None:
    study = opened(wanted())
    assert list(search.trials(wanted(), study, count=50, seconds=0)) == []
    few = list(search.trials(wanted(), study, count=50, seconds=0.05))
    assert 1 <= len(few) < 50


def test_trials_of_others_count(wanted: Any, opened: Any) -> None:
    one, other = opened(wanted()), opened(wanted())
    other.ask()
    assert len(list(search.trials(wanted(), one, count=3))) == 2


@pytest.mark.parametrize("pruner", ["median", "halving", "none"])
def test_a_hopeless_trial_is_given_up(pruner: str, wanted: Any, opened: Any) -> None:
    rates = [0.03, 0.02, 0.025, 0.015, 0.035, 0.04, 1e-7]
    found = wanted({"training.optimizer.learning_rate": rates}, epochs=4, seed=9)
    *others, hopeless = search.trials(found, opened(found, "grid", pruner), count=7)
    assert hopeless.params["training.optimizer.learning_rate"] == "1e-07"  # the last in this seed's order
    assert len(hopeless.intermediate_values) == (4 if pruner == "none" else 1)
    assert (hopeless.state == TrialState.COMPLETE) == (pruner == "none")
    assert TrialState.COMPLETE in {trial.state for trial in others}


def test_a_trial_is_not_given_up_at_its_last_epoch(wanted: Any) -> None:
    class Always:
        reported: dict[int, float] = {}  # noqa: RUF012

        def report(self, value: float, step: int) -> None:
            self.reported[step] = value

        def should_prune(self) -> bool:
            return True

    found = wanted(epochs=1)
    trainer = found.trainer(found.plan)
    trainer.run([Pruning(Always())])  # type: ignore[arg-type]
    assert trainer.state.stopped is None
    trainer = found.trainer(found.plan.with_epochs(2))
    trainer.run([Pruning(Always())])  # type: ignore[arg-type]
    assert trainer.state.stopped == Pruning.REASON
    assert list(Always.reported) == [1]


def test_every_trial_takes_as_many_epochs(digits: Any) -> None:
    cnn = recipe.load("cnn")
    plan = prepared(cnn, digits, None, None).training
    assert (plan.epochs, plan.min_steps) == (cnn.training.epochs_on(270), 0)
    assert plan.epochs > cnn.training.epochs
    assert prepared(cnn, digits, 3, 0.5).training.cut(300) == (150, 150)
    assert prepared(cnn, digits, 3, None).training.epochs_on(100) == 3


def test_images_that_judge_are_held_out_even_where_the_recipe_has_none(digits: Any) -> None:
    race = recipe.load("race")
    assert race.training.validation == 0
    assert prepared(race, digits, None, None).training.cut(300) == (270, 30)
    with pytest.raises(ConfigError, match="there are no validation images to compare trials by"):
        prepared(race, digits, None, 0.0)


def test_a_trial_trains(digits: Any) -> None:
    with pytest.raises(ConfigError, match=r"epochs is too small\n  expected: at least 1"):
        prepared(recipe.load("race"), digits, 0, None)


def test_mistakes_are_found_before_anything_is_trained(wanted: Any) -> None:
    with pytest.raises(ConfigError, match="cannot watch"):
        wanted(early_stopping={"monitor": "val_f1"}).check()
    with pytest.raises(ConfigError, match=r"cannot take 0 for 'training.batch_size'"):
        wanted({"training.batch_size": [0, 1]}).check()
