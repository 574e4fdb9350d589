"""tinynet train: what a run leaves behind, how it goes on, and what it says when something is wrong."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import Command, Trained
from PIL import Image

from tinynet import backends, checkpoint, extras
from tinynet.backends import cuda_status
from tinynet.backends.numpy_ import NumpyBackend
from tinynet.callbacks import checkpoints
from tinynet.callbacks.health import read_health
from tinynet.cli.progress import TrainingProgress
from tinynet.data.augmentation import Augmentation
from tinynet.distributed.group import Group
from tinynet.io import tables
from tinynet.runs.settings import read_settings
from tinynet.schedules import Cosine
from tinynet.step import Step, StepNumbers

LEFT = {
    "best.safetensors",
    "config.json",
    "last.safetensors",
    "log.jsonl",
    "model.safetensors",
    "predictions.csv",
    "report.json",
    "report.md",
}


def weights(folder: Path) -> str:
    return json.loads((folder / "report.json").read_text())["facts"]["weights_sha256"]


def test_a_run_leaves_its_files(trained: Trained) -> None:
    names = {path.name for path in trained.folder.iterdir()}
    assert names >= LEFT
    assert {path.suffix for path in map(trained.folder.joinpath, names - LEFT)} <= {".png"}
    assert len((trained.folder / "predictions.csv").read_text().splitlines()) == 1001
    assert "Test accuracy" in trained.said
    assert f"tinynet evaluate {trained.folder}" in trained.said
    assert "not on MNIST's 10,000" in trained.said


def test_options_change_the_recipe(train: Command, tmp_path: Path) -> None:
    options = ["--epochs", 1, "--batch", 100, "--optimizer", "SGD", "--lr", 0.5, "--schedule", "Cosine"]
    train(*options, "--validation", 0, "--seed", 7, "--dtype", "float64")
    settings = read_settings(tmp_path / "run")
    plan = settings.recipe.training
    assert (plan.epochs, plan.batch_size, plan.validation) == (1, 100, 0)
    assert tables.to_table(plan.optimizer) == {"type": "SGD", "learning_rate": 0.5}
    assert plan.schedule == Cosine()
    assert (settings.seed, settings.dtype, settings.backend) == (7, "float64", "numpy")
    assert not (tmp_path / "run" / "best.safetensors").exists()


def test_the_same_command_gives_the_same_weights(train: Command, tmp_path: Path, trained: Trained) -> None:
    train()
    assert weights(tmp_path / "run") == weights(trained.folder)


def test_the_report_says_whose_figures_it_has(trained: Trained) -> None:
    epoch = json.loads((trained.folder / "report.json").read_text())["training"]["final_epoch"]
    said = f"These figures are of `model.safetensors`, the weights of epoch {epoch}."
    assert said in (trained.folder / "report.md").read_text()


def test_a_folder_that_is_taken(train: Command, trained: Trained) -> None:
    said = train("--out", trained.folder, code=1)
    assert "is not empty" in said
    assert f"tinynet train --resume {trained.folder}" in said


def test_a_folder_that_cannot_be_made(train: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert "no folder can lie in it" in train("--out", tmp_path / "file" / "run", code=2)


@pytest.mark.parametrize(
    ("toml", "complaint"),
    [
        ('layers = [ { type = "Dense", unit = 3 } ]', "unknown key 'unit' for layer Dense"),
        ('layers = [ { type = "Dens", units = 3 } ]', "unknown layer"),
        ('layers = [ { type = "Dense", units = "3" } ]', "wrong value for 'units'"),
        ("layers = [", "is not valid TOML"),
        ("[training]\nepochs = 1", "lacks layers"),
        ("layers = []\n[training]\nepoch = 1", "unknown key 'epoch'"),
        ("layers = []", "at least one layer"),
        ('layers = [ { type = "Dense", units = 10 } ]', "expected"),
    ],
)
def test_an_architecture_with_a_mistake(train: Command, tmp_path: Path, toml: str, complaint: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(toml)
    assert complaint in train(architecture=path, code=1)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--optimizer", "Sgd"], "expected: SGD, Adam, AdamW received: 'Sgd'"),
        (["--schedule", "cosine"], "unknown schedule"),
        (["--backend", "tpu"], "expected: auto, numpy, numba, cupy received: 'tpu'"),
        (["--backend", "numpy", "--precision", "tf32"], "the numpy backend has no precision 'tf32'"),
        (["--backend", "numba", "--precision", "bf16"], "the numba backend has no precision 'bf16'"),
        (["--dataset", "nosuch"], "there is no data set 'nosuch'"),
        (["--validation", "400000"], "too small for this recipe"),
    ],
)
def test_an_option_with_a_mistake(train: Command, tmp_path: Path, options: Any, complaint: str) -> None:
    assert complaint in train(*options, code=1)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "options", [["--epochs", "-1"], ["--batch", "0"], ["--threads", "0"], ["--seed", "x"]]
)
def test_a_number_out_of_range(train: Command, options: Any) -> None:
    assert f"Invalid value for '{options[0]}'" in train(*options, code=2)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a driver, on which no data set may be loaded."""

    def loaded(*arguments: object, **settings: object) -> None:
        raise AssertionError("the data were loaded")

    monkeypatch.setattr(cuda_status, "read", cuda_status.Facts)
    monkeypatch.setattr("tinynet.cli.progress.load", loaded)


@pytest.mark.parametrize(
    "command",
    [
        ["train"],
        ["tune", "mlp"],
        ["crossval", "mlp"],
        ["race"],
        ["bench"],
        ["reproduce", "R1"],
        ["summary", "mlp"],
        ["gradcheck"],
        ["warmup", "mlp"],
        ["evaluate", "RUN"],
        ["ensemble", "RUN", "RUN/model.safetensors"],
        ["audit", "RUN"],
        ["classical", "--run", "RUN"],
    ],
    ids=lambda command: command[0],
)
def test_without_a_gpu_cupy_is_refused_at_once(
    tinynet: Command,
    trained: Trained,
    no_gpu: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    command = [word.replace("RUN", str(trained.folder)) for word in command]
    said = tinynet(*command, "--backend", "cupy", code=1)
    assert said.startswith("Error: the cupy backend cannot run here received: no NVIDIA driver is found")
    assert "--backend numba" in said
    assert not list(tmp_path.iterdir())


def test_a_run_on_a_gpu_goes_on_on_a_gpu(
    train: Command, trained: Trained, no_gpu: None, tmp_path: Path
) -> None:
    folder = shutil.copytree(trained.folder, tmp_path / "again")
    config = (folder / "config.json").read_text().replace('"backend": "numpy"', '"backend": "cupy"')
    (folder / "config.json").write_text(config)
    assert "the cupy backend cannot run here" in train("--resume", folder, code=1)


def test_a_process_has_its_device_before_a_backend_is_tried_out(
    train: Command, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trying it out computes: each of several processes would do so on the first GPU."""
    done: list[str] = []

    def choose(group: Group, use_device: Callable[[int], str]) -> None:
        assert use_device(0) == ""
        done.append("device")

    def get(*arguments: Any, **settings: Any) -> Any:
        done.append("try out")
        return real(*arguments, **settings)

    real = backends.get
    monkeypatch.setattr(Group, "choose_device", choose)
    monkeypatch.setattr(backends, "get", get)
    train("--epochs", 1)
    first, *_ = done
    done.clear()
    train("--resume", trained.folder)
    assert first == done[0] == "device"


def test_out_of_memory(train: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the second epoch: the checkpoint of the first stays, and the run goes on from it."""
    real, room = NumpyBackend.dense, [12]

    def dense(self: Any, *arguments: Any) -> Any:
        room[0] -= 1
        if not room[0]:
            raise MemoryError("Out of memory allocating 512 bytes")
        return real(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(NumpyBackend, "dense", dense)
        said = train(code=1)
    folder = tmp_path / "run"
    assert f"The last checkpoint is kept. With more memory: tinynet train --resume {folder}" in said
    assert "with 50 samples in a batch" in said
    assert "--batch 32, or" in said
    assert "Traceback" not in said
    assert "Test accuracy" in train("--resume", folder)


def test_no_memory_outside_of_training(tinynet: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*arguments: object, **settings: object) -> None:
        raise MemoryError("Unable to allocate 9. EiB")

    monkeypatch.setattr("tinynet.cli.progress.load", load)
    assert "Error: out of memory: Unable to allocate 9. EiB" in tinynet("train", code=1)


def test_a_finished_run_resumed_stays_what_it_is(train: Command, trained: Trained, tmp_path: Path) -> None:
    folder = shutil.copytree(trained.folder, tmp_path / "again")
    said = train("--resume", folder)
    assert "This run was finished already" in said
    assert f"To train longer: tinynet train --from {folder}" in said
    assert "Test accuracy" in said
    assert "finished already" not in trained.said
    assert weights(folder) == weights(trained.folder)


def test_weights_for_classes(
    train: Command,
    tinynet: Command,
    tiny: Path,
    trained: Trained,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the option and by the recipe's key, also where the run was interrupted and resumed."""
    keyed = tmp_path / "keyed.toml"
    keyed.write_text(tiny.read_text() + 'class_weight = "balanced"\n')
    train("--class-weight", "balanced", "--out", tmp_path / "option")
    train("--out", tmp_path / "key", architecture=keyed)
    assert read_settings(tmp_path / "option").recipe.training.class_weight == "balanced"
    assert weights(tmp_path / "option") == weights(tmp_path / "key") != weights(trained.folder)
    assert "hold" in tinynet("audit", tmp_path / "option")
    with monkeypatch.context() as patch:
        patch.setattr(TrainingProgress, "on_epoch", lambda self, trainer, event: trainer.stop("interrupted"))
        train("--class-weight", "balanced", "--out", tmp_path / "halves", code=130)
    train("--resume", tmp_path / "halves")
    assert weights(tmp_path / "halves") == weights(tmp_path / "option")
    said = train("--resume", tmp_path / "halves", "--class-weight", "balanced", code=2)
    assert "'--class-weight' does not go with --resume" in said
    keyed.write_text(tiny.read_text() + "class_weight = [1, 2]\n")
    assert "not as many weights as classes" in train("--out", tmp_path / "no", architecture=keyed, code=1)
    keyed.write_text(tiny.read_text() + "class_weight = [1, -2]\n")
    assert "training cannot use this value for class_weight" in train(
        "--out", tmp_path / "no", architecture=keyed, code=1
    )
    assert not (tmp_path / "no").exists()


def test_resuming_what_is_no_run(train: Command, tmp_path: Path) -> None:
    said = train("--resume", tmp_path, code=1)
    assert "is not the folder of a run" in said
    assert "check the path" in said
    (tmp_path / "mine" / "run").mkdir(parents=True)
    (tmp_path / "mine" / "run" / "config.json").touch()
    assert f"name a run in it: {tmp_path / 'mine' / 'run'}" in train("--resume", tmp_path / "mine", code=1)
    (tmp_path / "config.json").write_text('{"name": ')
    assert "config.json is damaged" in train("--resume", tmp_path, code=1)


def test_a_resumed_run_cannot_be_changed(train: Command, trained: Trained) -> None:
    said = train("--resume", trained.folder, "--epochs", 9, code=2)
    assert "'--epochs' does not go with --resume. To train longer: --from" in said
    assert "'--seed' does not go with --resume." in train("--resume", trained.folder, "--seed", 9, code=2)
    assert "'ARCHITECTURE' does not go with" in train("mlp", "--resume", trained.folder, code=2)


def test_resuming_from_a_damaged_checkpoint(train: Command, trained: Trained, tmp_path: Path) -> None:
    folder = shutil.copytree(trained.folder, tmp_path / "damaged")
    whole = (folder / "last.safetensors").read_bytes()
    (folder / "last.safetensors").write_bytes(whole[:-100])
    said = train("--resume", folder, code=1)
    assert "last.safetensors is damaged" in said
    assert "fix:" in said


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('"seed": 0', '"seed": 1', "seed"),
        ('"epochs": 2', '"epochs": 3', "recipe.training.epochs"),
        ('"batch_size": 50', '"batch_size": 51', "recipe.training.batch_size"),
        ('"validation": 0.2', '"validation": 0.3', "recipe.training.validation"),
    ],
)
def test_a_configuration_that_was_changed_is_not_gone_on_with(
    train: Command, trained: Trained, tmp_path: Path, old: str, new: str, what: str
) -> None:
    """Whether there is a checkpoint or only the first line of a log."""
    folder = shutil.copytree(trained.folder, tmp_path / "changed")
    config = (folder / "config.json").read_text()
    assert old in config
    (folder / "config.json").write_text(config.replace(old, new))
    before = (folder / "log.jsonl").read_bytes()
    assert f"had other settings expected: {what} " in train("--resume", folder, code=1)
    assert (folder / "log.jsonl").read_bytes() == before
    (folder / "last.safetensors").unlink()
    (folder / "log.jsonl").write_bytes(before.partition(b"\n")[0] + b"\n")
    assert f"had other settings expected: {what} " in train("--resume", folder, code=1)
    (folder / "config.json").write_text(config)
    assert "Test accuracy" in train("--resume", folder)
    assert weights(folder) == weights(trained.folder)


def test_a_checkpoint_that_is_gone_is_no_new_beginning(
    train: Command, trained: Trained, tmp_path: Path
) -> None:
    folder = shutil.copytree(trained.folder, tmp_path / "lost")
    (folder / "last.safetensors").unlink()
    said = train("--resume", folder, code=1)
    assert "the checkpoint of the run in" in said
    assert "log.jsonl tells of 16 steps done" in said


def test_a_run_killed_before_it_wrote_anything_begins_in_the_same_folder(
    train: Command, trained: Trained, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / ".lock").write_text("process 1 on elsewhere\n")
    (folder / f".{'0a' * 16}.tmp").write_text('{"na')
    assert "is not the folder of a run" in train("--resume", folder, code=1)
    train()
    assert weights(folder) == weights(trained.folder)
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_resuming_with_other_data(train: Command, trained: Trained, tmp_path: Path) -> None:
    folder = shutil.copytree(trained.folder, tmp_path / "other")
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | {"data_sha256": "0" * 64}))
    assert "is not the one the run tiny was trained on" in train("--resume", folder, code=1)


def test_auto_is_written_down_as_what_it_was(
    train: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tinynet.data.download.MIRRORS", {"mnist": ()})
    train("--dataset", "auto")
    assert json.loads((tmp_path / "run" / "config.json").read_text())["dataset"] == "sample"
    train("--resume", tmp_path / "run")


def test_a_full_disk_ends_in_a_message_and_keeps_the_old_checkpoint(
    train: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last, kept = tmp_path / "run" / "last.safetensors", []
    save = checkpoint.save_training

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def save_until_full(path: Path, *rest: Any) -> None:
        if path.exists():  # the second time
            kept.append(path.read_bytes())
            monkeypatch.setattr(os, "fsync", full)
        save(path, *rest)

    monkeypatch.setattr(checkpoints, "save_training", save_until_full)
    said = train(code=1)
    assert "last.safetensors could not be saved: No space left on device" in said
    assert "free some disk space" in said
    assert kept == [last.read_bytes()]
    assert not list(last.parent.glob("*.tmp"))
    monkeypatch.undo()
    monkeypatch.setenv("COLUMNS", "300")
    train("--resume", last.parent)


def test_ctrl_c_while_the_report_is_written(
    train: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("tinynet.runs.run.write_report", interrupt)
        assert "Interrupted and saved. Continue with:" in train(code=130)
    train("--resume", tmp_path / "run")
    assert (tmp_path / "run" / "report.json").exists()


def test_a_second_ctrl_c_leaves_the_last_checkpoint(
    train: Command, tmp_path: Path, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(step: Step, now: StepNumbers) -> None:
        if now.step == 11:  # in the second epoch of 8 steps
            raise KeyboardInterrupt
        move(step, now)

    move = Step.update
    with monkeypatch.context() as patch:
        patch.setattr(Step, "update", cut_off)
        said = train(code=130)
    assert f"The last checkpoint is kept. Continue with: tinynet train --resume {tmp_path / 'run'}" in said
    train("--resume", tmp_path / "run")
    assert weights(tmp_path / "run") == weights(trained.folder)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT to send")
def test_an_interrupted_run_goes_on_to_the_same_weights(train: Command, tiny: Path, tmp_path: Path) -> None:
    options = ["--epochs", "700", "--dataset", "sample", "--backend", "numpy"]
    command = [sys.executable, "-c", "from tinynet.cli import main; main()", "train", str(tiny), *options]
    folder = tmp_path / "cut"
    started = subprocess.Popen([*command, "--out", str(folder)], stdout=subprocess.PIPE, text=True)
    patience = time.monotonic() + 30
    while not (folder / "log.jsonl").exists() and time.monotonic() < patience:  # signals are heard by then
        time.sleep(0.02)
    started.send_signal(signal.SIGINT)
    said, _ = started.communicate(timeout=30)
    assert started.returncode == 130, said
    assert f"tinynet train --resume {folder}" in " ".join(said.split()).replace("- ", "-")
    done = json.loads((folder / "log.jsonl").read_text().splitlines()[-1])
    assert done["event"] == "end"
    assert done["stopped"] == "interrupted"
    train("--resume", folder)
    train("--epochs", 700, "--out", tmp_path / "whole")
    assert weights(folder) == weights(tmp_path / "whole")


def test_a_log_for_tensorboard_is_written_and_kept_up(train: Command, tmp_path: Path) -> None:
    train("--tensorboard")
    events = tmp_path / "run" / "tensorboard"
    assert len(list(events.iterdir())) == 1
    train("--resume", tmp_path / "run")
    assert len(list(events.iterdir())) == 2
    train("--resume", tmp_path / "run", "--tensorboard")


def test_a_log_for_tensorboard_needs_its_extra(
    train: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    assert extras.install("tensorboard") in train("--tensorboard", code=1)
    assert not (tmp_path / "run").exists()


def test_an_inspected_run_learns_the_same_and_shows_its_layers(
    train: Command, tmp_path: Path, trained: Trained
) -> None:
    said = train("--inspect")
    run = tmp_path / "run"
    assert weights(run) == weights(trained.folder)
    assert [line["epoch"] for line in read_health(run / "health.jsonl")] == [0, 1, 2]
    with Image.open(run / "health.png") as picture:
        assert picture.format == "PNG"
    page = (run / "report.md").read_text()
    assert "![Health of the layers](health.png)" in page
    sentence = json.loads((run / "report.json").read_text())["facts"]["health"]
    assert sentence in page
    assert f"{sentence} See {run / 'health.png'}" in said
    assert "health" not in trained.said
    assert not (trained.folder / "health.png").exists()
    train("--resume", run)
    assert [line["epoch"] for line in read_health(run / "health.jsonl")] == [0, 1, 2]


def test_a_health_log_that_cannot_be_read_stops_a_resume(train: Command, tmp_path: Path) -> None:
    train("--inspect")
    (tmp_path / "run" / "health.jsonl").unlink()
    (tmp_path / "run" / "health.jsonl").mkdir()
    assert "health.jsonl cannot be read" in train("--resume", tmp_path / "run", code=1)


def test_mixing_by_options(train: Command, tmp_path: Path) -> None:
    """They reach the recipe that the run keeps, and change what is learned; 0 is as if not given."""
    train("--mixup", 0.2, "--cutmix", 1)
    plan = read_settings(tmp_path / "run").recipe.training
    assert plan.augmentation == Augmentation(mixup=0.2, cutmix=1)
    plain = tmp_path / "plain"
    train("--mixup", 0, "--cutmix", 0, "--out", plain)
    assert read_settings(plain).recipe.training.augmentation is None
    assert weights(plain) != weights(tmp_path / "run")
    assert "--mixup' does not go with --resume" in train("--resume", plain, "--mixup", 0.2, code=2)


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--mixup", -1], 2, "-1.0 is not in the range"),
        (["--cutmix", 101], 2, "101.0 is not in the range"),
        (["--mixup", "much"], 2, "is not a valid float"),
    ],
)
def test_an_alpha_that_makes_no_sense(
    train: Command, tmp_path: Path, options: list[object], code: int, said: str
) -> None:
    assert said in train(*options, code=code)
    assert not (tmp_path / "run").exists()


def test_a_loss_of_values_is_refused_for_classes(train: Command, tmp_path: Path) -> None:
    net = tmp_path / "net.toml"
    net.write_text(
        'layers = [{ type = "Flatten" }, { type = "Dense", units = 10 }]\n'
        '[training]\nloss = "MeanSquaredError"'
    )
    said = train(architecture=net, code=1)
    assert (
        "MeanSquaredError is for values, and sample has classes"
        " expected: SoftmaxCrossEntropy, CrossEntropy, BinaryCrossEntropy" in said
    )
    assert 'fix: loss = "SoftmaxCrossEntropy" under [training]' in said
    assert not (tmp_path / "run").exists()


def test_mixing_needs_a_loss_that_takes_it(train: Command, tmp_path: Path) -> None:
    net = tmp_path / "net.toml"
    net.write_text(
        'layers = [{ type = "Flatten" }, { type = "Dense", units = 10 }, { type = "Softmax" }]\n'
        '[training]\nloss = { type = "CrossEntropy" }'
    )
    said = train("--mixup", 0.2, architecture=net, code=1)
    assert (
        "takes no mixed targets expected: SoftmaxCrossEntropy or BinaryCrossEntropy received: CrossEntropy"
        ' fix: train with SoftmaxCrossEntropy (in a recipe: loss = { type = "SoftmaxCrossEntropy" })' in said
    )
    assert not (tmp_path / "run").exists()
