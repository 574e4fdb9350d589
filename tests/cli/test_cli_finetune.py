"""tinynet train --from: what is taken over, what stays, what is refused, and what the run then has seen."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import Command, Trained
from safetensors.numpy import load_file

from tinynet import checkpoint
from tinynet.data import load, write_csv
from tinynet.errors import CheckpointError, ConfigError, RunError
from tinynet.runs import provenance
from tinynet.runs.recipe import Recipe
from tinynet.runs.run import Run
from tinynet.runs.settings import Settings, read_settings
from tinynet.types import Array

BODY = """
layers = [ { type = "Rescale" }, { type = "Conv2D", filters = 3, kernel = 5, stride = 3 },
  { type = "BatchNorm" }, { type = "ReLU" }, { type = "Flatten" }, { type = "Dense", units = UNITS } ]
[training]
epochs = 2
batch_size = 50
samples = SAMPLES
validation = 0.2
optimizer = { type = "AdamW", weight_decay = 0.1 }
ema_decay = 0.9
"""
SOURCE = ("--dataset", "sample", "--backend", "numpy")


def recipe_file(folder: Path, units: int = 10, samples: int = 500) -> Path:
    path = folder / f"net-{units}.toml"
    path.write_text(BODY.replace("UNITS", str(units)).replace("SAMPLES", str(samples)))
    return path


@pytest.fixture(scope="module")
def body(tinynet: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of a net with convolution and normalisation; look, do not touch."""
    folder = tmp_path_factory.mktemp("body")
    tinynet("train", recipe_file(folder), *SOURCE, "--out", folder / "run")
    return folder / "run"


def report(folder: Path) -> Any:
    return json.loads((folder / "report.json").read_text())


def weights(folder: Path) -> dict[str, Array]:
    return load_file(folder / "model.safetensors")


def start_settings(folder: Path, path: Path, **changes: Any) -> Settings:
    """Settings of a run that starts from `path`, like those of the run in `folder`."""
    found = provenance.find(path)
    return dataclasses.replace(read_settings(folder), recipe=found.recipe, start=found.start, **changes)


def test_a_run_goes_on_from_another_and_says_so(tinynet: Command, body: Path, tmp_path: Path) -> None:
    said = tinynet("train", "--from", body, "--freeze", "conv2d_*", "--freeze", "batch*", *SOURCE,
                   "--seed", 3, "--out", tmp_path / "run")  # fmt: skip
    digest = report(body)["facts"]["weights_sha256"]
    assert f"Started from {body} (weights {digest[:16]})." in said
    assert "Frozen: conv2d_*, batch*; 1,930 trainable parameters." in said
    settings = read_settings(tmp_path / "run")
    assert settings.recipe == read_settings(body).recipe
    assert settings.freeze == ["conv2d_*", "batch*"]
    assert settings.start is not None
    assert settings.start.settings == read_settings(body)
    page = (tmp_path / "run" / "report.md").read_text()
    assert f"| started from | {body} |" in page
    assert f"| hash of those weights | {digest} |" in page
    assert "| frozen | conv2d_*, batch* |" in page
    assert "re-initialised" not in page
    assert "All 16 checks hold" in tinynet("audit", tmp_path / "run")
    before, after = weights(body), weights(tmp_path / "run")
    assert before.keys() == after.keys()
    moved = {name for name in before if not np.array_equal(before[name], after[name])}
    assert moved == {"values/dense_1.W", "values/dense_1.b"}


def test_a_fine_tuned_run_resumes_to_the_same_weights(tinynet: Command, body: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    tinynet("train", "--from", body, "--freeze", "conv2d_1", *SOURCE, "--out", run)
    expected = report(run)["facts"]
    for lost in (
        ["report.json"],
        ["report.json", "last.safetensors", "log.jsonl"],
    ):  # before a checkpoint, too
        for name in lost:
            (run / name).unlink()
        assert "Frozen: conv2d_1" in tinynet("train", "--resume", run)
        found = report(run)["facts"]
        assert found["weights_sha256"] == expected["weights_sha256"]
        assert found["started_from_sha256"] == expected["started_from_sha256"]


def test_weights_that_changed_are_not_what_the_run_started_from(
    tinynet: Command, body: Path, tmp_path: Path
) -> None:
    parent = shutil.copytree(body, tmp_path / "parent")
    Run.start(tmp_path / "run", start_settings(body, parent), load("sample"))
    model, loss, about = checkpoint.load_model(parent, backend="numpy")
    model.store.values.flat[0] += 1
    checkpoint.save_model(parent / "model.safetensors", model, loss, about)
    said = tinynet("train", "--resume", tmp_path / "run", code=1)
    assert "are not those that this run started from" in said


def test_other_classes_begin_with_a_new_last_layer(tinynet: Command, body: Path, tmp_path: Path) -> None:
    data = load("sample").train
    few = data.labels < 5
    (tmp_path / "few").mkdir()
    write_csv(tmp_path / "few" / "train.csv", data.images[few][:500], data.labels[few][:500])
    said = tinynet("train", recipe_file(tmp_path, units=5, samples=300), "--from", body,
                   "--freeze", "[bc]*", "--dataset", tmp_path / "few", "--backend", "numpy",
                   "--out", tmp_path / "run")  # fmt: skip
    assert "dense_1 re-initialised for other classes" in said
    assert "| re-initialised | dense_1 |" in (tmp_path / "run" / "report.md").read_text()
    before, after = weights(body), weights(tmp_path / "run")
    assert after["values/dense_1.W"].shape[1] == 5
    for name in before.keys() - {"values/dense_1.W", "values/dense_1.b"}:
        np.testing.assert_array_equal(before[name], after[name])


def test_classes_of_other_names_are_other_classes(body: Path, tmp_path: Path) -> None:
    clothes = dataclasses.replace(load("sample"), classes=tuple("abcdefghij"))
    settings = start_settings(body, body)
    same, other = (
        Run.start(tmp_path / name, settings, data)
        for name, data in (("same", load("sample")), ("other", clothes))
    )
    starts = [run.settings.start for run in (same, other)]
    assert all(starts)
    assert [start and start.reinitialised for start in starts] == [None, "dense_1"]
    trained = checkpoint.load_model(body / "model.safetensors", backend="numpy").model.store.values.views
    for run, equal in ((same, True), (other, False)):
        views = run.trainer.model.store.values.views
        np.testing.assert_array_equal(views["conv2d_1.W"], trained["conv2d_1.W"])
        assert np.array_equal(views["dense_1.W"], trained["dense_1.W"]) is equal
    with pytest.raises(ConfigError, match=r"dense_1 starts from random weights.*\n.*\n  received: dense_1.W"):
        Run.start(tmp_path / "x", dataclasses.replace(settings, freeze=["dense_1.W"]), clothes)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("filters = 3", "filters = 4", "values/conv2d_1.W differs expected: (5, 5, 1, 4) of float32 received: (5, 5, 1, 3)"),  # noqa: E501
        ("stride = 3", "stride = 2", "values/dense_1.W differs"),
        ('{ type = "BatchNorm" },', "", "with more layers"),
        ('{ type = "ReLU" },', '{ type = "BatchNorm" },', "values/batchnorm_2.gamma differs"),
    ],
)  # fmt: skip
def test_another_architecture_is_refused(
    tinynet: Command, body: Path, tmp_path: Path, old: str, new: str, complaint: str
) -> None:
    path = recipe_file(tmp_path)
    path.write_text(path.read_text().replace(old, new))
    said = tinynet("train", path, "--from", body, *SOURCE, "--out", tmp_path / "run", code=1)
    assert complaint in said
    assert "fix:" in said
    assert not (tmp_path / "run").exists()


def test_another_dtype_is_refused_with_the_fix(tinynet: Command, body: Path, tmp_path: Path) -> None:
    said = tinynet("train", "--from", body, *SOURCE, "--dtype", "float64", "--out", tmp_path / "run", code=1)
    assert "fix: ask for the file's dtype" in said


@pytest.mark.parametrize(
    ("options", "code", "complaint"),
    [
        (["--from", "nosuch"], 1, "there is no file nosuch"),
        (["--from", "BODY", "--freeze", "conv3"], 1, "no layer and no parameter matches 'conv3'"),
        (["--from", "BODY", "--freeze", "*"], 1, "everything is frozen"),
        (["--freeze", "conv2d_1"], 2, "--freeze goes with --from"),
        (["--from", "BODY", "--recipe", "reference"], 2, "--recipe goes with an ARCHITECTURE"),
        (["--resume", "BODY", "--from", "BODY"], 2, "'--from' does not go with --resume"),
        (["--resume", "BODY", "--freeze", "x"], 2, "'--freeze' does not go with --resume"),
    ],
)
def test_what_cannot_be_done_is_said(
    tinynet: Command, body: Path, tmp_path: Path, options: Any, code: int, complaint: str
) -> None:
    options = [body if option == "BODY" else option for option in options]
    source = () if "--resume" in options else (*SOURCE, "--out", tmp_path / "run")
    assert complaint in tinynet("train", *options, *source, code=code)
    assert not (tmp_path / "run").exists()


def test_a_run_that_is_not_finished_is_no_start(tinynet: Command, body: Path, tmp_path: Path) -> None:
    parent = shutil.copytree(body, tmp_path / "parent")
    (parent / "model.safetensors").unlink()
    said = tinynet("train", "--from", parent, *SOURCE, "--out", tmp_path / "run", code=1)
    assert f"is not finished expected: a model.safetensors received: none fix: finish it: tinynet train --resume {parent}" in said  # noqa: E501  # fmt: skip


# --- what it has seen ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def judged(tinynet: Command, body: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs that began with the body, which was trained on 10 of their 30 test images and validated by 20."""
    home = tmp_path_factory.mktemp("judged")
    data, folder = load("sample").train, home / "digits"
    folder.mkdir()
    write_csv(folder / "train.csv", data.images[1000:1500], data.labels[1000:1500])
    write_csv(folder / "test.csv", data.images[390:420], data.labels[390:420])
    options = ["--dataset", folder, "--backend", "numpy", "--epochs", 1]
    tinynet("train", "--from", body, *options, "--out", home / "child")
    tinynet("train", "--from", home / "child", *options, "--out", home / "grandchild")
    return home


@pytest.mark.parametrize(("name", "checks"), [("child", 16), ("grandchild", 19)])
def test_audit_finds_what_ancestors_have_seen(tinynet: Command, judged: Path, name: str, checks: int) -> None:
    said = tinynet("audit", judged / name, code=1)
    start = "of net-10, which it started from"
    assert f"does not hold no test image among the training images {start} 10 of 30 occur there" in said
    assert f"does not hold no test image among the validation images {start} 20 of 30 occur there" in said
    assert f"2 of {checks} checks do not hold" in said


def test_audit_compares_other_tables_with_what_ancestors_have_seen(
    tinynet: Command, body: Path, judged: Path, tmp_path: Path
) -> None:
    write_csv(tmp_path / "table.csv", load("sample").train.images[395:405])
    said = tinynet("audit", judged / "child", "--test", tmp_path / "table.csv", code=1)
    assert "holds no image of" in said
    assert "among the training images of net-10, which it started from 5 of 10 occur there" in said


def test_a_net_whose_ancestor_saw_the_rows_is_not_judged_by_them(tinynet: Command, judged: Path) -> None:
    said = tinynet("classical", "--kaggle", judged / "digits", "--run", judged / "grandchild", code=1)
    assert "was trained on images it would be tested on" in said  # its own, which come first
    rows = judged / "rows"
    rows.mkdir()
    data = load("sample").train
    write_csv(rows / "train.csv", data.images[2000:2500], data.labels[2000:2500])
    write_csv(rows / "test.csv", data.images[390:420], data.labels[390:420])
    said = tinynet("classical", "--kaggle", rows, "--run", judged / "grandchild", code=1)
    assert "started from net-10, which was trained on images it would be tested on" in said
    assert "none of the 30 test table's rows among its 400 images received: 10 of them" in said


def test_weights_of_unknown_training_are_refused_where_it_matters(
    tinynet: Command, body: Path, tmp_path: Path
) -> None:
    alone = tmp_path / "alone.safetensors"
    shutil.copy(body / "model.safetensors", alone)
    tinynet("train", "--from", alone, *SOURCE, "--epochs", 1, "--out", tmp_path / "run")
    settings = read_settings(tmp_path / "run")
    assert settings.name == "alone"
    assert Recipe(settings.recipe.layers) == Recipe(read_settings(body).recipe.layers)
    complaint = "started from weights whose training data are unknown"
    assert complaint in tinynet("audit", tmp_path / "run", code=1)
    assert complaint in tinynet("classical", "--dataset", "sample", "--run", tmp_path / "run", code=1)
    with pytest.raises(RunError, match=complaint):
        list(provenance.generations(settings, load("sample")))


def test_a_file_in_a_run_s_folder_is_that_run_s(body: Path, trained: Trained, tmp_path: Path) -> None:
    assert provenance.find(body / "best.safetensors").start.settings == read_settings(body)
    folder = shutil.copytree(trained.folder, tmp_path / "mixed")
    shutil.copy(body / "model.safetensors", folder / "foreign.safetensors")
    assert provenance.find(folder / "foreign.safetensors").start.settings is None
    with pytest.raises(CheckpointError, match="is damaged, or no safetensors file"):
        provenance.find(body / "config.json")


@pytest.mark.parametrize("rows", [1, 2, 6])
def test_a_few_corrections_are_learned_by_the_command_that_the_page_gives(
    tinynet: Command, rows: int, tmp_path: Path
) -> None:
    net = tmp_path / "net.toml"
    net.write_text(recipe_file(tmp_path).read_text().replace("samples = 500\n", ""))
    tinynet("train", net, *SOURCE, "--epochs", 1, "--out", tmp_path / "first")
    page = resources.files("tinynet.page").joinpath("page.html").read_text("utf-8")
    found = re.search(r"<code>tinynet (train --from RUN --dataset) <span .*></span>(.*)</code>", page)
    assert found
    sample = load("sample").train
    write_csv(tmp_path / "my-digits.csv", sample.images[:rows], sample.labels[:rows])
    places = {"RUN": str(tmp_path / "first")}
    words = [places.get(word, word) for word in found[1].split()]
    options = ["--epochs", 1, "--backend", "numpy", "--out", tmp_path / "run"]
    tinynet(*words, tmp_path / "my-digits.csv", *found[2].split(), *options)
    for fewer in ((), ("--test", 0)) if rows < 6 else ():
        said = tinynet(*words, tmp_path / "my-digits.csv", *fewer, *options, code=1)
        assert "--validation 0" in said
