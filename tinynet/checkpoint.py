"""Models and training states on disk: safetensors for arrays, a JSON header for the rest, no pickle, no code.

A *model* file holds the architecture, the weights and the running statistics; a *training* file also the
optimiser's averages, those of the weights, the position in the run and what the callbacks remember, so that a
resumed run is the same run. Tensors are named: values/dense_1.W, state/batchnorm_1.mean,
optimizer/m/dense_1.W, ema/values/dense_1.W, callback/0/values. Both kinds are written whole or not at
all.
"""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinynet import backends
from tinynet.backends.base import Backend
from tinynet.errors import CheckpointError, TinynetError
from tinynet.history import History
from tinynet.io import tables
from tinynet.io.atomic import write_atomic
from tinynet.layers import Dense
from tinynet.losses import LOSSES, Loss, SoftmaxCrossEntropy
from tinynet.model import Sequential
from tinynet.types import Array

if TYPE_CHECKING:
    from tinynet.training import Callback, Trainer

FORMAT = 1
HEADER_KEY = "tinynet"


class Loaded(NamedTuple):
    """A model read from a file, with the loss it was trained by (it turns outputs into probabilities)."""

    model: Sequential
    loss: Loss
    about: dict[str, Any]


def save_model(
    path: str | Path, model: Sequential, loss: Loss | None = None, about: Mapping[str, Any] | None = None
) -> None:
    """Write the model alone, with the `loss` it was trained by: SoftmaxCrossEntropy where none is given.

    `about` is kept as it is (classes, data set, …: plain values). Raises CheckpointError where the disk is
    full or the folder cannot be written; an older file then stays.
    """
    _write(
        Path(path), _model_header(model, loss or SoftmaxCrossEntropy(), about or {}), _model_tensors(model)
    )


def load_model(path: str | Path, *, backend: str | Backend | None = None) -> Loaded:
    """The model in a model or training file, or of a run's folder: as it was at the end, or else last saved.

    Raises CheckpointError for a damaged or foreign file. A layer of your own is known once it stands in
    `tinynet.layers.LAYERS`, under the name of its class.
    """
    path, ops = Path(path), backend if isinstance(backend, Backend) else backends.get(backend)
    if path.is_dir():
        path = _model_of_run(path)
    header, tensors = _read(path)
    try:
        model = Sequential.from_config(
            header["model"], backend=ops, dtype=header["dtype"], seed=header["seed"]
        )
        loss = tables.from_table(LOSSES, header["loss"], "loss")
    except (KeyError, TypeError, TinynetError) as error:
        raise CheckpointError(
            f"{path} describes no model this version can build: {error}",
            fix="if a layer is your own, enter its class in tinynet.layers.LAYERS before",
        ) from error
    _fill(path, model, tensors)
    loss.start(model)
    return Loaded(model, loss, header["about"])


def _model_of_run(folder: Path) -> Path:
    files = [folder / "model.safetensors", folder / "last.safetensors"]
    for file in files:
        if file.exists():
            return file
    raise CheckpointError(
        f"{folder} is not the folder of a run, or nothing of the run is saved yet",
        expected=" or ".join(file.name for file in files),
        received="neither",
        fix="check the path; `tinynet train` prints it",
    )


def save_training(
    path: Path, trainer: Trainer, callbacks: Sequence[Callback], about: Mapping[str, Any]
) -> None:
    """Write all that `load_training` needs to go on as if nothing had happened."""
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


def load_training(path: str | Path, trainer: Trainer, callbacks: Sequence[Callback] = ()) -> None:
    """Put a newly built `trainer` and its callbacks where the file's were.

    Raises CheckpointError for a damaged or foreign file, and names the first parameter that differs.
    """
    path = Path(path)
    header, tensors = _read(path)
    if "training" not in header:
        raise CheckpointError(
            f"{path} holds a model but no training state",
            expected="a file that LastCheckpoint wrote, such as last.safetensors",
        )
    model, optimizer, state = trainer.model, trainer.optimizer, trainer.state
    _check_same_architecture(path, header["model"], model.config())
    if len(header["callbacks"]) != len(callbacks):
        raise CheckpointError(
            f"{path} was saved with other callbacks",
            expected=", ".join(type(callback).__name__ for callback in callbacks) or "none",
            received=f"{len(header['callbacks'])} callbacks",
            fix="resume with the recipe the run was started with",
        )
    _fill(path, model, tensors)
    for average, flat in optimizer.state.items():
        for name, view in model.store.values.split(flat).items():
            view[...] = model.backend.asarray(_tensor(path, tensors, f"optimizer/{average}/{name}", view))
    for name, view in trainer.average.tensors().items():
        view[...] = model.backend.asarray(_tensor(path, tensors, f"ema/{name}", view))
    optimizer.steps = header["optimizer"]["steps"]
    for name, value in header["training"].items():
        setattr(state, name, History(value) if name == "history" else value)
    for position, (callback, kept) in enumerate(zip(callbacks, header["callbacks"], strict=True)):
        prefix = f"callback/{position}/"
        arrays = {n.removeprefix(prefix): a for n, a in tensors.items() if n.startswith(prefix)}
        callback.restore(kept, {name: model.backend.asarray(array) for name, array in arrays.items()})


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
    own = {f"values/{name}": view for name, view in model.store.values.views.items()}
    own |= {f"state/{name}": view for name, view in model.store.state.views.items()}
    reinitialised = _new_head(model, kept, list(classes), header["about"].get("classes"))
    taken = {
        name: _tensor(path, kept, name, view)
        for name, view in own.items()
        if reinitialised is None or not name.startswith(f"values/{reinitialised}.")
    }
    if more := sorted(kept.keys() - own.keys()):
        raise CheckpointError(
            f"{path} is of another model, with more layers",
            expected=", ".join(own),
            received=", ".join(more),
            fix="start an architecture from it that has its layers",
        )
    for name, tensor in taken.items():
        own[name][...] = model.backend.asarray(tensor)
    return WarmStart(_digest(kept), reinitialised)


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
    return _digest(_model_tensors(model))


def _check_same_architecture(path: Path, saved: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    pairs = zip_longest(saved["layers"], here["layers"])
    differing = [(n, there, now) for n, (there, now) in enumerate(pairs, 1) if there != now]
    if saved["input_shape"] != here["input_shape"]:
        differing.insert(0, (0, saved["input_shape"], here["input_shape"]))
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
        "about": dict(about),
    }


def _model_tensors(model: Sequential) -> dict[str, Array]:
    tensors = {f"values/{name}": view for name, view in model.store.values.views.items()}
    tensors |= {f"state/{name}": view for name, view in model.store.state.views.items()}
    return {name: model.backend.to_host(view) for name, view in tensors.items()}


def _fill(path: Path, model: Sequential, tensors: Mapping[str, Array]) -> None:
    for kind, buffer in (("values", model.store.values), ("state", model.store.state)):
        for name, view in buffer.views.items():
            view[...] = model.backend.asarray(_tensor(path, tensors, f"{kind}/{name}", view))


def _tensor(path: Path, tensors: Mapping[str, Array], name: str, like: Array) -> Array:
    found = tensors.get(name)
    if found is None or found.shape != like.shape or found.dtype != like.dtype:
        raise CheckpointError(
            f"{path} is of another model: {name} differs",
            expected=f"{like.shape} of {like.dtype}",
            received="no such tensor" if found is None else f"{found.shape} of {found.dtype}",
            fix="ask for the file's dtype"
            if found is not None and found.shape == like.shape
            else "load it into the architecture it was saved from",
        )
    return found


def _write(path: Path, header: Mapping[str, Any], tensors: Mapping[str, Array]) -> None:
    from safetensors.numpy import save

    contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    text = json.dumps(header)
    try:
        write_atomic(path, save(contiguous, {HEADER_KEY: text, "sha256": _digest(contiguous, text)}))
    except OSError as error:
        full = error.errno == errno.ENOSPC
        before = "what was there before is intact" if path.exists() else "nothing was there before"
        raise CheckpointError(
            f"{path} could not be saved: {error.strerror or error}",
            received=before,
            fix="free some disk space, then resume the run" if full else "mend the folder's permissions",
        ) from error


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Array]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except FileNotFoundError as error:
        raise CheckpointError(
            f"there is no file {path}",
            expected="the folder of a run, or a safetensors file that tinynet wrote",
            received="nothing of that name",
            fix="check the path; `tinynet train` prints it",
        ) from error
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} is damaged, or no safetensors file",
            expected="a whole file that tinynet wrote",
            received=error,
            fix="use another checkpoint of the run, or train again",
        ) from error
    if HEADER_KEY not in metadata:
        raise CheckpointError(
            f"{path} was not written by tinynet",
            expected=f"a header {HEADER_KEY!r} in the file's metadata",
            received=", ".join(metadata) or "no metadata",
        )
    if metadata.get("sha256") != _digest(tensors, metadata[HEADER_KEY]):
        raise CheckpointError(
            f"{path} is damaged: its contents do not match its checksum",
            fix="use another checkpoint of the run, or train again",
        )
    header = json.loads(metadata[HEADER_KEY])
    if header.get("format") != FORMAT:
        raise CheckpointError(f"{path} has another format", expected=FORMAT, received=header.get("format"))
    return header, tensors


def _digest(tensors: Mapping[str, Array], header: str = "") -> str:
    """SHA-256 over the header, and over names, dtypes, shapes and bytes in order of name."""
    digest = hashlib.sha256(header.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tensor.shape}\n".encode())
        digest.update(tensor.tobytes())
    return digest.hexdigest()
