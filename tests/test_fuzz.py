"""Files made to hurt: a reader returns or raises a TinynetError, soon and in little room.

Each reader is given files that begin as good ones. Bytes are flipped, cut, doubled and replaced; texts get
values of other kinds, deep nesting and long numbers in any place; containers get a right checksum again, so
that the damage reaches what comes after it. Files that once did harm are in `PAST` and are always tried.

The normal run is short. TINYNET_TEST_FUZZ=10000 tries that many files in all.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import re
import struct
import time
import tracemalloc
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from nets import blobs, mlp
from optuna.samplers import RandomSampler
from safetensors.numpy import save

from tinynet import checkpoint
from tinynet.callbacks.health import HealthLog, read_health
from tinynet.callbacks.log import JsonLog, read_log
from tinynet.callbacks.monitors import EarlyStopping
from tinynet.data import arrays, read_csv, read_idx, write_csv, write_idx
from tinynet.data.kaggle import read_submission, write_submission
from tinynet.data.pictures import read_drawing
from tinynet.errors import TinynetError
from tinynet.experiments.tuning import search, study
from tinynet.experiments.tuning import space as spaces
from tinynet.io.tensors import read_tensors
from tinynet.layers.stack import build_layers
from tinynet.plots.health import verdict
from tinynet.runs import recipe
from tinynet.runs.predictions import read_predictions
from tinynet.runs.report import read_report, write_report
from tinynet.runs.settings import Settings, read_settings
from tinynet.training import Trainer

FILES = int(os.environ.get("TINYNET_TEST_FUZZ", "0"))
"""Asked for before the tests' environment hides it."""
SECONDS = 5.0
"""For one file, on a machine that does other things, too."""
MEMORY = 64 << 20
"""Bytes for one file of a few kilobytes."""


@dataclass(frozen=True)
class Reader:
    """A reader of the file `name` in a folder, and a good file."""

    name: str
    read: Callable[[Path], object]
    good: bytes
    sealed: bool = False
    """Whether a checksum stands before what is read: then the header is damaged, and sealed again."""


def trainer() -> Trainer:
    return Trainer(mlp(), blobs(40), validation=blobs(10), epochs=1, batch_size=20)


def started(folder: Path) -> tuple[Trainer, list[Any]]:
    """A trained model's files in the folder: model, training state, log."""
    made, callbacks = trainer(), [EarlyStopping()]
    log = JsonLog(folder / "log.jsonl", {"settings": {"a": [1]}}, every_steps=1)
    made.run([*callbacks, log, HealthLog(folder / "health.jsonl")])
    about = {"classes": ["a", "b"], "name": "net", "data_sha256": "0" * 64}
    checkpoint.save_model(folder / "model", made.model, made.loss, about)
    checkpoint.save_training(folder / "training", made, callbacks, about)
    return made, callbacks


def resumed(path: Path) -> None:
    """Load a training state and go on from it for one epoch."""
    made, callbacks = trainer(), [EarlyStopping()]
    made.epochs = 2
    checkpoint.load_training(path, made, callbacks)
    with np.errstate(all="ignore"):
        made.run(callbacks)


def predicted(path: Path) -> None:
    """Load a model and ask it for one sample."""
    loaded = checkpoint.load_model(path, backend="numpy")
    with np.errstate(all="ignore"):
        loaded.model.predict(np.zeros((1, *loaded.model.input_shape), np.float32))


def planned(path: Path) -> None:
    """Load a recipe, and say its architecture."""
    plan = recipe.load(str(path))
    build_layers(plan.layers, plan.input_shape, "float32", lambda layer: None)  # type: ignore[arg-type,return-value]


def logged(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says which lines are dropped
        JsonLog(path).on_start(trainer())
    read_log(path)


def inspected(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says which lines are dropped
        HealthLog(path).on_start(resumed_trainer())
    if lines := read_health(path):
        verdict(lines)


def resumed_trainer() -> Trainer:
    made = trainer()
    made.state.step, made.state.epoch = 2, 1
    return made


def searched(path: Path) -> None:
    opened = study.open_study(path, {"a": 1}, RandomSampler(), study.make_pruner("none", 1))
    found = search.Search.__new__(search.Search)
    object.__setattr__(found, "space", SPACE)
    search.check_trials(found, opened)


SPACE = spaces.from_table({"search": {"training.epochs": {"low": 1, "high": 3}}})


def journal(folder: Path) -> bytes:
    opened = study.open_study(folder / "j", {"a": 1}, RandomSampler(), study.make_pruner("none", 1))
    for figure in (0.25, 0.5):
        trial = study.begin(opened, SPACE)
        trial.report(figure, 1)
        opened.tell(trial, figure)
    return (folder / "j").read_bytes()


def packed(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Reader]:
    folder = tmp_path_factory.mktemp("good")
    made, _ = started(folder)
    digits = np.random.default_rng(0).integers(0, 256, (3, 28, 28, 1), np.uint8)
    write_idx(folder / "idx", digits[..., 0])
    write_csv(folder / "csv", digits, np.array([1, 2, 3]))
    write_submission(folder / "submission", np.array([1, 2, 3]))
    np.savez(folder / "arrays.npz", x=digits, y=np.array([0, 1, 1]), classes=np.array(["a", "b"]))
    (folder / "toml").write_text(recipe.to_toml(recipe.load("cnn")))
    (folder / "space").write_text(spaces.from_table({"search": {"training.epochs": [1, 2]}}).to_toml())
    asked = Settings("net", recipe.load("mlp"), "sample", None, "0" * 64, 0, "numpy", "float32", "train")
    (folder / "settings").write_text(json.dumps(asked.as_table()))
    history = list(made.state.history)
    labels = np.array([0, 1, 1])
    write_report(
        folder, config={}, history=history, labels=labels, predicted=labels, classes=["a", "b"], facts={}
    )
    rows = "index,label,predicted,confidence\n0,1,1,0.5\n1,0,1,0.75\n"

    def good(name: str) -> bytes:
        return (folder / name).read_bytes()

    return {
        "model": Reader("m.safetensors", predicted, good("model"), sealed=True),
        "training": Reader("m.safetensors", resumed, good("training"), sealed=True),
        "recipe": Reader("r.toml", planned, good("toml")),
        "space": Reader("s.toml", spaces.read, good("space")),
        "config": Reader("config.json", lambda path: read_settings(path.parent), good("settings")),
        "log": Reader("log.jsonl", logged, good("log.jsonl")),
        "health": Reader("health.jsonl", inspected, good("health.jsonl")),
        "report": Reader("report.json", lambda path: read_report(path.parent), good("report.json")),
        "predictions": Reader("predictions.csv", lambda path: read_predictions(path.parent), rows.encode()),
        "idx": Reader("a", read_idx, good("idx")),
        "gzip": Reader("a.gz", read_idx, packed(good("idx"))),
        "kaggle": Reader("a.csv", read_csv, good("csv")),
        "arrays": Reader("a.npz", arrays.read, good("arrays.npz")),
        "submission": Reader("s.csv", lambda path: read_submission(path, 3), good("submission")),
        "journal": Reader("j", searched, journal(folder)),
        "drawing": Reader(
            "d.json", read_drawing, b'{"strokes": [[[1, 2.5], [30, 4]], [[5, 6]]], "label": 7}'
        ),
    }


NAMES = [
    "model",
    "training",
    "recipe",
    "space",
    "config",
    "log",
    "health",
    "report",
    "predictions",
    "idx",
    "gzip",
]
NAMES += ["kaggle", "arrays", "submission", "journal", "drawing"]

ODD = [
    "[1]",
    "null",
    "-1",
    "1e999",
    "NaN",
    "1" * 30,
    "1" * 5000,
    '"\\u001b[2J"',
    '"../../x"',
    "[" * 3000,
    "{}",
]
ODD += ["true", "1.5", '""', "[[1,2],[3]]", '{"type":"Dense","units":500000}', "0", '"\\ud800"', "9" * 18]
PIECES = [text.encode() for text in ODD] + [
    b"\0" * 9,
    b"\xff",
    b"0" * 5000,
    b"\n\n",
    b",",
    b'"',
    b"\x1b]0;x\x07",
]


def mutated(data: bytes, random: random.Random) -> bytes:
    """The file with a few damages."""
    for _ in range(random.choice((1, 1, 1, 2, 5))):
        start, stop = sorted(random.randrange(len(data) + 1) for _ in range(2))
        near = min(stop, start + random.choice((1, 2, 8, 64)))
        kind = random.randrange(12)
        if kind == 0 and data:
            place = random.randrange(len(data))
            data = data[:place] + bytes([data[place] ^ 1 << random.randrange(8)]) + data[place + 1 :]
        elif kind == 1:
            data = data[:start]
        elif kind == 2:
            data = data[:start] + data[near:]
        elif kind == 3:
            data = data[:start] + random.choice(PIECES) + data[near:]
        elif kind == 4:
            data = data[:stop] + data[start:near] * random.choice((1, 3, 50)) + data[stop:]
        elif kind == 5:
            data = data[:start] + random.randbytes(near - start) + data[near:]
        else:
            data = replaced(data, random)
    return data[: 1 << 20]


def replaced(data: bytes, random: random.Random) -> bytes:
    """JSON, or a line of it, with an odd value somewhere in it; of other texts, a word replaced by one."""
    lines = data.split(b"\n")
    place = random.randrange(len(lines))
    try:
        table, lines[:] = json.loads(data), [b""]
        place = 0
    except (ValueError, RecursionError):
        try:
            table = json.loads(lines[place])
        except (ValueError, RecursionError):
            return word_replaced(data, random)
    marked = _marked(table, random)
    lines[place] = json.dumps(marked).replace('"?"', random.choice(ODD)).encode()
    return b"\n".join(lines)


def word_replaced(data: bytes, random: random.Random) -> bytes:
    words = list(re.finditer(rb'"[^"\n]*"|[\w.+-]+', data))
    if not words:
        return data
    word = random.choice(words)
    return data[: word.start()] + random.choice(PIECES) + data[word.end() :]


def _marked(value: Any, random: random.Random) -> Any:
    """The value with "?" in a random place."""
    if isinstance(value, dict) and value and random.random() < 0.9:
        key = random.choice(list(value))
        if random.random() < 0.1:
            return {name: each for name, each in value.items() if name != key}
        return value | {key: _marked(value[key], random)}
    if isinstance(value, list) and value and random.random() < 0.9:
        place = random.randrange(len(value))
        return [*value[:place], _marked(value[place], random), *value[place + 1 :]]
    return "?"


def sealed(path: Path, data: bytes, random: random.Random) -> bytes:
    """A safetensors file with a damaged header or other tensors, and a right checksum."""
    path.write_bytes(data)
    metadata, tensors = read_tensors(path)
    text = mutated(metadata["tinynet"].encode(), random).decode("utf-8", "replace")
    if random.random() < 0.3:
        name = random.choice(list(tensors))
        tensors[name] = np.full(random.choice([(), (0,), (3,), tensors[name].shape]), np.nan, np.float32)
    return save(tensors, {"tinynet": text, "sha256": checkpoint.digest_of(tensors, text)})


def damaged(reader: Reader, path: Path, seed: int) -> bytes:
    source = random.Random(seed)
    if reader.sealed and source.random() < 0.8:
        return sealed(path, reader.good, source)
    return mutated(reader.good, source)


def check(reader: Reader, path: Path, data: bytes) -> str:
    """Read the file; return what became of it. Anything but an answer or a TinynetError fails the test."""
    path.write_bytes(data)
    began = time.perf_counter()
    try:
        reader.read(path)
    except TinynetError as error:
        said, result = str(error), type(error).__name__
        assert "\x1b" not in said
        assert len(said) < 5000
    else:
        result = "read"
    assert time.perf_counter() - began < SECONDS
    return result


@pytest.mark.parametrize("name", NAMES)
def test_good_files_are_read(readers: dict[str, Reader], name: str, tmp_path: Path) -> None:
    assert check(readers[name], tmp_path / readers[name].name, readers[name].good) == "read"


def idx(*sizes: int, code: int = 8) -> bytes:
    return bytes([0, 0, code, len(sizes)]) + struct.pack(f">{len(sizes)}I", *sizes)


def forged(header: Any) -> bytes:
    text = header if isinstance(header, str) else json.dumps(header)
    tensors = {"x": np.zeros(1, np.float32)}
    return save(tensors, {"tinynet": text, "sha256": checkpoint.digest_of(tensors, text)})


ARCHITECTURE = {
    "input_shape": [28, 28, 1],
    "layers": [{"type": "Flatten"}, {"type": "Dense", "units": 500_000}],
}
HEADER = {"format": 1, "model": ARCHITECTURE, "dtype": "float32", "seed": 0}
HEADER |= {"loss": {"type": "SoftmaxCrossEntropy"}, "about": {}}
PAST: list[tuple[str, bytes]] = [
    *(
        ("model", forged(header))
        for header in ("[1]", "null", "[" * 3000, "{}", HEADER | {"about": {"classes": 3}})
    ),
    *(
        ("training", forged(header))
        for header in (HEADER, HEADER | {"training": 1}, HEADER | {"training": {}})
    ),
    ("model", forged(HEADER)),
    ("model", forged(HEADER | {"model": {"input_shape": [10**30], "layers": [{"type": "ReLU"}]}})),
    ("recipe", b"x = " + b"[" * 2000 + b"]" * 2000),
    ("recipe", b".".join([b"a"] * 32_000) + b" = 1"),
    ("recipe", b"x = " + b"1" * 5000),
    ("config", b"[1]"),
    ("config", b'{"recipe": {"layers": [{"type": ["Dense"]}]}}'),
    ("log", b'{"event": "start", "step": 0}\n{"event": "epo\n{"event": "end", "step": 5}\n'),
    ("log", b"[1]\n" + b"[" * 5000 + b"\n"),
    *(("report", content) for content in (b"[]", b"null", b'{"test": 1}', b"[" * 5000)),
    ("predictions", b"index,label,predicted,confidence\n0," + b"1" * 30 + b",0,0.5\n"),
    ("predictions", b'index,label,predicted,confidence\n0,"' + b"1" * 200_000),
    ("kaggle", b"label," + b",".join(b"pixel%d" % i for i in range(784)) + b"\n" + b"0" * 5000 + b",0" * 784),
    ("kaggle", packed(b"0\n" * (1 << 20))),
    ("idx", idx(2**30)),
    ("gzip", packed(idx(2**30))),
    ("gzip", packed(idx(5) + bytes(1 << 24))),
    ("submission", b"ImageId,Label\n1," + b"0" * 5000 + b"\n2,0\n3,0\n"),
    ("journal", b'{"op_code": 0}\n'),
    ("journal", b'{"op_code": 4, "worker_id": "w", "trial_id": 99}\n'),
]


@pytest.mark.parametrize(("name", "data"), PAST)
def test_files_that_did_harm(readers: dict[str, Reader], name: str, data: bytes, tmp_path: Path) -> None:
    tracemalloc.start()
    try:
        assert check(readers[name], tmp_path / readers[name].name, data) != "read" or name == "log"
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", NAMES)
@given(seed=st.integers(0, 2**32))
@example(seed=0)
@settings(max_examples=25, deadline=None)
def test_a_damaged_file_is_read_or_refused(
    readers: dict[str, Reader], name: str, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / readers[name].name
    check(readers[name], path, damaged(readers[name], path, seed))


@pytest.mark.skipif(not FILES, reason="for a long run: TINYNET_TEST_FUZZ=10000")
def test_as_many_files_as_asked_for(readers: dict[str, Reader], tmp_path: Path) -> None:
    counts: dict[str, int] = {}
    failures: list[Exception] = []
    for seed in range(FILES):
        name = NAMES[seed % len(NAMES)]
        path = tmp_path / readers[name].name
        try:
            result = check(readers[name], path, damaged(readers[name], path, seed))
        except Exception as error:
            error.add_note(f"{name}, seed {seed}")
            failures.append(error)
            result = type(error).__name__
        counts[f"{name}: {result}"] = counts.get(f"{name}: {result}", 0) + 1
        for file in tmp_path.iterdir():
            file.unlink()
    print(*(f"{count:6} {what}" for what, count in sorted(counts.items())), sep="\n")
    if failures:
        raise ExceptionGroup(f"{len(failures)} of {FILES} files", failures)
