"""Models and training states on disk: safetensors for arrays, a JSON header for the rest, no pickle, no code.

A *model* file holds the architecture, the weights and the running statistics; a *training* file also the
optimiser's averages, those of the weights, the position in the run and what the callbacks remember, so that a
resumed run is the same run. Tensors are named: values/dense_1.W, state/batchnorm_1.mean,
optimizer/m/dense_1.W, ema/values/dense_1.W, callback/0/values. Both kinds are written whole or not at
all.
"""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinynet import backends
from tinynet.backends.base import Backend
from tinynet.errors import CheckpointError, ConfigError, TinynetWarning
from tinynet.history import History
from tinynet.io import tables
from tinynet.io.atomic import fix_for, write_atomic
from tinynet.io.reading import parse_json
from tinynet.io.run_folder import name_a_run
from tinynet.io.tensors import read_tensors
from tinynet.layers import LAYER_FAMILY, LAYERS, Dense, Layer
from tinynet.layers.stack import build_layers, walk
from tinynet.losses import LOSSES, Loss, SoftmaxCrossEntropy
from tinynet.model import DTYPES, Sequential
from tinynet.printable import counted, printable, quoted
from tinynet.training import TrainingState
from tinynet.types import Array, Shape

if TYPE_CHECKING:
    from tinynet.training import Callback, Trainer

FORMAT = 1
HEADER_KEY = "tinynet"
MAX_LAYERS = 1000
MAX_RANK = 8
MAX_VALUES = 2**27
"""That the layers of a model from a file may give for one sample: ten times those of VGG-16."""
MISSING = object()


@dataclass(frozen=True)
class Architecture:
    """What `Sequential.config` says."""

    input_shape: tuple[int, ...]
    layers: list[Any]

    def __post_init__(self) -> None:
        if not 1 <= len(self.layers) <= MAX_LAYERS:
            raise ConfigError("layers", expected=f"1 to {MAX_LAYERS:,}", received=len(self.layers))
        if min(self.input_shape, default=1) < 1 or math.prod(self.input_shape) > MAX_VALUES:
            raise ConfigError(
                "the input shape",
                expected=f"sizes of at least 1, at most {MAX_VALUES:,} values",
                received=self.input_shape,
            )


@dataclass(frozen=True)
class Header:
    """All in a file but tensors. A model file has neither `optimizer` nor `training` nor `callbacks`."""

    format: int
    model: Architecture
    dtype: str
    seed: int
    loss: dict[str, Any]
    about: dict[str, Any]
    optimizer: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] | None = None
    callbacks: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ConfigError("dtype", expected=" or ".join(DTYPES), received=repr(self.dtype))
        object.__setattr__(self, "about", _checked_about(self.about))


def _checked_about(about: Mapping[str, Any]) -> dict[str, Any]:
    """A copy in which all texts are printable. ConfigError where what tinynet looks at is of another kind."""
    classes = about.get("classes", [])
    if not isinstance(classes, list | tuple) or not all(isinstance(name, str) for name in classes):
        raise ConfigError("`about`: classes", expected="a list of texts", received=repr(classes)[:200])
    for name in ("name", "dataset", "data_sha256"):
        if not isinstance(about.get(name, ""), str):
            raise ConfigError(f"`about`: {name}", expected="a text", received=repr(about[name])[:200])
    return {printable(str(key)): _made_printable(value) for key, value in about.items()}


def _made_printable(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list | tuple):
        return [_made_printable(each) for each in value]
    if isinstance(value, Mapping):
        return {printable(str(key)): _made_printable(each) for key, each in value.items()}
    return value


class Loaded(NamedTuple):
    """A model read from a file, with the loss it was trained by (it turns outputs into probabilities)."""

    model: Sequential
    loss: Loss
    about: dict[str, Any]


def save_model(
    path: str | Path, model: Sequential, loss: Loss | None = None, about: Mapping[str, Any] | None = None
) -> None:
    """Write the model alone, with the `loss` that turns its outputs into probabilities.

    Where none is given it is `model.loss`, the one that it was last trained with; for a model that never was
    trained, SoftmaxCrossEntropy. `about` is kept as it is (classes, data set, …: plain values). Raises
    CheckpointError where the disk is full or the folder cannot be written, and ConfigError for a model too
    large to be read again; an older file then stays.
    """
    _check_sizes(model.layers)
    loss = loss or model.loss or SoftmaxCrossEntropy()
    _write(Path(path), _model_header(model, loss, about or {}), _model_tensors(model))


def load_model(path: str | Path, *, backend: str | Backend | None = None) -> Loaded:
    """The model in a model or training file, or of a run's folder: as it was at the end, or else last saved.

    Raises CheckpointError for a damaged or foreign file. A layer of your own is known once it stands in
    `tinynet.layers.LAYERS`, under the name of its class; so is a loss in `tinynet.losses.LOSSES`.
    """
    path, ops = Path(path), backend if isinstance(backend, Backend) else backends.get(backend)
    if path.is_dir():
        path = _model_of_run(path)
    header, tensors = _read(path)
    try:
        layers = [tables.from_table(LAYERS, layer, "layer", LAYER_FAMILY) for layer in header.model.layers]
        loss = tables.from_table(LOSSES, header.loss, "loss")
        declared = _declared_tensors(layers, header, ops)
    except Exception as error:  # whatever the layers' own checks make of settings that nobody foresaw
        raise CheckpointError(f"{path} describes no model this version can build: {error}") from error
    for name, shape in declared.items():  # before anything is allocated: a small file may ask for a lot
        _check_tensor(path, tensors, name, shape, header.dtype)
    model = Sequential(layers, header.model.input_shape, backend=ops, dtype=header.dtype, seed=header.seed)
    _fill(model.backend, _model_views(model), tensors)
    loss.start(model)
    model.loss = loss
    return Loaded(model, loss, header.about)


def _declared_tensors(layers: Sequence[Layer], header: Header, ops: Backend) -> dict[str, Shape]:
    """The shape of each tensor that the layers will ask for, by its name in a file. None is allocated."""
    build_layers(layers, header.model.input_shape, header.dtype, lambda layer: ops)
    _check_sizes(layers)
    declared = {
        f"{kind}/{layer.name}.{spec.name}": spec.shape
        for layer in layers
        for kind, specs in (("values", layer.param_specs), ("state", layer.state_specs))
        for spec in specs
    }
    for layer in layers:
        layer.release()
    return declared


def _check_sizes(layers: Iterable[Layer]) -> None:
    """ConfigError where a file of these layers, which are built, would not be read."""
    shapes = [layer.output_shape for layer in walk(layers)]
    values, axes = sum(map(math.prod, shapes)), max(map(len, shapes))
    if len(shapes) > MAX_LAYERS or axes > MAX_RANK or values > MAX_VALUES:
        raise ConfigError(
            "its layers give too much",
            expected=f"at most {MAX_LAYERS:,} layers, and of them {MAX_VALUES:,} values a sample in all,"
            f" of at most {MAX_RANK} axes",
            received=f"{len(shapes):,} layers, {values:,} values, {axes} axes",
        )


def _model_of_run(folder: Path) -> Path:
    final, last = files = (folder / "model.safetensors", folder / "last.safetensors")
    if final.exists():
        return final
    if last.exists():
        said = f"the run in {folder} is not finished: its model is as it was last saved"
        warnings.warn(f"{said}\n  fix: tinynet train --resume {quoted(folder)}", TinynetWarning, stacklevel=3)
        return last
    raise CheckpointError(
        f"{folder} is not the folder of a run, or nothing of the run is saved yet",
        expected=" or ".join(file.name for file in files),
        received="neither",
        fix=name_a_run(folder),
    )


def save_training(
    path: Path, trainer: Trainer, callbacks: Sequence[Callback], about: Mapping[str, Any]
) -> None:
    """Write all that `load_training` needs to go on as if nothing had happened.

    Raises ConfigError for a training that was cut off within a step.
    """
    trainer.check_whole()
    model, optimizer = trainer.model, trainer.optimizer
    header = _model_header(model, trainer.loss, about) | {
        "optimizer": {"steps": optimizer.steps},
        "training": trainer.state.as_dict(),
        "callbacks": [callback.state() for callback in callbacks],
    }
    tensors = _model_tensors(model)
    for average, flat in optimizer.state.items():
        for name, view in model.store.values.split(flat).items():
            tensors[f"optimizer/{average}/{name}"] = model.backend.to_host(view)
    for name, view in trainer.average.tensors().items():
        tensors[f"ema/{name}"] = model.backend.to_host(view)
    for position, callback in enumerate(callbacks):
        for name, array in callback.arrays().items():
            tensors[f"callback/{position}/{name}"] = model.backend.to_host(array)
    _write(path, header, tensors)


def load_training(path: str | Path, trainer: Trainer, callbacks: Sequence[Callback] = ()) -> dict[str, Any]:
    """Put a newly built `trainer` and its callbacks where the file's were; return what it is `about`.

    Raises CheckpointError for a damaged or foreign file, and names the first parameter that differs.
    """
    path = Path(path)
    header, tensors = _read(path)
    if header.training is None:
        raise CheckpointError(
            f"{path} holds a model but no training state",
            expected="a file that LastCheckpoint wrote, such as last.safetensors",
        )
    model, optimizer = trainer.model, trainer.optimizer
    _check_same_architecture(path, header.model, model.config())
    if len(header.callbacks) != len(callbacks):
        raise CheckpointError(
            f"{path} was saved with other callbacks",
            expected=", ".join(type(callback).__name__ for callback in callbacks) or "none",
            received=f"{counted(len(header.callbacks), 'callback')}",
            fix="resume with the recipe the run was started with",
        )
    _check_state(path, header, trainer, callbacks)
    views = _model_views(model)
    for average, flat in optimizer.state.items():
        split = model.store.values.split(flat)
        views |= {f"optimizer/{average}/{name}": view for name, view in split.items()}
    views |= {f"ema/{name}": view for name, view in trainer.average.tensors().items()}
    for name, view in views.items():  # all of them first: a file that is refused changes nothing
        _check_tensor(path, tensors, name, view.shape, view.dtype)
    _fill(model.backend, views, tensors)
    optimizer.steps = header.optimizer["steps"]
    for name, value in header.training.items():
        setattr(trainer.state, name, History(value) if name == "history" else value)
    if isinstance(trainer.state.measured, list):
        trainer.state.measured = model.backend.asarray(np.array(trainer.state.measured, np.float64))
    for position, (callback, kept) in enumerate(zip(callbacks, header.callbacks, strict=True)):
        prefix = f"callback/{position}/"
        arrays = {n.removeprefix(prefix): a for n, a in tensors.items() if n.startswith(prefix)}
        callback.restore(kept, {name: model.backend.asarray(array) for name, array in arrays.items()})
    return header.about


def _check_state(path: Path, header: Header, trainer: Trainer, callbacks: Sequence[Callback]) -> None:
    """Raise CheckpointError unless all plain values are of the kind that the new objects have."""
    state, batches = header.training or {}, len(trainer.train)
    zero = trainer.measure.zero(trainer.model.backend)
    fresh = {"optimizer": {"steps": 0}, "training": TrainingState(measured=zero).as_dict()}
    fresh |= {f"callback {place}": callback.state() for place, callback in enumerate(callbacks, 1)}
    found: dict[str, Any] = {"optimizer": header.optimizer, "training": state}
    found |= {f"callback {place}": kept for place, kept in enumerate(header.callbacks, 1)}
    for owner, values in fresh.items():
        for name, value in values.items():
            kept = found[owner].get(name, MISSING) if isinstance(found[owner], dict) else MISSING
            if not _is_like(kept, value):
                raise _bad_state(path, f"{owner}: {name}", f"a value such as {value!r}", kept)
    if unknown := sorted(state.keys() - fresh["training"].keys()):
        raise _bad_state(path, "training", ", ".join(fresh["training"]), ", ".join(unknown))
    if not (0 <= state["batch"] <= batches and (state["batch"] > 0) == (state["seen"] > 0)):
        raise _bad_state(path, "batch", f"0 to {batches}, as many as an epoch has", state["batch"])
    if not math.isfinite(state["rate_scale"]):
        raise _bad_state(path, "rate_scale", "a finite number", state["rate_scale"])
    for row in state["history"]:
        plain = isinstance(row, dict) and all(isinstance(each, int | float) for each in row.values())
        if not plain or not isinstance(row.get("epoch"), int):
            raise _bad_state(path, "history", "a table of numbers for each epoch", row)


def _is_like(kept: Any, fresh: Any) -> bool:
    """Whether a value from a file can take the place of a new object's own; counts are 0 or more."""
    if fresh is None:
        return kept is None or isinstance(kept, str | int | float)
    if isinstance(fresh, list) and fresh:
        return isinstance(kept, list) and len(kept) == len(fresh) and all(map(_is_like, kept, fresh))
    if isinstance(fresh, bool) or not isinstance(fresh, int | float):
        return isinstance(kept, list if isinstance(fresh, list) else type(fresh))
    if isinstance(kept, bool) or not isinstance(kept, int | float):
        return False
    return isinstance(fresh, float) or (isinstance(kept, int) and kept >= 0)


def _bad_state(path: Path, what: str, expected: str, received: object) -> CheckpointError:
    return CheckpointError(
        f"{path} holds no state that training can go on from: {what}",
        expected=expected,
        received="nothing" if received is MISSING else f"{received!r}"[:200],
        fix="use another checkpoint of the run, or train again",
    )


class WarmStart(NamedTuple):
    """What a model started from: the hash of the file's weights, and the layer that was re-initialised."""

    weights_sha256: str
    reinitialised: str | None


def start_from(path: Path, model: Sequential, classes: Sequence[str] = ()) -> WarmStart:
    """Give a newly built model the weights and running statistics in a model or training file.

    Where the classes are others than the file's, in name or number, the last dense layer keeps the initial
    weights it has. Raises CheckpointError for a damaged or foreign file, and names the first tensor that does
    not fit.
    """
    header, tensors = _read(path)
    kept = {name: tensor for name, tensor in tensors.items() if name.startswith(("values/", "state/"))}
    own = _model_views(model)
    reinitialised = _new_head(model, kept, list(classes), header.about.get("classes"))
    taken = {
        name: view
        for name, view in own.items()
        if reinitialised is None or not name.startswith(f"values/{reinitialised}.")
    }
    for name, view in taken.items():
        _check_tensor(path, kept, name, view.shape, view.dtype)
    if more := sorted(kept.keys() - own.keys()):
        raise CheckpointError(
            f"{path} is of another model, with more layers",
            expected=", ".join(own),
            received=", ".join(more),
            fix="start an architecture from it that has its layers",
        )
    _fill(model.backend, taken, kept)
    return WarmStart(digest_of(kept), reinitialised)


def _new_head(
    model: Sequential, kept: Mapping[str, Array], classes: list[str], before: list[str] | None
) -> str | None:
    """The name of the last dense layer, if the tensors `kept` are for other classes."""
    last = next((layer for layer in reversed(model.layers) if layer.param_specs), None)
    if not isinstance(last, Dense):
        return None
    W, others = last.params.W, kept.get(f"values/{last.name}.W")
    if others is None or others.shape[:-1] != W.shape[:-1]:
        return None  # not for another number of classes: an error that is told as any other
    has_others = bool(classes) and before is not None and classes != list(before)
    return last.name if has_others or others.shape != W.shape else None


def weights_sha256(model: Sequential) -> str:
    """One hash over all parameters and running statistics: equal models have equal hashes."""
    return digest_of(_model_tensors(model))


def _check_same_architecture(path: Path, saved: Architecture, here: Mapping[str, Any]) -> None:
    pairs = zip_longest(saved.layers, here["layers"])
    differing = [(n, there, now) for n, (there, now) in enumerate(pairs, 1) if there != now]
    if list(saved.input_shape) != here["input_shape"]:
        differing.insert(0, (0, list(saved.input_shape), here["input_shape"]))
    if differing:
        number, there, now = differing[0]
        raise CheckpointError(
            f"{path} is of another model: {f'layer {number}' if number else 'the input shape'} differs",
            expected=now,
            received=there,
            fix="resume with the recipe the run was started with",
        )


def _model_header(model: Sequential, loss: Loss, about: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "model": model.config(),
        "dtype": model.dtype,
        "seed": model.seed,
        "loss": tables.to_table(loss),
        "about": _checked_about(about),
    }


def _model_views(model: Sequential) -> dict[str, Array]:
    """The model's tensors by their names in a file."""
    views = {f"values/{name}": view for name, view in model.store.values.views.items()}
    return views | {f"state/{name}": view for name, view in model.store.state.views.items()}


def _model_tensors(model: Sequential) -> dict[str, Array]:
    return {name: model.backend.to_host(view) for name, view in _model_views(model).items()}


def _fill(ops: Backend, views: Mapping[str, Array], tensors: Mapping[str, Array]) -> None:
    for name, view in views.items():
        view[...] = ops.asarray(tensors[name])


def _check_tensor(path: Path, tensors: Mapping[str, Array], name: str, shape: Shape, dtype: Any) -> None:
    """Raise CheckpointError unless there is a tensor of that name, shape and dtype."""
    found = tensors.get(name)
    if found is None or found.shape != shape or found.dtype != dtype:
        raise CheckpointError(
            f"{path} is of another model: {name} differs",
            expected=f"{shape} of {dtype}",
            received="no such tensor" if found is None else f"{found.shape} of {found.dtype}",
            fix="ask for the file's dtype"
            if found is not None and found.shape == shape
            else "load it into the architecture it was saved from",
        )


def _write(path: Path, header: Mapping[str, Any], tensors: Mapping[str, Array]) -> None:
    from safetensors.numpy import save

    contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    text = json.dumps(header)
    try:
        write_atomic(
            path, _sorted(save(contiguous, {HEADER_KEY: text, "sha256": digest_of(contiguous, text)}))
        )
    except OSError as error:
        before = "what was there before is intact" if path.exists() else "nothing was there before"
        raise CheckpointError(
            f"{path} could not be saved: {error.strerror or error}",
            received=before,
            fix=fix_for(error) or None,
        ) from error


def _sorted(file: bytes) -> bytes:
    """A safetensors file with its header in order: safetensors draws that of metadata by chance."""
    size = int.from_bytes(file[:8], "little")
    header = json.dumps(json.loads(file[8 : 8 + size]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # tensors begin at a multiple of 8 bytes
    return len(header).to_bytes(8, "little") + header + file[8 + size :]


def _read(path: Path) -> tuple[Header, dict[str, Array]]:
    """What the file holds, with the kind of every value checked; no more memory is used than it is long."""
    metadata, tensors = read_tensors(path)
    if HEADER_KEY not in metadata:
        raise CheckpointError(
            f"{path} was not written by tinynet",
            expected=f"a header {HEADER_KEY!r} in the file's metadata",
            received=", ".join(metadata)[:200] or "no metadata",
            fix=f"weights of PyTorch: tinynet import {quoted(path)} --recipe NAME",
        )
    text = metadata[HEADER_KEY]
    if metadata.get("sha256") != digest_of(tensors, text):
        raise CheckpointError(
            f"{path} is damaged: its contents do not match its checksum",
            fix="use another checkpoint of the run, or train again",
        )
    try:
        table = parse_json(text)
        if isinstance(table, dict) and table.get("format") != FORMAT:
            raise ConfigError("another format", expected=FORMAT, received=table.get("format"))
        return tables.from_arguments(Header, table, "the header"), tensors
    except ValueError as error:
        raise CheckpointError(f"{path} has a header that this version cannot read: {error}") from error


def digest_of(tensors: Mapping[str, Array], header: str = "") -> str:
    """SHA-256 over the header, and over names, dtypes, shapes and bytes in order of name."""
    hashed = hashlib.sha256(header.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        hashed.update(f"{name} {tensor.dtype} {tensor.shape}\n".encode())
        hashed.update(tensor.tobytes())
    return hashed.hexdigest()
