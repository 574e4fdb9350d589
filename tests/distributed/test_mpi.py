"""Several processes train one model: with threads in their place, and real ones under mpiexec."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from members import BATCH, IMAGES, LABELS, MIXED, STRONG, in_each, linux, members

import tinynet as tn
from tinynet import checkpoint, extras
from tinynet.callbacks.health import read_health
from tinynet.callbacks.monitors import ReduceOnPlateau
from tinynet.data import load
from tinynet.distributed.group import ALONE, Group
from tinynet.distributed.mpi import MpiGroup
from tinynet.errors import ConfigError, NonFiniteError, RunError
from tinynet.interrupt import Interrupted
from tinynet.runs import recipe
from tinynet.runs.run import Run
from tinynet.runs.settings import Settings
from tinynet.training import Callback, StepEnd, Trainer


# --- training, with threads in the place of processes -------------------------------------------------------
def layers(*, normalise: bool) -> list[Any]:
    middle = [tn.BatchNorm(momentum=0.5)] if normalise else []
    dropped = [tn.ReLU(), tn.Dropout(0.3), tn.Flatten()]
    return [tn.Rescale(), tn.Conv2D(3, 3, 2), *middle, *dropped, tn.Dense(10, l2=0.01)]


def trained(backend: str, group: Group, **options: Any) -> Trainer:
    normalise = options.pop("normalise", True)
    net = tn.Sequential(layers(normalise=normalise), (7, 7, 1), backend=backend, dtype="float64", seed=1)
    settings: dict[str, Any] = {"optimizer": tn.SGD(0.1, momentum=0.9, clip=2.0, weight_decay=0.01)}
    settings |= {"epochs": 3, "batch_size": BATCH, "augmentation": STRONG}
    held_out = IMAGES[:9], LABELS[:9]
    trainer = Trainer(net, (IMAGES, LABELS), validation=held_out, group=group, **(settings | options))
    trainer.run([ReduceOnPlateau(patience=1, factor=0.5)])
    return trainer


def flat(trainer: Trainer, name: str) -> np.ndarray:
    """A flat buffer of the model's, "values" or "state"."""
    return trainer.model.backend.to_host(getattr(trainer.model.store, name).flat)


def figures(trainer: Trainer) -> list[float]:
    return [v for record in trainer.state.history for k, v in record.items() if k != "seconds"]


@pytest.mark.parametrize("size", [2, 3])
def test_several_processes_learn_as_one_does(size: int, backend: str) -> None:
    """With BatchNorm, dropout, distortions, an L2 penalty, weight decay, clipping and a plateau's rate."""
    alone = trained(backend, ALONE)
    group = in_each(size, lambda member: trained(backend, member))
    for one in group:
        for name in ("values", "state"):
            np.testing.assert_allclose(flat(one, name), flat(alone, name), rtol=1e-9, atol=1e-11)
            np.testing.assert_array_equal(flat(one, name), flat(group[0], name))
        np.testing.assert_allclose(figures(one), figures(alone), rtol=1e-9)


def test_adam_and_averaged_weights(backend: str) -> None:
    """Adam divides by the root of v: where gradients are near 0 the rounding of their sum shows."""
    options = {"optimizer": tn.Adam(0.01), "ema_decay": 0.9, "normalise": False}
    alone = trained(backend, ALONE, **options | {"optimizer": tn.Adam(0.01)})
    one, _ = in_each(2, lambda member: trained(backend, member, **options | {"optimizer": tn.Adam(0.01)}))
    np.testing.assert_allclose(flat(one, "values"), flat(alone, "values"), atol=1e-7)


def test_weights_of_samples(backend: str) -> None:
    options = {"sample_weight": np.linspace(0, 3, len(LABELS))}
    alone, plain = trained(backend, ALONE, **options), trained(backend, ALONE)
    assert (flat(alone, "values") != flat(plain, "values")).any()
    for one in in_each(2, lambda member: trained(backend, member, **options)):
        np.testing.assert_allclose(flat(one, "values"), flat(alone, "values"), rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(figures(one), figures(alone), rtol=1e-9)


@pytest.mark.parametrize("size", [2, 3])
def test_mixed_images(backend: str, size: int) -> None:
    """An image's partner is the same, whichever process has it; weights of samples among it."""
    options = {"augmentation": MIXED, "sample_weight": np.linspace(0, 3, len(LABELS))}
    alone, plain = trained(backend, ALONE, **options), trained(backend, ALONE)
    assert np.abs(flat(alone, "values") - flat(plain, "values")).max() > 1e-3
    for one in in_each(size, lambda member: trained(backend, member, **options)):
        np.testing.assert_allclose(flat(one, "values"), flat(alone, "values"), rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(figures(one), figures(alone), rtol=1e-9)


def test_errors_of_values_are_those_of_all_samples(backend: str) -> None:
    targets = np.stack([LABELS, IMAGES.mean(axis=(1, 2, 3))], axis=1)

    def train(group: Group) -> Trainer:
        net = tn.Sequential(
            [tn.Rescale(), tn.Flatten(), tn.Dense(2)], (7, 7, 1), backend=backend, dtype="float64", seed=1
        )
        settings: dict[str, Any] = {"loss": tn.MeanSquaredError(), "optimizer": tn.SGD(1e-3), "epochs": 2}
        held_out = IMAGES[:9], targets[:9]
        trainer = Trainer(
            net, (IMAGES, targets), validation=held_out, batch_size=BATCH, group=group, **settings
        )
        trainer.run()
        return trainer

    alone = train(ALONE)
    assert {"mae", "rmse", "r2", "val_r2"} < set(alone.state.history[0])
    for one in in_each(2, train):
        np.testing.assert_allclose(figures(one), figures(alone), rtol=1e-9)


def test_one_process_may_watch_the_layers(backend: str, tmp_path: Path) -> None:
    """It measures between the steps, alone, and waits for nobody."""

    def train(group: Group, watched: bool) -> Trainer:
        net = tn.Sequential(layers(normalise=True), (7, 7, 1), backend=backend, dtype="float64", seed=1)
        trainer = Trainer(net, (IMAGES, LABELS), epochs=2, batch_size=BATCH, group=group)
        trainer.run([tn.HealthLog(tmp_path / "health.jsonl")] if watched and group.rank == 0 else [])
        return trainer

    plain = in_each(2, lambda member: train(member, False))
    watched = in_each(2, lambda member: train(member, True))
    for one, other in zip(plain, watched, strict=True):
        np.testing.assert_array_equal(flat(one, "values"), flat(other, "values"))
        np.testing.assert_array_equal(flat(one, "state"), flat(other, "state"))
    assert {line["epoch"] for line in read_health(tmp_path / "health.jsonl")} == {0, 1, 2}


def test_recorded_steps() -> None:
    """What is recorded is the gradient of a part; the sum stands between it and the optimiser's step."""

    def train(group: Group) -> Trainer:
        stack = [tn.Rescale(), tn.Flatten(), tn.Dense(8), tn.ReLU(), tn.Dense(10)]
        net = tn.Sequential(stack, (7, 7, 1), backend="numba", dtype="float64", seed=1)
        trainer = Trainer(
            net, (IMAGES, LABELS), optimizer=tn.SGD(0.1), epochs=4, batch_size=BATCH, group=group
        )
        trainer.run()
        return trainer

    alone = train(ALONE)
    for one in in_each(2, train):
        np.testing.assert_allclose(flat(one, "values"), flat(alone, "values"), rtol=1e-10)


def test_frozen_weights_stay_and_the_others_learn() -> None:
    def train(group: Group) -> tn.Sequential:
        net = tn.Sequential(layers(normalise=True), (7, 7, 1), backend="numpy", freeze=["conv2d_1"])
        Trainer(net, (IMAGES, LABELS), epochs=1, batch_size=BATCH, group=group).run()
        return net

    before = tn.Sequential(layers(normalise=True), (7, 7, 1), backend="numpy").store.values.views
    for net in in_each(2, train):
        after = net.store.values.views
        np.testing.assert_array_equal(after["conv2d_1.W"], before["conv2d_1.W"])
        assert (after["dense_1.W"] != before["dense_1.W"]).any()


class InterruptedIn(Callback):
    """A signal comes to one process alone, while it hears of a step."""

    def __init__(self, rank: int, step: int) -> None:
        self.rank, self.step = rank, step

    def on_step(self, trainer: Trainer, event: StepEnd) -> None:
        if (trainer.group.rank, event.step) == (self.rank, self.step):
            trainer.interrupt.is_set = True


@pytest.mark.parametrize("step", [5, 8])
def test_a_signal_to_one_process_stops_all_after_the_same_step(step: int) -> None:
    def train(group: Group) -> tuple[int, str | None]:
        net = tn.Sequential([tn.Rescale(), tn.Flatten(), tn.Dense(10)], (7, 7, 1), backend="numpy")
        trainer = Trainer(net, (IMAGES, LABELS), epochs=2, batch_size=10, group=group)
        with pytest.raises(Interrupted):
            trainer.run([InterruptedIn(rank=1, step=step)])
        return trainer.state.step, trainer.state.stopped

    assert in_each(3, train) == [(step, "interrupted")] * 3


def test_a_nan_in_one_part_ends_all_together() -> None:
    class Poison(Callback):
        def on_step(self, trainer: Trainer, event: StepEnd) -> None:
            if trainer.group.rank == 1:
                trainer.model.store.values.flat[0] = np.nan

    def train(group: Group) -> str:
        net = tn.Sequential(layers(normalise=True), (7, 7, 1), backend="numpy")
        with pytest.raises(NonFiniteError) as caught:
            Trainer(net, (IMAGES, LABELS), epochs=2, batch_size=10, group=group).run([Poison()])
        return str(caught.value)

    first, second = in_each(2, train)
    assert first.splitlines()[0] == second.splitlines()[0] == "training stopped: the loss is nan at step 1"


def test_a_batch_with_no_sample_for_some_process() -> None:
    net = tn.Sequential([tn.Flatten(), tn.Dense(10)], (7, 7, 1), backend="numpy")
    with pytest.raises(ConfigError, match="at least 3"):
        Trainer(net, (IMAGES, LABELS), batch_size=2, group=members(3)[0])


def test_processes_that_begin_with_other_data_are_refused(tmp_path: Path) -> None:
    plan = recipe.from_table(tomllib.loads(LONGER))

    def begin(group: Group) -> None:
        settings = Settings("x", plan, "sample", None, "", 0, "numpy", "float32", "")
        data = dataclasses.replace(load("sample"), sha256=f"of {group.rank}")
        run = Run.start(tmp_path / "run", settings, data, group)
        with pytest.raises(RunError, match="the processes do not start from the same state"):
            run.train()

    in_each(2, begin)


# --- real processes -----------------------------------------------------------------------------------------
RECIPE = """
layers = [
  { type = "Rescale" },
  { type = "Conv2D", filters = 4, kernel = 5, stride = 3 },
  { type = "BatchNorm" },
  { type = "ReLU" },
  { type = "Dropout", rate = 0.2 },
  { type = "Flatten" },
  { type = "Dense", units = 10, l2 = 0.001 },
]
[training]
epochs = 2
batch_size = 33
samples = 400
validation = 0.1
optimizer = { type = "SGD", learning_rate = 0.05, momentum = 0.9 }
augmentation = { rotation = 10, shift = 0.1, elastic = 1 }
"""
LONGER = """
layers = [
  { type = "Rescale" },
  { type = "Flatten" },
  { type = "Dropout", rate = 0.2 },
  { type = "Dense", units = 10 },
]
[training]
epochs = 30
batch_size = 50
samples = 500
validation = 0.2
early_stopping = { patience = 30 }
"""
MPIEXEC = shutil.which(
    "mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
)
TIMEOUT = 120.0
KILLS = max(1, int(os.environ.get("TINYNET_TEST_KILLS", "6")) // 3)
TRAIN = [sys.executable, "-m", "tinynet", "train"]
TOGETHER = [str(MPIEXEC), "-n", "2", *TRAIN, "--distributed"]

mpi = pytest.mark.skipif(
    MPIEXEC is None or importlib.util.find_spec("mpi4py") is None,
    reason=f"no mpiexec or no mpi4py: {extras.install('mpi')}",
)


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [str(argument) for argument in arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def end_of(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What it has said by its end, on both ways."""
    try:
        return process.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        process.terminate()  # mpiexec sees to the others
        process.communicate(timeout=TIMEOUT)
        raise


def said_by(*arguments: object) -> str:
    """What a command says that ends well."""
    process = start(*arguments)
    out, err = end_of(process)
    assert process.returncode == 0, out + err
    return out


def said_by_failing(*arguments: object) -> str:
    """What a command complains of that does not; its code may be that of a process killed by mpiexec."""
    process = start(*arguments)
    out, err = end_of(process)
    assert process.returncode != 0, out + err
    return err


def weights(folder: Path) -> tuple[Any, Any]:
    store = checkpoint.load_model(folder / "model.safetensors", backend="numpy").model.store
    return store.values.flat, store.state.flat


@pytest.fixture(scope="module")
def recipes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipes")
    (folder / "tiny.toml").write_text(RECIPE)
    (folder / "longer.toml").write_text(LONGER)
    return folder


@pytest.fixture(scope="module")
def longer(recipes: Path) -> list[object]:
    return [recipes / "longer.toml", "--dataset", "sample", "--backend", "numpy"]


@pytest.fixture(scope="module")
def whole(longer: list[object], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two processes that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    said_by(*TOGETHER, *longer, "--out", folder)
    return folder


@mpi
def test_two_processes_end_where_one_does(recipes: Path, tmp_path: Path) -> None:
    folder = tmp_path / "two"
    options = [recipes / "tiny.toml", "--dataset", "sample", "--dtype", "float64", "--backend", "numba"]
    options += ["--class-weight", "balanced"]
    said = said_by(*TOGETHER, *options, "--out", folder)
    said_by(*TRAIN, *options, "--out", tmp_path / "one")
    for received, expected in zip(weights(folder), weights(tmp_path / "one"), strict=True):
        np.testing.assert_allclose(received, expected, rtol=1e-8, atol=1e-10)
    assert said.count("epoch 2/2") == said.count("Test accuracy") == 1
    assert "in each of 2 processes" in " ".join(said.split())
    report = json.loads((folder / "report.json").read_text())
    assert report["facts"]["processes"] == 2
    assert report["facts"]["command"].startswith("mpiexec -n 2 ")
    assert {path.name for path in folder.iterdir()} == {path.name for path in (tmp_path / "one").iterdir()}


def process_of(rank: int, folder: Path) -> int:
    """The process id of a rank, by what mpiexec told it."""
    for place in Path("/proc").glob("[0-9]*"):
        try:
            command, variables = (place / "cmdline").read_text(), (place / "environ").read_text()
        except OSError:
            continue
        if str(folder) in command and f"PMI_RANK={rank}" in variables.split("\0"):
            return int(place.name)
    raise AssertionError(f"there is no process of rank {rank}")


def until_saved(folder: Path) -> None:
    """Until an epoch is logged and there is a checkpoint."""
    deadline, log = time.monotonic() + TIMEOUT, folder / "log.jsonl"
    saved = folder / "last.safetensors"
    while not (saved.exists() and log.exists() and '"event": "epoch"' in log.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)


@mpi
@linux
def test_a_lost_process_ends_the_run_with_a_message_and_a_checkpoint(
    whole: Path, longer: list[object], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    process = start(*TOGETHER, *longer, "--out", folder, "--save-every", 0)
    until_saved(folder)
    lost = process_of(1, folder)
    os.kill(lost, signal.SIGKILL)
    _, err = end_of(process)
    assert process.returncode != 0
    assert "Lost: process" in err
    assert f"process 1 (id {lost})" in err
    assert f"mpiexec -n 2 tinynet train --distributed --resume {folder}" in err
    assert not (folder / "model.safetensors").exists()

    shutil.copytree(folder, tmp_path / "alone")
    said_by(*TOGETHER, "--resume", folder)
    for received, expected in zip(weights(folder), weights(whole), strict=True):
        np.testing.assert_array_equal(received, expected)
    said_by(*TRAIN, "--resume", tmp_path / "alone")
    for received, expected in zip(weights(tmp_path / "alone"), weights(whole), strict=True):
        np.testing.assert_allclose(received, expected, atol=1e-5)


@mpi
@linux
def test_killed_at_any_moment_two_processes_end_the_same(
    whole: Path, longer: list[object], tmp_path: Path
) -> None:
    moments = random.Random(0)
    for kill in range(KILLS):
        folder = tmp_path / f"killed-{kill}"
        process = start(*TOGETHER, *longer, "--out", folder, "--save-every", 0)
        while not folder.exists():
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 1.0) if kill % 2 else moments.uniform(0, 0.02))
        with suppress(AssertionError, ProcessLookupError):  # it may have ended before
            os.kill(process_of(moments.randrange(2), folder), signal.SIGKILL)
        end_of(process)
        if (folder / "config.json").exists():
            said_by(*TOGETHER, "--resume", folder)
        else:
            said_by(*TOGETHER, *longer, "--out", folder)
        for received, expected in zip(weights(folder), weights(whole), strict=True):
            np.testing.assert_array_equal(received, expected)


@mpi
def test_ctrl_c_saves_and_says_how_to_go_on(longer: list[object], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = start(*TOGETHER, *longer, "--out", folder, "--save-every", 0, "--epochs", 999)
    until_saved(folder)
    process.send_signal(signal.SIGINT)
    out, err = end_of(process)
    assert process.returncode == 130, err
    assert f"Continue with: mpiexec -n 2 tinynet train --distributed --resume {folder}" in out
    end = json.loads((folder / "log.jsonl").read_text().splitlines()[-1])
    assert (end["event"], end["stopped"]) == ("end", "interrupted")


@mpi
def test_what_went_wrong_everywhere_is_said_once(longer: list[object], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    err = said_by_failing(*TOGETHER, *longer, "--out", tmp_path)
    assert err.count("is not empty") == 1


@mpi
def test_a_process_that_fails_alone_says_so_and_ends_the_others() -> None:
    program = (
        "from tinynet.distributed import mpi as d\n"
        "with d.joined() as g:\n g.watch(''); 1 / (1 - g.rank); g.any(True)"
    )
    err = said_by_failing(MPIEXEC, "-n", 2, sys.executable, "-c", program)
    assert "Process 1 of 2 failed:" in err
    assert "ZeroDivisionError" in err


@mpi
def test_no_process_waits_for_ever() -> None:
    program = (
        "import time; from tinynet.distributed import mpi as d; d.TIMEOUT = 0.5\n"
        "with d.joined() as g:\n time.sleep(30 * g.rank); g.any(True)"
    )
    err = said_by_failing(MPIEXEC, "-n", 2, sys.executable, "-c", program)
    assert "process 0 of 2 waited for the others in vain" in err


GPU_TO_GPU = r"""
import os, sys
from types import SimpleNamespace
from tinynet.distributed import mpi as d

class Array:  # of a GPU
    dtype, size, data = SimpleNamespace(name="float32"), 1, SimpleNamespace(ptr=0)
    def __mul__(self, number): return self
    def get(self): os.write(1, b"host\n"); return d.np.zeros(1, "float32")
    def set(self, array): pass

class Communicator:
    def __init__(self, *about): pass
    def allReduce(self, *arguments): os.write(1, b"nccl\n")

nccl = SimpleNamespace(available=True, NCCL_FLOAT32=0, NCCL_FLOAT64=1, NCCL_SUM=0)
nccl.get_unique_id, nccl.NcclCommunicator = (lambda: bytes(128)), Communicator
cuda = SimpleNamespace(nccl=nccl, get_current_stream=lambda: SimpleNamespace(ptr=0))
sys.modules |= {"cupy": SimpleNamespace(cuda=cuda), "cupy.cuda": cuda, "cupy.cuda.nccl": nccl}
with d.joined() as group:
    group.choose_device(lambda rank: sys.argv[1 + rank])
    group.sum(Array(), 0.5)
"""


@mpi
@pytest.mark.parametrize(
    ("devices", "way"), [(("A", "B"), "nccl"), (("A", "A"), "host"), (("A", ""), "host"), (("", ""), "host")]
)
def test_sums_go_from_gpu_to_gpu_where_no_two_processes_have_the_same(
    devices: tuple[str, str], way: str
) -> None:
    """However many each of them sees: a launcher may show each process its own alone."""
    said = said_by(MPIEXEC, "-n", 2, sys.executable, "-c", GPU_TO_GPU, *devices)
    assert said.split() == [way, way]


@mpi
def test_without_mpiexec(longer: list[object], tmp_path: Path) -> None:
    err = said_by_failing(*TRAIN, "--distributed", *longer, "--out", tmp_path / "run")
    assert "found no other process" in err
    assert "mpiexec -n 2 tinynet train --distributed" in err
    assert not (tmp_path / "run").exists()


def test_without_mpi4py(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(ConfigError, match=re.escape(extras.install("mpi"))):
        MpiGroup()
