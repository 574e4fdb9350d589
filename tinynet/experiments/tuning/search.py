"""The search: trial after trial, each a training with other settings, compared by validation accuracy.

Only training images come here: the first ones are trained on, the last ones are for validation, as the recipe
says. The test images are never passed in.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from tinynet.backends.base import Backend
from tinynet.data.datasets import Split
from tinynet.errors import ConfigError, NonFiniteError, RunError, ShapeError
from tinynet.experiments.tuning import study as studies
from tinynet.experiments.tuning.space import Space
from tinynet.runs import recipe
from tinynet.runs.recipe import Recipe
from tinynet.runs.trainers import build_monitors, trainer_from_recipe
from tinynet.training import Callback, EpochEnd, Trainer

HELD_OUT = 0.1
"""The share of the training images used for validation, where the recipe holds none out."""
WHY = "why"
"""The name under which a trial says why it has no figure."""


@dataclass(frozen=True, eq=False)
class Search:
    """What is searched: a recipe, its settings, the training images, and how each trial is trained."""

    plan: Recipe
    space: Space
    train: Split
    data_sha256: str
    seed: int
    backend: Backend
    dtype: str = "float32"

    def about(self) -> dict[str, Any]:
        """All that must be the same in processes that share a study."""
        return {
            "recipe": recipe.to_toml(self.plan),
            "search space": self.space.as_table(),
            "data": self.data_sha256,
            "seed": self.seed,
            "dtype": self.dtype,
        }

    def check(self) -> None:
        """Raise, before anything is trained, what the recipe or the space would raise in every trial."""
        self.space.check(self.plan)
        trainer = self.trainer(self.plan)
        for monitor in build_monitors(self.plan.training):
            monitor.check(trainer)

    def recipe_of(self, trial: FrozenTrial | optuna.Trial) -> Recipe:
        """The recipe that the trial trains."""
        return self.space.applied(self.space.values(trial.params), self.plan)

    def trainer(self, plan: Recipe) -> Trainer:
        """A training by `plan` on the first images, validated by the last."""
        return trainer_from_recipe(self.train, plan, backend=self.backend, dtype=self.dtype, seed=self.seed)


def prepared(plan: Recipe, train: Split, epochs: int | None, validation: float | None) -> Recipe:
    """The recipe as trials train it: with the same epochs for each, and validation images.

    The epochs are those given, or what the recipe would take with its own batch size.
    """
    training = plan.training
    if validation is None:
        validation = training.validation or HELD_OUT
    training = dataclasses.replace(training, validation=validation)
    count, held_out = training.cut(len(train))
    if not held_out:
        raise ConfigError(
            "there are no validation images to compare trials by",
            expected="--validation above 0",
            received=validation,
        )
    epochs = training.epochs_on(count) if epochs is None else epochs
    return dataclasses.replace(plan, training=training).with_epochs(epochs)


def trials(
    search: Search,
    study: Study,
    *,
    count: int,
    seconds: float | None = None,
    listen: Callable[[int], Callback] = lambda number: Callback(),
) -> Iterator[FrozenTrial]:
    """Train until the study holds `count` trials, begin none after `seconds`; yield each.

    Trials of other processes count, too. `listen(number)` makes a listener for a trial. Ctrl-C marks the
    trial under way as failed and raises KeyboardInterrupt; what was found stays in the study.
    """
    check_trials(search, study)
    began = time.monotonic()
    while len(study.get_trials(deepcopy=False, states=studies.LIVE)) < count:
        if seconds is not None and time.monotonic() - began >= seconds:
            return
        yield _try(search, study, listen)


def check_trials(search: Search, study: Study) -> None:
    """Raise RunError where a trial in the storage has settings or figures that none can have."""
    for trial in study.get_trials(deepcopy=False, states=studies.FINISHED):
        done = trial.state == TrialState.COMPLETE
        figures = [*trial.intermediate_values.values(), *([trial.value] if done else [])]
        try:
            search.space.values(trial.params)
            if any(f is None or not 0 <= f <= 1 for f in figures if f is not None or done):
                raise ValueError(f"the figures {figures}")
        except (LookupError, TypeError, ValueError) as error:
            raise RunError(
                f"trial {trial.number} in the storage of this search is damaged",
                expected="a value for each setting, and accuracies from 0 to 1",
                received=repr(error)[:200],
                fix="choose another --storage, or delete the file to begin anew",
            ) from error


def _try(search: Search, study: Study, listen: Callable[[int], Callback]) -> FrozenTrial:
    """Train one trial, and tell the study how it went."""
    trial = studies.begin(study, search.space)
    try:
        figure = _train(search, trial, listen(studies.draw_of(trial)))
    except (NonFiniteError, ConfigError, ShapeError) as error:
        trial.set_user_attr(WHY, str(error).splitlines()[0])
        return study.tell(trial, state=TrialState.PRUNED)
    except BaseException:
        study.tell(trial, state=TrialState.FAIL)
        raise
    if figure is None:
        return study.tell(trial, state=TrialState.PRUNED)
    return study.tell(trial, figure)


def _train(search: Search, trial: optuna.Trial, listener: Callback) -> float | None:
    """The validation accuracy of the weights that training ended with; None for a pruned trial."""
    plan = search.recipe_of(trial)
    trainer = search.trainer(plan)
    trainer.run([*build_monitors(plan.training), Pruning(trial), listener])
    if trainer.state.stopped == "interrupted":
        raise KeyboardInterrupt
    if trainer.state.stopped == Pruning.REASON:
        return None
    assert trainer.validation is not None
    return trainer.evaluate(trainer.validation)["accuracy"]


class Pruning(Callback):
    """Reports the validation accuracy of every epoch to the study, which may prune the trial."""

    REASON = "pruned: other trials were better at this epoch"

    def __init__(self, trial: optuna.Trial) -> None:
        self.trial = trial

    def on_epoch(self, trainer: Trainer, event: EpochEnd) -> None:
        self.trial.report(event.record["val_accuracy"], event.record["epoch"])
        if event.record["epoch"] < trainer.epochs and self.trial.should_prune():
            trainer.stop(self.REASON)


def best(study: Study) -> FrozenTrial:
    """The first of the highest accuracy. Raises RunError where no trial was trained to its end."""
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not done:
        reasons = [t.user_attrs[WHY] for t in study.get_trials(deepcopy=False) if WHY in t.user_attrs]
        raise RunError(
            "no trial was trained to its end yet",
            expected="one or more",
            received=reasons[-1] if reasons else "none",
            fix="repeat the command to go on, or change the search space",
        )
    return max(done, key=lambda trial: trial.value or 0.0)
