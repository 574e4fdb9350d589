"""A recipe: an architecture and how it is trained, as a small TOML file that a person can read and change.

    layers = [
      { type = "Rescale" },
      { type = "Flatten" },
      { type = "Dense", units = 10 },
    ]

    [training]
    epochs = 5
    optimizer = { type = "Adam", learning_rate = 0.001 }

    [training.augmentation]
    rotation = 10
    shift = 0.08

The named ones lie in `tinynet/zoo`; in `zoo/reference` the same nets with the settings of the systems they
come from. Every key is checked once, when the file is read; an unknown one is an error that lists the known.

What keeps its defaults may be its name alone: loss = "BinaryCrossEntropy".

In memory a recipe holds the objects that the tables describe: layers, a loss, an optimiser, a schedule. Each
model and each trainer copies them, since a layer in use has weights and an optimiser in use has averages.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

from tinynet.averaging import check_decay
from tinynet.backends.base import Backend
from tinynet.callbacks.monitors import EarlyStopping, ReduceOnPlateau
from tinynet.data.augmentation import Augmentation
from tinynet.errors import ConfigError, did_you_mean
from tinynet.history import BY_LOSS, BestBy
from tinynet.io import tables, toml
from tinynet.layers import LAYER_FAMILY, Dense, Layer
from tinynet.losses import LOSSES, BinaryCrossEntropy, Loss, SoftmaxCrossEntropy
from tinynet.model import Sequential
from tinynet.optim import OPTIMIZERS, Adam, Optimizer
from tinynet.printable import counted
from tinynet.schedules import SCHEDULES, Constant, Schedule

FAMILIES: tables.Families = {**LAYER_FAMILY, Loss: LOSSES, Optimizer: OPTIMIZERS, Schedule: SCHEDULES}
"""What the tables of a recipe may name by their `type`."""


class Description:
    """A dataclass that equals every other of the same values, though its layers and losses are compared by
    identity."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and tables.to_arguments(self) == tables.to_arguments(other)

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True, eq=False)
class Training(Description):
    """How a model is trained. `validation` samples are the last ones: a share if below 1, else a count."""

    epochs: int = 10
    min_steps: int = 0
    """A small data set is gone through more often than `epochs`, until so many steps are done."""
    batch_size: int = 64
    samples: int | None = None
    """Use the first so many training samples, validation included; all of them when not given."""
    validation: float = 0.0
    loss: Loss = field(default_factory=SoftmaxCrossEntropy)
    class_weight: str | list[float] | None = None
    """How much errors on each class count: a number for each, or "balanced", by which all count alike."""
    optimizer: Optimizer = field(default_factory=Adam)
    schedule: Schedule = field(default_factory=Constant)
    augmentation: Augmentation | None = None
    """How training images are distorted; not at all when not given."""
    ema_decay: float | None = None
    """The decay of a moving average of the weights, such as 0.999: see `averaging`. Validation,
    best checkpoint and final model go by it; a step's own loss and accuracy by the weights as they are."""
    monitor: str | None = None
    """What makes an epoch the best: the best checkpoint, early stopping and the report go by it. When it is
    not given, the monitor of `early_stopping` is; without that, val_loss."""
    early_stopping: EarlyStopping | None = None
    reduce_on_plateau: ReduceOnPlateau | None = None

    def __post_init__(self) -> None:
        smallest = {"epochs": 1, "min_steps": 0, "batch_size": 1, "validation": 0, "samples": 1}
        for name, least in smallest.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigError(f"{name} is too small", expected=f"at least {least}", received=value)
        if self.validation >= 1 and self.validation != int(self.validation):
            raise ConfigError(
                "validation is a share below 1, or a count", expected="0.1, or 500", received=self.validation
            )
        if self.ema_decay is not None:
            check_decay(self.ema_decay)
        if self.monitor is not None and self.early_stopping is not None:
            self._have_one_monitor(self.monitor, self.early_stopping)

    def _have_one_monitor(self, monitor: str, stopping: EarlyStopping) -> None:
        """Let early stopping go by `monitor`, unless it names another one itself."""
        if stopping.monitor not in (monitor, EarlyStopping.monitor):
            raise ConfigError(
                "a training has one best epoch, so one monitor",
                expected=f"monitor and early_stopping.monitor to be the same, such as {monitor!r}",
                received=f"{monitor!r} and {stopping.monitor!r}",
                fix="leave one of them out",
            )
        object.__setattr__(self, "early_stopping", dataclasses.replace(stopping, monitor=monitor))

    @property
    def best_by(self) -> BestBy:
        """What makes an epoch the best one, and whether its weights are kept."""
        stopping = self.early_stopping
        if stopping is None:
            return BestBy(self.monitor or BY_LOSS.monitor)
        return BestBy(stopping.monitor, stopping.min_delta, stopping.restore_best)

    def epochs_on(self, samples: int) -> int:
        """The epochs to train on so many samples."""
        steps_per_epoch = -(-samples // self.batch_size)
        return max(self.epochs, -(-self.min_steps // steps_per_epoch))

    def epochs_in_words(self) -> str:
        """What the recipe says of epochs: "6", or "6, or as many as make 1,500 steps"."""
        return str(self.epochs) + (f", or as many as make {self.min_steps:,} steps" if self.min_steps else "")

    def cut(self, available: int) -> tuple[int, int]:
        """(training, validation) counts out of `available` samples; ConfigError when there are too few."""
        samples = available if self.samples is None else self.samples
        held_out = round(samples * self.validation) if self.validation < 1 else int(self.validation)
        if self.validation and not held_out:
            raise ConfigError(
                "no sample is left for validation",
                expected=f"a share of {samples:,} samples that is one or more of them; 0 for none",
                received=self.validation,
                fix="learn from all of them: --validation 0",
            )
        if samples > available or held_out >= samples:
            raise ConfigError(
                "the data set is too small for this recipe",
                expected=f"{max(samples, held_out + 1)} or more, {held_out} of them for validation",
                received=f"{counted(available, 'sample')}",
                fix="a smaller `samples` under [training] in the recipe's TOML file"
                if samples > available
                else "a share for validation, which fits every data set: --validation 0.1",
            )
        return samples - held_out, held_out

    def with_all_of(self, available: int) -> Training:
        """The same, with all of `available` samples where `samples` asks for more; a count for validation is
        then the share that it was."""
        if self.samples is None or self.samples <= available:
            return self
        share = self.validation if self.validation < 1 else self.validation / self.samples
        return dataclasses.replace(self, samples=None, validation=share)


@dataclass(frozen=True, eq=False)
class Recipe(Description):
    """An architecture for samples of `input_shape`, and its training."""

    layers: Sequence[Layer]
    input_shape: tuple[int, ...] = (28, 28, 1)
    training: Training = field(default_factory=Training)

    def build_model(
        self,
        *,
        backend: str | Backend | None = None,
        dtype: str = "float32",
        seed: int = 0,
        freeze: Sequence[str] = (),
    ) -> Sequential:
        """A new model of this architecture; arguments as for `Sequential`."""
        layers = [dataclasses.replace(layer) for layer in self.layers]
        return Sequential(layers, self.input_shape, backend=backend, dtype=dtype, seed=seed, freeze=freeze)

    @property
    def last_dense(self) -> Dense | None:
        """The last dense layer, which has an output for each class."""
        return next((layer for layer in reversed(self.layers) if isinstance(layer, Dense)), None)

    def for_data(self, input_shape: tuple[int, ...], classes: int) -> Recipe:
        """The same for samples of another shape and so many classes: the last Dense has a unit for each, or
        one for two classes if the loss is BinaryCrossEntropy."""
        binary = classes == 2 and isinstance(self.training.loss, BinaryCrossEntropy)
        layers = list(self.layers)
        if last := self.last_dense:
            layers[layers.index(last)] = dataclasses.replace(last, units=1 if binary else classes)
        return dataclasses.replace(self, layers=layers, input_shape=input_shape)

    def with_epochs(self, epochs: int) -> Recipe:
        """The same, trained for exactly so many epochs."""
        return dataclasses.replace(
            self, training=dataclasses.replace(self.training, epochs=epochs, min_steps=0)
        )


def names(*, reference: bool = False) -> list[str]:
    """The named recipes: our own, or the settings of the reference systems."""
    files = (entry.name for entry in _zoo(reference).iterdir())
    return sorted(name.removesuffix(".toml") for name in files if name.endswith(".toml"))


def load(name: str, *, reference: bool = False) -> Recipe:
    """The recipe called `name`, ours or the reference system's, or the one in the TOML file at that path.

    Raises ConfigError for an unknown name, a file that is missing or no TOML, an unknown key, a wrong value.
    """
    known = names(reference=reference)
    if name in known:
        table = tomllib.loads(_zoo(reference).joinpath(f"{name}.toml").read_text("utf-8"))
    elif name.endswith(".toml") and not reference:
        table = toml.load(name)
    else:
        raise ConfigError(
            "no reference system has this architecture" if reference else "unknown architecture",
            expected=", ".join(known) + ("" if reference else ", or the path of a .toml file"),
            received=repr(name),
            fix=did_you_mean(name, known),
        )
    try:
        return from_table(table)
    except ConfigError as error:
        raise ConfigError(f"in {name}: {error}") from error


def from_table(table: Mapping[str, Any]) -> Recipe:
    """The recipe that the content of a TOML file describes."""
    return tables.from_arguments(Recipe, table, "the recipe", FAMILIES)


def to_toml(recipe: Recipe) -> str:
    """The text of a file from which `load` reads an equal recipe: all of its training, and of its layers what
    is not at its default."""
    table = tables.to_arguments(recipe)
    shape = [f"input_shape = {toml.inline(table['input_shape'])}"] if "input_shape" in table else []
    layers = [f"  {toml.inline(layer)}," for layer in table["layers"]]
    training = [
        f"{name} = {toml.inline(value)}"
        for name, value in tables.to_arguments(recipe.training, defaults=True).items()
    ]
    return "\n".join([*shape, "layers = [", *layers, "]", "", "[training]", *training]) + "\n"


def _zoo(reference: bool) -> Traversable:
    zoo = resources.files("tinynet.zoo")
    return zoo.joinpath("reference") if reference else zoo
