"""tinynet audit: an honest run passes, and each figure that is changed afterwards is named."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from commands import Command, Trained

from tinynet.checkpoint import load_model, weights_sha256
from tinynet.data import load, write_csv


@pytest.fixture
def run(trained: Trained, tmp_path: Path) -> Path:
    """A copy of the finished run, to be spoilt."""
    return shutil.copytree(trained.folder, tmp_path / "run")


def change(path: Path, old: str, new: str) -> None:
    """Replace one piece of text in a file, which must be there."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_an_honest_run_passes(tinynet: Command, trained: Trained) -> None:
    said = tinynet("audit", trained.folder)
    assert "All 13 checks hold" in said
    assert "does not hold" not in said


def test_it_passes_on_another_backend(tinynet: Command, trained: Trained) -> None:
    assert "checks hold" in tinynet("audit", trained.folder, "--backend", "numba")


def test_a_better_accuracy_in_the_json(tinynet: Command, run: Path) -> None:
    accuracy = json.loads((run / "report.json").read_text())["test"]["accuracy"]
    change(run / "report.json", f'"accuracy": {accuracy}', '"accuracy": 0.999')
    said = tinynet("audit", run, code=1)
    assert f"test.accuracy: 0.999 is reported, {accuracy} follows" in said


def test_a_claim_that_no_report_makes(tinynet: Command, run: Path) -> None:
    change(run / "report.json", "{", '{"claim": "99.9 %",')
    assert "report.json: claim is no part of a report" in tinynet("audit", run, code=1)


def test_a_better_figure_on_the_page(tinynet: Command, run: Path) -> None:
    row = "| validation accuracy of the best epoch | "
    change(run / "report.md", row, f"{row}9")
    said = tinynet("audit", run, code=1)
    assert "does not hold report.md" in said
    assert "1 of 13 checks" in said


def test_a_best_epoch_that_the_log_never_reached(tinynet: Command, run: Path) -> None:
    """The page and the JSON agree with each other, not with the log: so it was in a reference system."""
    report = json.loads((run / "report.json").read_text())
    figure = report["training"]["best_val_accuracy"]
    report["training"]["best_val_accuracy"] = 0.9945
    (run / "report.json").write_text(json.dumps(report))
    change(run / "report.md", f"{100 * figure:.2f} %", "99.45 %")
    said = tinynet("audit", run, code=1)
    assert f"training.best_val_accuracy: 0.9945 is reported, {figure} follows" in said
    assert "does not hold report.md" in said


def test_a_changed_log(tinynet: Command, run: Path) -> None:
    lines = (run / "log.jsonl").read_text().splitlines()
    last = next(line for line in reversed(lines) if '"epoch"' in line)
    change(run / "log.jsonl", last, re.sub(r'"loss": [\d.]+', '"loss": 0.5', last))
    said = tinynet("audit", run, code=1)
    assert "history[1].loss" in said
    assert "training.final_loss" in said


def test_a_changed_health_log(train: Command, tinynet: Command, tmp_path: Path) -> None:
    train("--inspect")
    run = tmp_path / "run"
    assert "All 14 checks hold" in tinynet("audit", run)
    lines = [json.loads(line) for line in (run / "health.jsonl").read_text().splitlines()]
    lines[-1]["deviation"] = 1e4
    (run / "health.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    said = tinynet("audit", run, code=1)
    assert "does not hold health of the layers" in said
    assert "1 of 14 checks" in said
    (run / "health.jsonl").unlink()
    assert "facts.health: 'Health of the layers" in tinynet("audit", run, code=1)


def test_a_changed_prediction(tinynet: Command, run: Path) -> None:
    lines = (run / "predictions.csv").read_text().splitlines()
    index, label, predicted, confidence = lines[5].split(",")
    lines[5] = ",".join([index, label, str((int(predicted) + 1) % 10), confidence])
    (run / "predictions.csv").write_text("\n".join(lines) + "\n")
    said = tinynet("audit", run, code=1)
    assert "does not hold predictions, from the saved weights 1 of 1,000 differ; the first, row 4" in said
    assert "test.confusion" in said


def test_changed_labels(tinynet: Command, run: Path) -> None:
    lines = (run / "predictions.csv").read_text().splitlines()
    for number in (1, 2):
        index, _, predicted, confidence = lines[number].split(",")
        lines[number] = ",".join([index, predicted, predicted, confidence])
    lines[3] = lines[3].split(",")[0] + ",0,0,1.0"
    (run / "predictions.csv").write_text("\n".join(lines) + "\n")
    assert "does not hold labels of the predictions" in tinynet("audit", run, code=1)


def test_other_weights(tinynet: Command, run: Path, train: Command, tmp_path: Path) -> None:
    train("--seed", 1, "--out", tmp_path / "other")
    for name in ("model.safetensors", "best.safetensors"):
        shutil.copy(tmp_path / "other" / name, run / name)
    said = tinynet("audit", run, code=1)
    assert "facts.weights_sha256" in said
    assert "does not hold predictions, from the saved weights" in said
    assert "does not hold best epoch, from the saved weights val_loss" in said
    assert "does not hold final validation figures, from the saved weights val_loss" in said


def test_a_changed_configuration(tinynet: Command, run: Path) -> None:
    change(run / "config.json", '"seed": 0', '"seed": 5')
    said = tinynet("audit", run, code=1)
    assert "config.seed: 0 is reported, 5 follows" in said
    assert "log.jsonl: settings.seed" in said


def test_test_images_that_were_trained_on(tinynet: Command, run: Path, tmp_path: Path) -> None:
    """Kaggle's test.csv lies inside MNIST: a net trained on MNIST gets a score of 1.0 there, by leakage."""
    data = load("sample")
    for name, images in (("clean", data.test.images), ("leaky", data.train.images[390:420])):
        write_csv(tmp_path / f"{name}.csv", images)
    assert "All 14 checks hold" in tinynet("audit", run, "--test", tmp_path / "clean.csv")
    said = tinynet("audit", run, "--test", tmp_path / "leaky.csv", code=1)
    assert "leaky.csv among the training images 10 of 30 occur there" in said


def test_a_data_set_whose_test_rows_lie_among_its_training_rows(
    tinynet: Command, train: Command, tmp_path: Path
) -> None:
    data = load("sample").train
    folder = tmp_path / "kaggle"
    folder.mkdir()
    write_csv(folder / "train.csv", data.images[:500], data.labels[:500])
    write_csv(folder / "test.csv", data.images[380:480], data.labels[380:480])
    train("--dataset", folder)
    said = tinynet("audit", tmp_path / "run", code=1)
    assert "no test image among the training images 20 of 100 occur there" in said
    assert "no test image among the validation images 80 of 100 occur there" in said


def test_what_cannot_be_audited(tinynet: Command, run: Path, tmp_path: Path) -> None:
    assert "is not the folder of a run" in tinynet("audit", tmp_path, code=1)
    (run / "report.md").unlink()
    assert "has no report" in tinynet("audit", run, code=1)
    change(run / "config.json", '"data_sha256": "', '"data_sha256": "0')
    assert "is not the one the run tiny was trained on" in tinynet("audit", run, code=1)


@pytest.mark.parametrize("content", ["", "not json", "[]", "{}"])
def test_a_damaged_report(tinynet: Command, run: Path, content: str) -> None:
    (run / "report.json").write_text(content)
    assert "report" in tinynet("audit", run, code=1)


@pytest.mark.parametrize("content", ["", "index,label\n0,1\n", "index,label,predicted,confidence\n0,a,b,c\n"])
def test_damaged_predictions(tinynet: Command, run: Path, content: str) -> None:
    (run / "predictions.csv").write_text(content)
    assert "Error" in tinynet("audit", run, code=1)


def test_a_run_without_validation(tinynet: Command, train: Command, tmp_path: Path) -> None:
    train("--validation", 0)
    assert "All 9 checks hold" in tinynet("audit", tmp_path / "run")


@pytest.mark.parametrize("content", ["not json\n", "[]\n", '{"step": 1}\n'])
def test_a_damaged_log(tinynet: Command, run: Path, content: str) -> None:
    (run / "log.jsonl").write_text(content)
    assert "log.jsonl is damaged" in tinynet("audit", run, code=1)


def test_a_log_that_is_gone(tinynet: Command, run: Path) -> None:
    (run / "log.jsonl").unlink()
    said = tinynet("audit", run, code=1)
    assert "no line says how the run was started" in said
    assert "the log has no epoch" in said


STOPPING = """
layers = [ { type = "Rescale" }, { type = "Flatten" }, { type = "Dense", units = 10 } ]
[training]
epochs = 40
batch_size = 50
samples = 500
validation = 0.2
optimizer = { type = "Adam", learning_rate = 0.05 }
early_stopping = { patience = 2, monitor = "MONITOR" }
"""


@pytest.mark.parametrize("monitor", ["val_loss", "val_accuracy", "accuracy"])
def test_all_agree_on_the_best_epoch_and_its_weights_are_kept(
    tinynet: Command, train: Command, tmp_path: Path, monitor: str
) -> None:
    (tmp_path / "stop.toml").write_text(STOPPING.replace("MONITOR", monitor))
    said = train(architecture=tmp_path / "stop.toml")
    run = tmp_path / "run"
    found = re.search(r"no better (\w+) than [\d.]+ \(epoch (\d+)\).* weights of epoch (\d+) are kept", said)
    assert found is not None, said
    epoch = int(found[2])
    assert found.groups() == (monitor, str(epoch), str(epoch))
    report = json.loads((run / "report.json").read_text())
    training, record = report["training"], report["history"][epoch - 1]
    assert training["best_epoch"] == training["final_epoch"] == epoch < training["epochs"]
    for figure in ("loss", "accuracy", "val_loss", "val_accuracy"):
        assert training[f"final_{figure}"] == record[figure]
    best, model = (
        load_model(run / f"{name}.safetensors", backend="numpy").model for name in ("best", "model")
    )
    assert weights_sha256(best) == weights_sha256(model) == report["facts"]["weights_sha256"]
    assert "All 13 checks hold" in tinynet("audit", run)


def test_a_report_of_weights_that_were_thrown_away(tinynet: Command, train: Command, tmp_path: Path) -> None:
    (tmp_path / "stop.toml").write_text(STOPPING.replace("MONITOR", "val_loss"))
    train(architecture=tmp_path / "stop.toml")
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    last = report["history"][-1]
    report["training"] |= {"final_epoch": last["epoch"], "final_val_loss": last["val_loss"]}
    (tmp_path / "run" / "report.json").write_text(json.dumps(report))
    said = tinynet("audit", tmp_path / "run", code=1)
    assert f"training.final_epoch: {last['epoch']} is reported" in said
