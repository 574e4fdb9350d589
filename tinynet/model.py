"""Sequential: layers one after another, built for one input shape, on one backend."""

from __future__ import annotations

import copy
import math
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple, TypeAlias
from weakref import WeakSet

import numpy as np

from tinynet import backends
from tinynet.backends.base import Backend
from tinynet.backends.recording import Recorder, may_record, operations_for
from tinynet.backends.workspace import Workspace
from tinynet.checks import as_array, sizes, whole
from tinynet.distributed.group import WHOLE, Shard
from tinynet.errors import ConfigError, DeviceError, DTypeError, ShapeError
from tinynet.freezing import frozen_parameters
from tinynet.io import tables
from tinynet.layers import LAYER_FAMILY, LAYERS
from tinynet.layers.base import Layer
from tinynet.layers.checks import check_gradient, check_input, check_returned_gradient, checked_output
from tinynet.layers.fusion import fuse
from tinynet.layers.stack import build_layers, walk
from tinynet.rng import Key, Stream
from tinynet.store import ParameterStore
from tinynet.summary import Summary
from tinynet.types import Array, Shape

DTYPES = ("float32", "float64")
EVALUATION_BATCH = 256
"""Samples at a time in validation and prediction."""


Watcher: TypeAlias = Callable[[int, Array], None]
"""Is shown, in passing, something of the layer at a position. The array is valid only during the call."""


def _fitting() -> ModuleType:
    """What trains a model stands above it, and imports it."""
    return import_module("tinynet.fitting")


class Tape(NamedTuple):
    """What one forward leaves for its backward: each layer's cache, and the memory they lie in.

    A tape cut short, `tape.until(position)`, takes a backward from ∂L/∂(what that layer was given).
    """

    phase: str
    caches: list[Any]

    def until(self, position: int) -> Tape:
        """The tape of the layers before `position`."""
        return Tape(self.phase, self.caches[:position])


class Sequential:
    """y = layerₖ( … layer₂(layer₁(x)) )

    `layers` are built at once for samples of `input_shape`; `backend` is a name, a Backend, or None for
    the default; `seed` fixes the initial weights and every dropout mask. All parameters live in `store`.
    Training moves nothing of what the patterns in `freeze` match, names of layers or of parameters:
    "conv2d_*", "dense_1", "dense_1.W".
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        input_shape: Sequence[int],
        *,
        backend: str | Backend | None = None,
        dtype: str = "float32",
        seed: int = 0,
        freeze: str | Sequence[str] = (),
    ) -> None:
        if dtype not in DTYPES:
            raise ConfigError("unknown dtype", expected=" or ".join(DTYPES), received=repr(dtype))
        if not layers:
            raise ConfigError(
                "a model needs at least one layer", expected="a list of layers", received="none"
            )
        for layer in layers:
            if not isinstance(layer, Layer):
                raise ConfigError(
                    "a model is made of layers", expected="layers, such as Dense(10)", received=repr(layer)
                )
        self._layers = tuple(layers)
        try:
            self.input_shape = sizes(input_shape, "a model", "input_shape")
        except ConfigError as error:
            raise ConfigError(
                "the input shape is that of one sample, without the batch",
                expected="a tuple, such as (28, 28, 1) or (784,), of whole numbers",
                received=repr(input_shape),
            ) from error
        if min(self.input_shape, default=1) < 1:
            raise ShapeError(
                "a sample has no values", expected="sizes of at least 1", received=self.input_shape
            )
        self.backend = backend if isinstance(backend, Backend) else backends.get(backend)
        self.workspace = Workspace()
        self.loss: Any = None
        """The Loss that it was last trained with, which `save_model` keeps; None before any training."""
        self.lock = threading.RLock()
        """Held while the workspace is in use: for a batch of training, for a prediction."""
        _models.add(self)
        self.dtype = dtype
        self.seed = whole(seed, "a model", "seed", least=0, most=2**64 - 1)
        self._check_unused()
        try:
            self._build()
            frozen = frozen_parameters(self.layers, [freeze] if isinstance(freeze, str) else freeze)
        except Exception:
            for layer in self.layers:
                layer.release()
            raise
        self.store = ParameterStore(self.layers, self.backend, dtype, self.seed, frozen)
        for layer in self.layers:
            layer.bind(*self.store.views_of(layer), frozen)
        self._penalties = self.store.penalties()
        learners = (i for i, layer in enumerate(self.layers) if layer.param_specs and not layer.frozen)
        self._first_learner = next(learners, len(self.layers))
        records = may_record("evaluate", self.backend, self, *walk(self.layers))
        self.recorded_outputs = Recorder(self.backend, self._outputs, records)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers, from the input to the output. A model keeps those that it was built of."""
        return self._layers

    def _check_unused(self) -> None:
        for position, layer in enumerate(self.layers):
            if layer.name or layer in self.layers[:position]:
                raise ConfigError(
                    f"{layer.label} already belongs to a model",
                    fix="make a new layer for every place in a model",
                )

    def _build(self) -> None:
        self.output_shape = build_layers(
            self.layers,
            self.input_shape,
            self.dtype,
            lambda layer: operations_for(layer, self.backend, self.workspace, layer.name),
        )
        self._widths = [math.prod(layer.input_shape) for layer in self.layers]
        fuse(self.layers)

    def forward(
        self,
        x: Array,
        *,
        train: bool = False,
        step: Any = 0,
        shard: Shard = WHOLE,
        watch: Watcher | None = None,
    ) -> tuple[Array, Tape]:
        """(outputs (N, …), tape) of a batch x (N, *input_shape) on the backend's device.

        The outputs stay valid until the next forward in the same mode; copy them to keep them longer.
        `step` names this step's random numbers; in a recording it is a number in the device's memory. In
        training x may be a `shard` of a batch, and gets the random numbers that it would in all of it, if a
        layer draws one for each value it is given. `watch` is shown every layer's output; where a ReLU is
        fused with the layer before it, that layer's is rectified already.
        """
        if self.backend.holds(x) and x.device != self.store.values.flat.device:
            raise DeviceError(
                "the batch lies on another device than the model",
                expected=self.store.values.flat.device,
                received=x.device,
                fix="model.backend.asarray(numpy array) puts it where the model is",
            )
        phase = "train" if train else "evaluate"
        self.workspace.begin(phase)
        caches = []
        for position, layer in enumerate(self.layers):
            key = Key(self.seed, Stream.DROPOUT, position, step, shard.first * self._widths[position])
            layer.shard = shard
            if position == 0:
                check_input(layer, x)
            x, cache = checked_output(layer, layer.forward(x, train=train, key=key), len(x))
            caches.append(cache)
            if watch:
                watch(position, x)
        return x, Tape(phase, caches)

    def backward(
        self, dy: Array, tape: Tape, *, input_gradient: bool = False, watch: Watcher | None = None
    ) -> Array | None:
        """Write every parameter's gradient, given dy = ∂L/∂outputs and the tape of their forward.

        Stops at the first layer that learns, unless `input_gradient` asks for ∂L/∂x of the model's input.
        `watch` is shown ∂L/∂output of every layer visited.
        """
        self.workspace.phase = tape.phase
        last = 0 if input_gradient else self._first_learner
        check_gradient(self.layers[len(tape.caches) - 1], dy)
        gradient: Any = dy
        for position in reversed(range(last, len(tape.caches))):
            layer = self.layers[position]
            layer.needs_dx = input_gradient or position > last
            if watch:
                watch(position, gradient)
            gradient = layer.backward(gradient, tape.caches[position])
            if layer.needs_dx:
                check_returned_gradient(layer, gradient, len(dy))
        return gradient if input_gradient else None

    def regularize(self, loss: float | Array = 0.0) -> float | Array:
        """Add ∂(λ ΣW²)/∂W = 2 λ W to each gradient whose layer has an `l2` of λ; return loss + Σ λ ΣW².

        The penalty of a frozen W is a constant: it counts in the loss, so that losses can be compared.
        """
        return self._penalised(loss, self.store.learning_gradients)

    def penalty(self) -> float | Array:
        """Σ λ ΣW² over the layers with an `l2` of λ."""
        return self._penalised(0.0, self.store.learning_gradients[:0])

    def _penalised(self, loss: float | Array, grads: Array) -> float | Array:
        if not self._penalties:
            return loss
        return self.backend.l2_penalty(loss, self.store.values.flat, grads, self._penalties)

    def predict(self, x: Any, *, batch_size: int = EVALUATION_BATCH) -> Array:
        """Outputs (M, …) on the host for host samples x (M, *input_shape), in evaluation mode.

        Several threads may predict by one model, and train it besides: they take turns.
        """
        batch_size = whole(batch_size, "predict", "batch_size", least=1)
        x = as_array(x, "samples")
        self.backend.check_takes(x, "samples")
        out = np.empty((len(x), *self.output_shape), dtype=self.dtype)
        with self.lock:
            for start in range(0, len(x), batch_size):
                batch = self.backend.asarray(self.as_input(x[start : start + batch_size]))
                out[start : start + len(batch)] = self.backend.to_host(self.recorded_outputs(batch))
        return out

    def fit(
        self,
        x: Any,
        y: Any,
        *,
        epochs: int = 10,
        batch_size: int = 64,
        validation_data: tuple[Any, Any] | None = None,
        callbacks: Sequence[Any] = (),
        **settings: Any,
    ) -> list[dict[str, Any]]:
        """Train on samples x (M, *input_shape) and targets y; return the history, a record for each epoch.

        `settings` are loss, optimizer, class_weight, sample_weight, validation_split, augmentation and
        verbose. What each of them takes, what y may be and what is raised: see `tinynet.fitting.fit`.
        """
        chosen = {"epochs": epochs, "batch_size": batch_size, "callbacks": callbacks}
        fitted: list[dict[str, Any]] = _fitting().fit(
            self, x, y, validation_data=validation_data, **chosen, **settings
        )
        return fitted

    def evaluate(self, x: Any, y: Any, **settings: Any) -> dict[str, float]:
        """The loss on samples x and targets y; for classes also the accuracy, for values mae, rmse and r2.

        The one of `settings` is loss, as for `fit`. All about it: `tinynet.fitting.evaluate`.
        """
        found: dict[str, float] = _fitting().evaluate(self, x, y, **settings)
        return found

    def score(self, x: Any, y: Any, **settings: Any) -> float:
        """The accuracy for classes, R² for values, on samples x and targets y.

        The one of `settings` is loss, as for `fit`. All about it: `tinynet.fitting.score`.
        """
        found: float = _fitting().score(self, x, y, **settings)
        return found

    def _outputs(self, x: Array) -> Array:
        return self.forward(x)[0]

    @property
    def is_packed(self) -> bool:
        """Whether it is taken that weights stay as they are: see `pack`."""
        return self.workspace.packed is not None

    @contextmanager
    def changing_weights(self) -> Iterator[None]:
        """Inside the block weights may be written to: nobody predicts by them, and no packed form is kept."""
        with self.lock:
            self.unpack()
            yield

    def pack(self) -> None:
        """Assume that the weights no longer change, and keep them in faster layouts for `predict`.

        A weight that changes from now on may not show in `predict` until `unpack`. Training unpacks.
        """
        self.workspace.packed = {}
        self.recorded_outputs.forget()

    def unpack(self) -> None:
        """Weights may change again."""
        if self.is_packed:
            self.workspace.packed = None
            self.recorded_outputs.forget()

    def release_memory(self) -> None:
        """Let go of the memory that its operations write into; what is needed of it is allocated anew."""
        with self.lock:
            self.recorded_outputs.forget()
            self.workspace.release()

    def as_input(self, x: Array) -> Array:
        """x as `forward` takes it: other floating dtypes are cast, integers stay for Rescale to scale.

        Bytes in another order than the machine's, as IDX files may have them, are turned round.
        """
        return x.astype(self.input_dtype(x.dtype), copy=False)

    def input_dtype(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        """The dtype that `as_input` gives to samples of that dtype."""
        if dtype.kind == "f":
            return np.dtype(self.dtype)
        if dtype.kind in "iub":
            return dtype.newbyteorder("=")
        raise DTypeError("a model takes real numbers", expected="float or integer samples", received=dtype)

    def summary(self, batch_size: int = 64) -> Summary:
        """A row for every layer; algorithms as for batches of that size. It prints as a table."""
        return Summary.of(self.layers, self.input_shape, self.dtype, self.backend.name, batch_size)

    def __repr__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary().as_html()

    def __reduce__(self) -> tuple[Any, ...]:
        """For another process: settings and numbers. The rest is made anew."""
        settings = {
            "backend": self.backend,
            "dtype": self.dtype,
            "seed": self.seed,
            "freeze": sorted(self.store.frozen),
        }
        loss = copy.copy(self.loss)
        numbers = [self.backend.to_host(b.flat).copy() for b in (self.store.values, self.store.state)]
        return _rebuilt, (
            type(self),
            [replace(layer) for layer in self.layers],
            self.input_shape,
            settings,
            loss,
            *numbers,
        )

    def __deepcopy__(self, memo: object) -> Sequential:
        rebuild, description = self.__reduce__()
        copy: Sequential = rebuild(*description)  # on the same backend
        return copy

    def config(self) -> dict[str, Any]:
        """The architecture as plain values: `Sequential.from_config` builds it again."""
        return {
            "input_shape": list(self.input_shape),
            "layers": [tables.to_table(layer) for layer in self.layers],
        }

    @classmethod
    def from_config(
        cls,
        table: Mapping[str, Any],
        *,
        backend: str | Backend | None = None,
        dtype: str = "float32",
        seed: int = 0,
        freeze: str | Sequence[str] = (),
    ) -> Sequential:
        """The model that `table` describes; ConfigError for an unknown layer or setting."""
        layers = [tables.from_table(LAYERS, layer, "layer", LAYER_FAMILY) for layer in table["layers"]]
        return cls(layers, table["input_shape"], backend=backend, dtype=dtype, seed=seed, freeze=freeze)


_models: WeakSet[Sequential] = WeakSet()


def _open_locks() -> None:
    """In a forked child: the thread that held a lock is the parent's."""
    for model in _models:
        model.lock = threading.RLock()


if hasattr(os, "register_at_fork"):  # where there is fork
    os.register_at_fork(after_in_child=_open_locks)


def _rebuilt(
    kind: type[Sequential],
    layers: Sequence[Layer],
    input_shape: Shape,
    settings: Mapping[str, Any],
    loss: Any,
    values: Array,
    state: Array,
) -> Sequential:
    """What `Sequential.__reduce__` has described."""
    model = kind(layers, input_shape, **settings)
    for buffer, numbers in ((model.store.values, values), (model.store.state, state)):
        buffer.flat[...] = model.backend.asarray(numbers)
    if loss is not None:
        loss.start(model)
        model.loss = loss
    return model
