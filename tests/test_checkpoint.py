"""tinynet.checkpoint: what is saved comes back bit for bit, and nothing damaged or foreign is loaded."""

from __future__ import annotations

import copy
import errno
import json
import os
import pickle
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nets import blobs
from safetensors.numpy import save, save_file

from tinynet import checkpoint
from tinynet.callbacks.monitors import EarlyStopping
from tinynet.checkpoint import load_model, load_training, save_model, save_training, weights_sha256
from tinynet.errors import CheckpointError, ConfigError, TinynetWarning
from tinynet.io.tensors import read_tensors
from tinynet.layers import LAYERS, BatchNorm, Dense, Flatten, ReLU, Rescale
from tinynet.losses import BinaryCrossEntropy, Loss, MeanSquaredError, SoftmaxCrossEntropy
from tinynet.model import Sequential
from tinynet.optim import SGD, Adam, Optimizer
from tinynet.training import Callback, Trainer
from tinynet.types import Array

ABOUT = {"classes": ["a", "b", "c"], "dataset": "dots"}
IMAGES = np.random.default_rng(0).integers(0, 256, (60, 4, 4, 1), dtype=np.uint8)
LABELS = np.arange(60) % 3


def make_trainer(
    units: int = 8,
    *,
    seed: int = 0,
    epochs: int = 2,
    dtype: str = "float32",
    optimizer: Optimizer | None = None,
) -> Trainer:
    layers = [Rescale(), Flatten(), Dense(units), BatchNorm(), ReLU(), Dense(3)]
    model = Sequential(layers, (4, 4, 1), backend="numpy", seed=seed, dtype=dtype)
    data = (IMAGES, LABELS)
    optimizer = optimizer or Adam(0.01)
    return Trainer(model, data, validation=data, optimizer=optimizer, epochs=epochs, batch_size=16)


@pytest.fixture
def trained() -> tuple[Trainer, list[Callback]]:
    """A trainer and its callback after two epochs."""
    trainer = make_trainer()
    callbacks: list[Callback] = [EarlyStopping()]
    trainer.run(callbacks)
    return trainer, callbacks


@pytest.fixture
def model_file(trained: tuple[Trainer, list[Callback]], tmp_path: Path) -> Path:
    save_model(tmp_path / "model.safetensors", trained[0].model, SoftmaxCrossEntropy(0.1), ABOUT)
    return tmp_path / "model.safetensors"


@pytest.fixture
def training_file(trained: tuple[Trainer, list[Callback]], tmp_path: Path) -> Path:
    save_training(tmp_path / "last.safetensors", *trained, ABOUT)
    return tmp_path / "last.safetensors"


def test_paths_may_be_texts_and_the_loss_that_of_a_classifier(tmp_path: Path) -> None:
    model = make_trainer().model
    save_model(str(tmp_path / "m"), model)
    back = load_model(str(tmp_path / "m"))
    assert weights_sha256(back.model) == weights_sha256(model)
    assert isinstance(back.loss, SoftmaxCrossEntropy)
    assert back.about == {}


def test_the_model_of_an_unfinished_run_is_loaded_with_a_warning(training_file: Path) -> None:
    with pytest.warns(TinynetWarning, match=r"is not finished(.|\n)*tinynet train --resume"):
        load_model(training_file.parent)


@pytest.mark.parametrize("file", ["model.safetensors", "last.safetensors"])
@pytest.mark.filterwarnings("ignore:the run in")
def test_the_folder_of_a_run_is_its_model(tmp_path: Path, file: str) -> None:
    model = make_trainer().model
    save_model(tmp_path / file, model)
    assert weights_sha256(load_model(tmp_path).model) == weights_sha256(model)


@dataclass(eq=False)
class Own(ReLU):
    pass


def test_a_layer_of_ones_own_is_known_once_it_is_entered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Sequential([Dense(3), Own()], (4,), backend="numpy")
    save_model(tmp_path / "m", model)
    with pytest.raises(CheckpointError, match=r"unknown layer(.|\n)*'Own'(.|\n)*LAYERS"):
        load_model(tmp_path / "m")
    monkeypatch.setitem(LAYERS, "Own", Own)
    assert isinstance(load_model(tmp_path / "m").model.layers[1], Own)


@pytest.mark.parametrize("loss", [MeanSquaredError(), BinaryCrossEntropy(), None])
def test_the_loss_is_that_of_the_last_training(tmp_path: Path, loss: Loss | None) -> None:
    """Saved without one, a net of a single output had softmax over it: a probability of 1, always."""
    x, y = blobs(20)
    model = Sequential([Dense(1)], (2,), backend="numpy")
    model.fit(x, (y > 0)[:, None].astype(float), epochs=1, loss=loss)
    model.evaluate(x, y % 2, loss=BinaryCrossEntropy())  # which trains nothing
    save_model(tmp_path / "m", copy.deepcopy(model))
    back = load_model(tmp_path / "m")
    assert type(back.loss) is type(loss or MeanSquaredError())
    assert back.model.loss is back.loss
    save_model(tmp_path / "again", pickle.loads(pickle.dumps(back.model)))  # noqa: S301  # noqa: S301
    assert type(load_model(tmp_path / "again").loss) is type(back.loss)
    save_model(tmp_path / "m", model, SoftmaxCrossEntropy(0.1))  # the one that is given counts
    assert load_model(tmp_path / "m").loss.smoothing == 0.1  # type: ignore[attr-defined]


def test_the_loss_of_a_copy_computes_where_the_copy_does() -> None:
    x, y = blobs(20)
    model = Sequential([Dense(3)], (2,), backend="numpy")
    model.fit(x, y, epochs=1)
    twin = copy.deepcopy(model)
    outputs = model.predict(x)
    np.testing.assert_array_equal(twin.loss.probabilities(outputs), model.loss.probabilities(outputs))
    assert twin.loss is not model.loss


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_model_comes_back_bit_for_bit(tmp_path: Path, dtype: str) -> None:
    trainer = make_trainer(dtype=dtype)
    trainer.run()
    save_model(tmp_path / "m", trainer.model, SoftmaxCrossEntropy(0.1), ABOUT)
    back = load_model(tmp_path / "m", backend="numpy")
    assert weights_sha256(back.model) == weights_sha256(trainer.model)
    assert back.model.predict(IMAGES).tobytes() == trainer.model.predict(IMAGES).tobytes()
    assert back.model.dtype == dtype
    assert isinstance(back.loss, SoftmaxCrossEntropy)
    assert back.loss.smoothing == 0.1
    assert back.about == ABOUT


def test_a_resumed_training_is_the_same_training(training_file: Path) -> None:
    whole = make_trainer(epochs=5)
    whole_callbacks = [EarlyStopping()]
    whole.run(whole_callbacks)
    resumed, callbacks = make_trainer(epochs=5, seed=0), [EarlyStopping()]
    load_training(training_file, resumed, callbacks)
    assert resumed.state.epoch == 2
    resumed.run(callbacks)
    assert weights_sha256(resumed.model) == weights_sha256(whole.model)
    assert callbacks[0].state() == whole_callbacks[0].state()

    def figures(trainer: Trainer) -> list[dict[str, Any]]:
        return [{name: v for name, v in r.items() if name != "seconds"} for r in trainer.state.history]

    assert figures(resumed) == figures(whole)


def test_a_training_file_is_also_a_model(
    training_file: Path, trained: tuple[Trainer, list[Callback]]
) -> None:
    assert weights_sha256(load_model(training_file, backend="numpy").model) == weights_sha256(
        trained[0].model
    )


def test_no_cut_is_loaded(model_file: Path) -> None:
    whole = model_file.read_bytes()
    for length in [*range(0, len(whole), 37), len(whole) - 1]:
        model_file.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="is damaged"):
            load_model(model_file)


@pytest.mark.parametrize("bit", [0, 1, 5, 7])
def test_no_flipped_bit_is_loaded(
    model_file: Path, trained: tuple[Trainer, list[Callback]], bit: int
) -> None:
    whole = model_file.read_bytes()
    for position in range(0, len(whole), 3):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << bit
        model_file.write_bytes(damaged)
        with pytest.raises(CheckpointError):
            load_model(model_file)


def test_a_foreign_file(tmp_path: Path) -> None:
    save_file({"x": np.zeros(3, np.float32)}, tmp_path / "foreign")
    with pytest.raises(CheckpointError, match=r"was not written by tinynet(.|\n)*no metadata"):
        load_model(tmp_path / "foreign")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(CheckpointError, match=r"no safetensors file(.|\n)*fix: "):
        load_model(tmp_path / "text")
    with pytest.raises(CheckpointError, match="there is no file"):
        load_model(tmp_path / "missing")
    with pytest.raises(CheckpointError, match="is not the folder of a run"):
        load_model(tmp_path)


def test_a_model_file_given_to_resume(model_file: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no training state(.|\n)*last.safetensors"):
        load_training(model_file, make_trainer(), [EarlyStopping()])


def test_another_architecture_is_named(training_file: Path) -> None:
    with pytest.raises(CheckpointError, match=r"layer 3 differs(.|\n)*'units': 9(.|\n)*'units': 8"):
        load_training(training_file, make_trainer(9), [EarlyStopping()])


def test_another_dtype_names_the_first_parameter(training_file: Path) -> None:
    with pytest.raises(CheckpointError, match=r"values/dense_1\.W differs\n.*float64\n.*float32"):
        load_training(training_file, make_trainer(dtype="float64"), [EarlyStopping()])


def test_another_optimizer_names_the_first_average(
    trained: tuple[Trainer, list[Callback]], tmp_path: Path
) -> None:
    sgd = make_trainer(optimizer=SGD(0.1))
    sgd.run()
    save_training(tmp_path / "sgd", sgd, [EarlyStopping()], ABOUT)
    with pytest.raises(CheckpointError, match=r"optimizer/\w+/dense_1\.W differs(.|\n)*no such tensor"):
        load_training(tmp_path / "sgd", make_trainer(), [EarlyStopping()])


def test_other_callbacks(training_file: Path) -> None:
    with pytest.raises(CheckpointError, match="callbacks"):
        load_training(training_file, make_trainer(), [])


def test_a_refused_file_leaves_the_trainer_as_it_was(training_file: Path) -> None:
    trainer = make_trainer(9)
    before = weights_sha256(trainer.model)
    with pytest.raises(CheckpointError):
        load_training(training_file, trainer, [EarlyStopping()])
    assert weights_sha256(trainer.model) == before
    assert trainer.state.epoch == 0


def test_a_full_disk_keeps_the_old_file(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    before = model_file.read_bytes()
    model = make_trainer(seed=5).model
    with pytest.raises(CheckpointError, match=r"No space left(.|\n)*is intact(.|\n)*free some disk space"):
        save_model(model_file, model, SoftmaxCrossEntropy(), ABOUT)
    assert model_file.read_bytes() == before
    assert [path.name for path in model_file.parent.iterdir()] == [model_file.name]
    with pytest.raises(CheckpointError, match="nothing was there before"):
        save_model(model_file.with_name("new"), model, SoftmaxCrossEntropy(), ABOUT)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="could not be saved"):
        save_model(tmp_path / "no" / "m", make_trainer().model, SoftmaxCrossEntropy(), ABOUT)


def test_no_pickle_and_readable_by_anyone(model_file: Path) -> None:
    raw = model_file.read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    assert json.loads(header["__metadata__"]["tinynet"])["about"] == ABOUT
    assert "values/dense_1.W" in header
    assert "state/batchnorm_1.mean" in header


def forged(path: Path, change: Callable[[dict[str, Any]], object], **tensors: Array) -> Path:
    """A file with a right checksum whose header is what `change` made of it, or returned."""
    metadata, kept = read_tensors(path)
    table = json.loads(metadata["tinynet"])
    changed = change(table)
    text = changed if isinstance(changed, str) else json.dumps(table if changed is None else changed)
    tensors = tensors or kept
    path.write_bytes(save(tensors, {"tinynet": text, "sha256": checkpoint.digest_of(tensors, text)}))
    return path


def put(*place: Any) -> Callable[[dict[str, Any]], object]:
    """A change that writes the last of `place` where the others lead."""

    def change(table: Any) -> None:
        *path, key, value = place
        for step in path:
            table = table[step]
        table[key] = value

    return change


HEADERS: dict[str, Callable[[dict[str, Any]], object]] = {
    "a list": lambda table: [1],
    "null": lambda table: "null",
    "a number": lambda table: "5",
    "no JSON": lambda table: "{",
    "deep": lambda table: "[" * 50_000,
    "not so deep": lambda table: "[" * 500 + "]" * 500,
    "no about": lambda table: {name: value for name, value in table.items() if name != "about"},
    "an unknown key": put("more", 1),
    "another format": put("format", [1]),
    "about": put("about", [1]),
    "classes": put("about", "classes", 3),
    "a class": put("about", "classes", ["a", 3]),
    "a name": put("about", "name", ["a"]),
    "model": put("model", None),
    "layers": put("model", "layers", {}),
    "no layers": put("model", "layers", []),
    "many layers": put("model", "layers", [{"type": "ReLU"}] * 100_000),
    "a layer": put("model", "layers", 0, "Dense"),
    "units": put("model", "layers", 2, "units", 10**30),
    "a padding": put("model", "layers", 0, {"type": "Conv2D", "filters": 1, "padding": [[1, 2], [3]]}),
    "more padding": put("model", "layers", 0, {"type": "AvgPool2D", "window": 9**9, "padding": 9**8}),
    "axes": put("model", "layers", 1, {"type": "Reshape", "shape": [16] + [1] * 99}),
    "an input shape": put("model", "input_shape", 4),
    "one of nothing": put("model", "input_shape", [0, 4, 1]),
    "a huge one": put("model", "input_shape", [10**30, 4, 1]),
    "a large one": put("model", "input_shape", [2**40, 2**40, 1]),
    "a fractional one": put("model", "input_shape", [4.5, 4, 1]),
    "dtype": put("dtype", "float16"),
    "seed": put("seed", "0"),
    "loss": put("loss", "type", 5),
    "smoothing": put("loss", "smoothing", float("nan")),
}


@pytest.mark.parametrize("change", HEADERS.values(), ids=HEADERS)
def test_a_header_of_any_kind_is_a_sentence(model_file: Path, change: Any) -> None:
    with pytest.raises(CheckpointError, match=r"header|describes no model") as caught:
        load_model(forged(model_file, change), backend="numpy")
    assert len(str(caught.value)) < 2000


def test_shapes_are_compared_before_anything_is_built(model_file: Path) -> None:
    layers = [{"type": "Flatten"}, {"type": "Dense", "units": 500_000}, {"type": "Dense", "units": 500_000}]
    forged(model_file, put("model", "layers", layers), x=np.zeros(1, np.float32))
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=r"values/dense_1\.W differs(.|\n)*no such tensor"):
            load_model(model_file, backend="numpy")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_texts_from_a_file_hold_nothing_that_a_terminal_obeys(model_file: Path) -> None:
    forged(model_file, put("about", {"classes": ["\x1b[2J", "b"], "name": "\x9b", "k\r": [{"x": "\x07"}]}))
    about = load_model(model_file, backend="numpy").about
    assert about == {"classes": ["\\x1b[2J", "b"], "name": "\\x9b", "k\\r": [{"x": "\\x07"}]}


def test_classes_that_could_not_be_read_are_not_saved(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="classes"):
        save_model(tmp_path / "m", make_trainer().model, about={"classes": 3})


STATES: dict[str, Callable[[dict[str, Any]], object]] = {
    "steps": put("optimizer", "steps", "many"),
    "no steps": put("optimizer", {}),
    "epoch": put("training", "epoch", 1.5),
    "step": put("training", "step", -1),
    "batch": put("training", "batch", 10**6),
    "no sample": put("training", "batch", 1),
    "scale": put("training", "rate_scale", float("inf")),
    "history": put("training", "history", [1]),
    "a row": put("training", "history", [{"epoch": "one"}]),
    "unknown": put("training", "more", 1),
    "missing": lambda table: table["training"].clear(),
    "callbacks": put("callbacks", 0, 3),
    "best": put("callbacks", 0, "best", "good"),
}


@pytest.mark.parametrize("change", STATES.values(), ids=STATES)
def test_a_state_of_any_kind_is_a_sentence(training_file: Path, change: Any) -> None:
    trainer = make_trainer()
    before = weights_sha256(trainer.model)
    with pytest.raises(CheckpointError, match="no state that training can go on from"):
        load_training(forged(training_file, change), trainer, [EarlyStopping()])
    assert weights_sha256(trainer.model) == before


def test_best_weights_of_another_model(training_file: Path) -> None:
    _, tensors = read_tensors(training_file)
    tensors["callback/0/values"] = np.zeros(3, np.float32)
    trainer, callbacks = make_trainer(epochs=3), [EarlyStopping()]
    load_training(forged(training_file, lambda table: None, **tensors), trainer, callbacks)
    with pytest.raises(CheckpointError, match="best weights kept are of another model"):
        trainer.run(callbacks)
