"""The call for a GPU machine, tried out on a processor: ourselves on both sides, tiny settings."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from tinynet import backends
from tinynet.benchmark.harness import OURS, Conditions, ContenderError, write_data, write_net
from tinynet.benchmark.turns import Summary, Turn
from tinynet.gradcheck import cases
from tinynet.runs import recipe

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

import gpu
import gpu_report
from compare import Result
from pairs import compare
from race import Heat
from roofline import Work

PLAN = """
layers = [ { type = "Rescale" }, { type = "Flatten" }, { type = "Dense", units = 10 } ]
[training]
epochs = 1
batch_size = 200
"""


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """One layer's gradients, and the quickest row."""
    monkeypatch.setattr(cases, "NAMES", ["Dense"])
    monkeypatch.setattr(gpu, "ROWS", gpu.ROWS[:1])


def call(*arguments: Any) -> Any:
    return CliRunner().invoke(gpu.main, list(map(str, arguments)))


TINY = ["--backend", "numpy", "--dataset", "sample", "--rounds", "1", "--seconds", "0.001", "--lost", "1"]
TINY += ["--threads", "1", "--no-tests"]


def test_all_of_it_on_a_processor(small: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(PLAN)
    twin = OURS._replace(name="torch", mode="numpy", kinds=("step", "epoch", "race"))
    monkeypatch.setattr(gpu, "contenders_for", lambda ops, *rest: [OURS._replace(mode="numpy"), twin])
    done = call(*TINY, "--race", tmp_path / "tiny.toml", "--seeds", 1, "--out", tmp_path)
    assert done.exit_code == 0, done.output
    text = (tmp_path / "gpu.md").read_text("utf-8")
    assert "| gradients, float64 | holds |" in text
    assert "| mlp beside numpy | holds | outputs differ by 0.0e+00 at most |" in text
    assert "| mlp-step-64 |" in text
    assert "tinynet **does not reach** 99 %." in text
    found = json.loads((tmp_path / "gpu.json").read_text("utf-8"))
    assert [row["row"] for row in found["rows"]] == ["mlp-step-64"]
    for row in found["rows"]:
        assert row["floor"] > 0
        assert row["ours"]["median"] > 0
        [peer] = row["peers"]
        assert peer["comparison"]["kept"] == 1
    ours, theirs = (found["race"]["heats"][name] for name in ("tinynet", "torch"))
    assert [heat["accuracy"] for heat in ours] == [heat["accuracy"] for heat in theirs]
    assert all(heat[part] > 0 for heat in ours for part in ("compile", "load", "train", "evaluate"))


@pytest.mark.parametrize("holds", [True, False])
def test_what_there_is_no_time_for_is_named_and_a_check_that_fails_shows_in_the_exit_code(
    holds: bool, small: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    check = gpu.GpuCheck("mlp beside numpy", holds, "number 1 of 3 is 1 for us, 2 for them")
    monkeypatch.setattr(gpu, "checks", lambda *arguments: [check])
    monkeypatch.setattr(gpu, "versions_of", lambda contenders, *rest: {"tinynet": ["tinynet 0"]})
    done = call(*TINY, "--minutes", 0, "--out", tmp_path)
    assert done.exit_code == (0 if holds else 1), done.output
    text = (tmp_path / "gpu.md").read_text("utf-8")
    assert "No time was left for: mlp-step-64, the race." in text
    assert f"| mlp beside numpy | {'holds' if holds else '**does not hold**'} | number 1 of 3" in text


@pytest.mark.parametrize("mode", ["numpy", "nosuch"])
def test_parity_is_that_of_two_processes(mode: str, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    write_data(tmp_path, random.integers(0, 256, (96, 28, 28, 1), np.uint8), random.integers(0, 10, 96))
    write_net(tmp_path, "linear", recipe.load("linear"))
    found = gpu.beside_the_reference(
        OURS._replace(mode=mode), "linear", Conditions(tmp_path, 1, 0.001, 1.0, 1)
    )
    assert found.passed == (mode == "numpy")
    assert ("outputs differ by 0.0e+00 at most" in found.found) == found.passed
    assert ("unknown backend" in found.found) != found.passed


def test_without_a_gpu_it_says_so(tmp_path: Path) -> None:
    if backends.status("cupy").works:
        pytest.skip("there is a GPU here")
    done = call("--out", tmp_path)
    assert done.exit_code == 1
    assert "the cupy backend cannot run here" in done.output
    assert not list(tmp_path.iterdir())


def test_a_row_that_does_not_exist() -> None:
    done = call("--rows", "resnet-*")
    assert done.exit_code == 2
    assert "there are: mlp-step-64, lenet-step-128" in done.output


def test_a_peer_that_cannot_be_loaded_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = OURS._replace(name="torch", file=tmp_path / "nothing_there_.py")
    conditions = Conditions(tmp_path, 1, 0.001, 1.0, 1)
    assert gpu.versions_of([broken], "mlp", conditions) == {}


def test_a_row_that_fails_does_not_end_the_rest(
    small: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*arguments: object) -> None:
        raise ContenderError("tinynet: RuntimeError: a kernel")

    monkeypatch.setattr(gpu, "checks", lambda *arguments: [])
    monkeypatch.setattr(gpu, "versions_of", lambda contenders, *rest: {"tinynet": ["tinynet 0"]})
    monkeypatch.setattr(gpu, "take_turns", fail)
    monkeypatch.setattr(gpu, "run_race", lambda *arguments: gpu.Race({"tinynet": [Heat(0.5, 1, 1, 0)]}, {}))
    done = call(*TINY, "--out", tmp_path)
    assert done.exit_code == 1
    text = (tmp_path / "gpu.md").read_text("utf-8")
    assert "| mlp-step-64 | **does not hold** | tinynet: RuntimeError: a kernel |" in text
    assert "Time to 99 %" in text


def test_gradients_that_cannot_be_computed_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(name: str, ops: Any) -> Any:
        if name == "Dense":
            raise RuntimeError("no such kernel")
        return real(name, ops)

    real = cases.run
    monkeypatch.setattr(cases, "NAMES", ["Dense", "ReLU"])
    monkeypatch.setattr(cases, "run", run)
    found = gpu.gradients(backends.get("numpy"))
    assert not found.passed
    assert found.found.endswith("; Dense: RuntimeError: no such kernel")
    assert int(found.found.split(",")[0]) > 0


def test_a_peers_own_environment_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert gpu.python_with("numpy", tmp_path) == Path(sys.executable)
    assert gpu.python_with("no_such_framework", tmp_path) is None
    own = tmp_path / "numpy-cuda" / "bin" / "python"
    own.parent.mkdir(parents=True)
    own.touch()
    assert gpu.python_with("numpy", tmp_path) == own


def test_a_floor_is_the_slower_of_moving_and_computing() -> None:
    roofs = gpu_report.Roofs(peak=100.0, bandwidth=10.0)
    assert roofs.attainable(Work(flops=1000, moved=10)) == 10.0
    assert roofs.attainable(Work(flops=10, moved=1000)) == 100.0


def test_floors_grow_with_the_batch_and_the_epoch() -> None:
    roofs = gpu_report.Roofs(peak=1e12, bandwidth=1e11)
    found = gpu.floors(gpu.ROWS, roofs, samples=60_000)
    assert found.keys() == {row.name for row in gpu.ROWS}
    assert found["lenet-epoch-128"] == pytest.approx(found["lenet-step-128"] * 60_000 / 128)
    assert 7 < found["lenet-step-1024"] / found["lenet-step-128"] < 8
    # three products of each weight matrix but the first, which needs no ∂L/∂x
    assert 2 * 64 * (2 * 784 * 128 + 3 * 1280) / roofs.peak < found["mlp-step-64"] < 1e-4


def test_roofs_of_a_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    found = gpu.measure_roofs(backends.get("numpy"), 0.01)
    assert 1e8 < found.peak < 1e14
    assert 1e8 < found.bandwidth < 1e13


def test_the_page(tmp_path: Path) -> None:
    turns = [Turn(0.001), Turn(0.003)], [Turn(0.002), Turn(0.002)]
    row = gpu.ROWS[0]
    results = [
        Result(row.name, "torch", "ms", compare(*turns, 0.05), "", *turns),
        Result(row.name, "jax", "ms", None, "failed: no device"),
    ]
    about: dict[str, Any] = dict.fromkeys(("date", "device", "machine", "threads", "dataset"), "?")
    about |= {"samples": 60_000, "goal": 99.0, "seeds": 2, "race": "race", "versions": {"torch": ["torch 1"]}}
    report = gpu_report.Report(tmp_path, about)
    report.roofs = gpu_report.Roofs(5e13, 3e12)
    report.rows = [gpu_report.Measured(row, Summary(0.002, 0.001, 0.003), 0.0005, turns[0], results)]
    heats = [Heat(0.99, 2.0, 0.1, 0.0, 3.0, 0.5), Heat(0.992, 2.0, 0.1, 0.0, 3.0, 0.5)]
    report.race = gpu_report.Race({"tinynet": heats}, {"jax": "no race"})
    report.checks = [gpu_report.GpuCheck("gradients", False, "Dense dW: error 1")]
    report.write()
    text = (tmp_path / "gpu.md").read_text("utf-8")
    assert "| mlp-step-64 | 2.00 ± 1.00 ms | 0.5 ms | 25% | 2.00 ± 0.00 (1.00) |  |" in text
    assert "- mlp-step-64, jax: failed: no device" in text
    assert "copies large arrays (3,000 GB/s) and multiplies large matrices (50.00 TFLOP/s, float32)" in text
    assert "| tinynet | 99.10 ± 1.27 | 3.00 ± 0.00 | 0.50 ± 0.00 | 2.00 ± 0.00 | 0.10 ± 0.00 |" in text
    assert "tinynet reaches 99 %." in text
    assert "- jax: no race" in text
    assert np.isclose(json.loads((tmp_path / "gpu.json").read_text("utf-8"))["rows"][0]["floor"], 0.0005)
