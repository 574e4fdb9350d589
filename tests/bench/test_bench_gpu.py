"""The calls for a GPU machine, tried out on a processor: ourselves on both sides, tiny settings."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from cuda_host import HostBackend

from tinynet import backends
from tinynet.backends.numpy_ import NumpyBackend
from tinynet.benchmark.harness import OURS, Conditions, ContenderError, write_data, write_net
from tinynet.benchmark.turns import Summary, Turn
from tinynet.gradcheck import cases
from tinynet.runs import recipe

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

import gpu
import gpu_checks
import gpu_report
import gpu_setup
import gpu_timings
from compare import Result
from gpu_kernels import Roofs, StepTimes
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
    """One layer's gradients, few steps, and the quickest row."""
    monkeypatch.setattr(cases, "NAMES", ["Dense"])
    monkeypatch.setattr(gpu_checks, "REPLAYS", (2, 6))
    monkeypatch.setattr(gpu_timings, "STEPS", 3)
    monkeypatch.setattr(gpu, "ROWS", [row for row in gpu.ROWS if row.name == "mlp-step-64"])


def call(*arguments: Any) -> Any:
    return CliRunner().invoke(gpu.main, list(map(str, arguments)))


HERE = ["--backend", "numpy", "--dataset", "sample", "--threads", "1"]
TINY = ["timings", *HERE, "--rounds", "1", "--seconds", "0.001", "--lost", "1"]


def test_the_timings_on_a_processor(small: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(PLAN)
    twin = OURS._replace(name="torch", mode="numpy", kinds=("step", "epoch", "race"))
    monkeypatch.setattr(gpu_timings, "contenders_for", lambda ops, *rest: [OURS._replace(mode="numpy"), twin])
    done = call(*TINY, "--race", tmp_path / "tiny.toml", "--seeds", 1, "--out", tmp_path)
    assert done.exit_code == 0, done.output
    text = (tmp_path / "gpu-timings.md").read_text("utf-8")
    assert "| mlp-step-64 |" in text
    assert "## Predicted and measured" in text
    assert "tinynet **does not reach** 99 %." in text
    found = json.loads((tmp_path / "gpu-timings.json").read_text("utf-8"))
    [row], [step] = found["rows"], found["steps"]
    assert row["row"] == step["row"] == "mlp-step-64"
    assert row["floor"] > 0
    assert row["ours"]["median"] > 0
    [peer] = row["peers"]
    assert peer["comparison"]["kept"] == 1
    assert step["times"]["wall"] >= step["times"]["processor"] > 0
    assert step["predicted"] is None  # nothing is launched
    ours, theirs = (found["race"]["heats"][name] for name in ("tinynet", "torch"))
    assert [heat["accuracy"] for heat in ours] == [heat["accuracy"] for heat in theirs]
    assert all(heat[part] > 0 for heat in ours for part in ("compile", "load", "train", "evaluate"))


def test_the_checks_on_a_processor(small: None, tmp_path: Path) -> None:
    done = call("checks", *HERE, "--no-tests", "--out", tmp_path)
    assert done.exit_code == 0, done.output
    text = (tmp_path / "gpu-checks.md").read_text("utf-8")
    assert "| gradients, float64 | holds |" in text
    assert "| mlp beside numpy | holds | outputs differ by 0.0e+00 at most |" in text
    assert "| mlp recorded | holds | after 2 and 6 steps the same weights by recordings; " in text
    assert "| -3.2 as uint8 | holds | a cast makes 253 of it |" in text


def test_ours_computes_with_the_precision_asked_for(tmp_path: Path) -> None:
    assert gpu_timings.ours_on(HostBackend()).mode == "cupy"
    assert gpu_timings.ours_on(HostBackend(precision="bf16")).mode == "cupy bf16"
    done = call("checks", *HERE, "--precision", "bf16", "--out", tmp_path)
    assert done.exit_code == 1
    assert "the numpy backend has no precision 'bf16'" in done.output


@pytest.mark.parametrize(("mode", "holds"), [("cupy bf16", True), ("cupy tf32", False), ("cupy", False)])
def test_rounded_losses_may_differ_by_more(
    mode: str, holds: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Answer(SimpleNamespace):
        """0.1 more in the second loss of ours."""

        def __init__(self, contender: Any, *rest: Any) -> None:
            super().__init__(extra=0.1 * (contender.mode != "numpy"))

        def __enter__(self) -> Answer:
            return self

        def __exit__(self, *error: object) -> None:
            pass

        def ask(self, what: str, **settings: Any) -> list[float]:
            return [1.0, 1.0 + self.extra, 1.0] if what == "losses" else [0.5]

    monkeypatch.setattr(gpu_checks, "Process", Answer)
    ours, conditions = OURS._replace(mode=mode), Conditions(tmp_path, 1, 0.001, 1.0, 1)
    assert gpu_checks.beside_the_reference(ours, "linear", conditions)[0] == holds


def test_what_there_is_no_time_for_is_named(small: None, tmp_path: Path) -> None:
    done = call(*TINY, "--minutes", 0, "--out", tmp_path)
    assert done.exit_code == 0, done.output
    text = (tmp_path / "gpu-timings.md").read_text("utf-8")
    assert "No time was left for: the roofs, mlp-step-64 three ways, mlp-step-64, the race." in text


@pytest.mark.parametrize("holds", [True, False])
def test_a_check_that_fails_shows_in_the_exit_code(
    holds: bool, small: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    check = gpu.GpuCheck("mlp beside numpy", holds, "number 1 of 3 is 1 for us, 2 for them")
    monkeypatch.setattr(gpu_checks, "every", lambda *arguments: [check])
    monkeypatch.setattr(gpu_timings, "versions_of", lambda contenders, *rest: {"tinynet": ["tinynet 0"]})
    done = call("checks", *HERE, "--out", tmp_path)
    assert done.exit_code == (0 if holds else 1), done.output
    text = (tmp_path / "gpu-checks.md").read_text("utf-8")
    assert f"| mlp beside numpy | {'holds' if holds else '**does not hold**'} | number 1 of 3" in text


@pytest.mark.parametrize("mode", ["numpy", "nosuch"])
def test_parity_is_that_of_two_processes(mode: str, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    write_data(tmp_path, random.integers(0, 256, (96, 28, 28, 1), np.uint8), random.integers(0, 10, 96))
    write_net(tmp_path, "linear", recipe.load("linear"))
    conditions = Conditions(tmp_path, 1, 0.001, 1.0, 1)
    passed, found = gpu_checks.beside_the_reference(OURS._replace(mode=mode), "linear", conditions)
    assert passed == (mode == "numpy")
    assert ("outputs differ by 0.0e+00 at most" in found) == passed
    assert ("unknown backend" in found) != passed


@pytest.mark.parametrize("command", ["checks", "timings"])
def test_without_a_gpu_it_says_so(command: str, tmp_path: Path) -> None:
    if backends.status("cupy").works:
        pytest.skip("there is a GPU here")
    done = call(command, "--out", tmp_path)
    assert done.exit_code == 1
    assert "the cupy backend cannot run here" in done.output
    assert not list(tmp_path.iterdir())


def test_a_row_that_does_not_exist() -> None:
    done = call("timings", "--rows", "resnet-*")
    assert done.exit_code == 2
    assert "there are: mlp-step-64, lenet-step-128" in done.output


def test_a_peer_that_cannot_be_loaded_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = OURS._replace(name="torch", file=tmp_path / "nothing_there_.py")
    conditions = Conditions(tmp_path, 1, 0.001, 1.0, 1)
    assert gpu_timings.versions_of([broken], "mlp", conditions) == {}


def test_a_row_that_fails_does_not_end_the_rest(
    small: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*arguments: object) -> None:
        raise ContenderError("tinynet: RuntimeError: a kernel")

    heats = gpu_timings.Race({"tinynet": [Heat(0.5, 1, 1, 0)]}, {})
    monkeypatch.setattr(gpu_timings, "versions_of", lambda contenders, *rest: {"tinynet": ["tinynet 0"]})
    monkeypatch.setattr(gpu_timings, "take_turns", fail)
    monkeypatch.setattr(gpu_timings, "run_race", lambda *arguments: heats)
    done = call(*TINY, "--out", tmp_path)
    assert done.exit_code == 1
    text = (tmp_path / "gpu-timings.md").read_text("utf-8")
    assert "| mlp-step-64 | **does not hold** | ContenderError: tinynet: RuntimeError: a kernel |" in text
    assert "Time to 99 %" in text


def test_gradients_that_cannot_be_computed_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(name: str, ops: Any) -> Any:
        if name == "Dense":
            raise RuntimeError("no such kernel")
        return real(name, ops)

    real = cases.run
    monkeypatch.setattr(cases, "NAMES", ["Dense", "ReLU"])
    monkeypatch.setattr(cases, "run", run)
    passed, found = gpu_checks.gradients(backends.get("numpy"))
    assert not passed
    assert found.endswith("; Dense: RuntimeError: no such kernel")
    assert int(found.split(",")[0]) > 0


class Forgetful(NumpyBackend):
    """A backend whose recordings leave out what they were made of."""

    recorded_phases = ("step",)
    loss_check_every = 50

    def record(self, run: Callable[[], object]) -> Callable[[], object]:
        run()
        return lambda: None


@pytest.mark.parametrize(
    ("make", "holds", "said"),
    [
        (NumpyBackend, True, "one operation at a time the same"),
        (Forgetful, False, "apart after 3 steps"),
        (HostBackend, True, "apart after 3 steps"),  # by the kernel that stays
    ],
)
def test_recorded_training_is_compared_with_the_same_one_by_one(make: Any, holds: bool, said: str) -> None:
    passed, found = gpu_checks.recorded(make, "linear", 8, (3, 9))
    assert passed == holds
    assert "after 3 and 9 steps the same weights by recordings" in found
    assert found.endswith(said)


def test_a_check_that_raises_does_not_hold_and_does_not_end_the_rest() -> None:
    def fail() -> tuple[bool, str]:
        raise RuntimeError("CUDA error 700")

    assert gpu_checks.guarded("memcheck", fail) == ("memcheck", False, "RuntimeError: CUDA error 700")


def test_memory_beyond_what_was_foreseen_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gpu_checks.memory(backends.get("numba"), "mlp", 64)[0]
    monkeypatch.setattr(gpu_checks.out_of_memory, "of_a_sample", lambda model: 10)
    assert not gpu_checks.memory(backends.get("numba"), "mlp", 64)[0]


def test_tests_that_are_not_done_in_time_do_not_hold() -> None:
    passed, found = gpu_checks.tests("numpy", 0.1)
    assert not passed
    assert found == "not done after 0 s"


def test_a_step_for_other_programs_to_watch() -> None:
    done = call("step", "linear", 8, "--backend", "numpy")
    assert done.exit_code == 0, done.output
    assert done.output.startswith("loss 0.") or done.output.startswith("loss 2.")


def test_what_a_machine_without_a_network_needs_is_named_without_ourselves() -> None:
    found = gpu_setup.needed()
    names = [each.partition(">")[0] for each in found]
    assert {"setuptools", "numpy", "pytest", "hypothesis"} <= set(names)
    assert not any(each.startswith("tinynet") for each in found)


def test_wheels_are_installed_without_a_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls: list[list[str]] = []
    monkeypatch.setattr(gpu_setup.subprocess, "run", lambda command, **settings: calls.append(command))
    (tmp_path / "pytest-9-py3-none-any.whl").touch()
    assert call("install", "--wheels", tmp_path).exit_code == 0
    assert [command[3:5] for command in calls] == [["install", "--quiet"]] * 2
    assert all("--no-index" in command and "--no-deps" in command for command in calls)
    assert calls[0][-1] == str(tmp_path / "pytest-9-py3-none-any.whl")
    assert {"--no-build-isolation", "-e"} <= set(calls[1])


def test_a_peers_own_environment_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert gpu_timings.python_with("numpy", tmp_path) == Path(sys.executable)
    assert gpu_timings.python_with("no_such_framework", tmp_path) is None
    own = tmp_path / "numpy-cuda" / "bin" / "python"
    own.parent.mkdir(parents=True)
    own.touch()
    assert gpu_timings.python_with("numpy", tmp_path) == own


def test_a_floor_is_the_slower_of_moving_and_computing() -> None:
    roofs = Roofs(peak=100.0, bandwidth=10.0, begin=0.0)
    assert roofs.attainable(Work(flops=1000, moved=10)) == 10.0
    assert roofs.attainable(Work(flops=10, moved=1000)) == 100.0


def test_floors_grow_with_the_batch_and_the_epoch() -> None:
    roofs = Roofs(peak=1e12, bandwidth=1e11, begin=0.0)
    found = gpu_timings.floors(gpu.ROWS, roofs, samples=60_000)
    assert found.keys() == {row.name for row in gpu.ROWS}
    assert found["lenet-epoch-128"] == pytest.approx(found["lenet-step-128"] * 60_000 / 128)
    assert 7 < found["lenet-step-1024"] / found["lenet-step-128"] < 8
    # three products of each weight matrix but the first, which needs no ∂L/∂x
    assert 2 * 64 * (2 * 784 * 128 + 3 * 1280) / roofs.peak < found["mlp-step-64"] < 1e-4


def test_the_page(tmp_path: Path) -> None:
    turns = [Turn(0.001), Turn(0.003)], [Turn(0.002), Turn(0.002)]
    row = next(row for row in gpu.ROWS if row.name == "mlp-step-64")
    results = [
        Result(row.name, "torch", "ms", compare(*turns, 0.05), "", *turns),
        Result(row.name, "jax", "ms", None, "failed: no device"),
    ]
    about: dict[str, Any] = dict.fromkeys(
        ("date", "device", "machine", "threads", "dataset", "precision"), "?"
    )
    about |= {"samples": 60_000, "goal": 99.0, "seeds": 2, "race": "race", "versions": {"torch": ["torch 1"]}}
    report = gpu_report.Report(tmp_path, "gpu-timings", about)
    report.roofs = Roofs(5e13, 3e12, 2e-6)
    report.steps = [gpu_report.StepFound(row, 4, 1e-5, StepTimes(3e-5, 2e-5, 1.5e-5))]
    report.rows = [gpu_report.Measured(row, Summary(0.002, 0.001, 0.003), 0.0005, turns[0], results)]
    heats = [Heat(0.99, 2.0, 0.1, 0.0, 3.0, 0.5), Heat(0.992, 2.0, 0.1, 0.0, 3.0, 0.5)]
    report.race = gpu_report.Race({"tinynet": heats}, {"jax": "no race"})
    report.checks = [gpu_report.GpuCheck("gradients", False, "Dense dW: error 1")]
    report.write()
    text = (tmp_path / "gpu-timings.md").read_text("utf-8")
    assert "| mlp-step-64 | 4 | 10.0 | 20.0 | 2.00 | 30.0 | 15.0 |" in text
    assert "| mlp-step-64 | 2.00 ± 1.00 ms | 0.5 ms | 25% | 2.00 ± 0.00 (1.00) |  |" in text
    assert "- mlp-step-64, jax: failed: no device" in text
    assert "- a large product in float32: 50.00 TFLOP/s\n- a large copy: 3,000 GB/s" in text
    assert "- a small kernel among 100 of a graph: 2.00 µs" in text
    assert "| tinynet | 99.10 ± 1.27 | 3.00 ± 0.00 | 0.50 ± 0.00 | 2.00 ± 0.00 | 0.10 ± 0.00 |" in text
    assert "tinynet reaches 99 %." in text
    assert "- jax: no race" in text
    assert np.isclose(
        json.loads((tmp_path / "gpu-timings.json").read_text("utf-8"))["rows"][0]["floor"], 0.0005
    )
