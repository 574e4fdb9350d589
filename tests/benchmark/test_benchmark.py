"""tinynet.benchmark: statistics on made-up numbers, contenders on tiny data."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tinynet.benchmark import harness, net, tinynet_, turns
from tinynet.benchmark.harness import Conditions, Contender, ContenderError, Process
from tinynet.benchmark.rows import ROWS, Row, chosen
from tinynet.benchmark.turns import CpuTimes, Summary, Turn
from tinynet.errors import ConfigError
from tinynet.layers import Dropout
from tinynet.losses import SoftmaxCrossEntropy
from tinynet.model import Sequential
from tinynet.optim import Adam
from tinynet.runs import recipe
from tinynet.training import StepEnd, Trainer

MOST_LOST = 0.05
READABLE = harness.OURS._replace(mode="numpy")
STRANGER = """
import sys
DISTRIBUTIONS = ("numpy",)
class Peer:
    def __init__(self, net, mode): self.mode = mode
    def put(self, images, labels): return images, labels
    def step(self, x, labels):
        if self.mode == "broken": raise ValueError("out of order")
        return float("tinynet" in sys.modules)
"""


@pytest.fixture
def conditions(tmp_path: Path) -> Conditions:
    """64 random images, an mlp with dropout and a folder for both."""
    rng = np.random.default_rng(0)
    for prefix, count in (("", 64), ("test-", 20)):
        images = rng.integers(0, 256, (count, 28, 28, 1), np.uint8)
        harness.write_data(tmp_path, images, rng.integers(0, 10, count), prefix)
    plan = recipe.load("mlp")
    layers = [*plan.layers[:4], Dropout(0.5), plan.layers[4]]
    harness.write_net(tmp_path, "mlp", recipe.Recipe(layers=layers), seed=3)
    return Conditions(tmp_path, rounds=2, seconds=0.001, most_lost=1.0, threads=1)


@pytest.fixture
def data(conditions: Conditions) -> tuple[np.ndarray, np.ndarray]:
    return np.load(conditions.folder / "images.npy"), np.load(conditions.folder / "labels.npy")


# --- statistics -------------------------------------------------------------------------------------------


def test_summary_is_median_and_quartiles() -> None:
    found = turns.summary([5.0, 1.0, 2.0, 4.0, 3.0])
    assert found == (3.0, 2.0, 4.0)
    assert found.spread == 1.0


def test_a_figure_has_three_significant_digits() -> None:
    assert turns.figure(Summary(1234.5, 1200.0, 1300.0)) == "1234 ± 50"
    assert turns.figure(Summary(0.0012345, 0.001, 0.002), 1e3) == "1.23 ± 0.50"


def test_what_others_took_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns.os, "sched_getaffinity", lambda _: {1}, raising=False)
    monkeypatch.setattr(turns.os, "sysconf", lambda _: 100, raising=False)

    def reading(user: int, idle: int, stolen: int) -> CpuTimes:
        stat = tmp_path / "stat"
        others = "9 9 9 9 9 9 9 9 0 0"
        stat.write_text(
            f"cpu  {others}\ncpu0 {others}\ncpu1 {user} 0 5 {idle} 0 0 0 {stolen} 7 0\nintr 1 2\n"
        )
        return CpuTimes.now(stat)

    before, after = reading(100, 500, 20), reading(160, 530, 30)  # 0.6 s busy, 0.3 s idle, 0.1 s stolen
    assert before.lost_until(after, own=0.6) == pytest.approx(0.1)
    assert before.lost_until(after, own=0.4) == pytest.approx(0.3)
    assert before.lost_until(after, own=9.0) == pytest.approx(0.1)  # ticks are coarse
    assert before.lost_until(before, own=0.0) == 0.0
    assert CpuTimes.now(tmp_path / "missing") == (0, 0, 0)


def play(monkeypatch: pytest.MonkeyPatch, lost: Callable[[int], float]) -> tuple[str, dict[str, list[Turn]]]:
    """Two contenders, "a" and "b", for two rounds; `lost(i)` is the share lost in the i-th turn."""
    order: list[str] = []
    now = SimpleNamespace(lost_until=lambda later, own: lost(len(order)))
    monkeypatch.setattr(turns, "CpuTimes", SimpleNamespace(now=lambda: now))
    monkeypatch.setattr(turns, "PAUSE", 0)

    def take_turn(name: str) -> tuple[float, float]:
        order.append(name)
        return float(len(order)), 0.0

    played = turns.play({name: partial(take_turn, name) for name in ("a", "b")}, 2, MOST_LOST, lambda: None)
    return "".join(order), played


def test_contenders_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    order, played = play(monkeypatch, lambda turn: 0.0)
    assert order == "abab"
    assert played == {"a": [Turn(1.0), Turn(3.0)], "b": [Turn(2.0), Turn(4.0)]}


def test_disturbed_rounds_are_played_again(monkeypatch: pytest.MonkeyPatch) -> None:
    assert play(monkeypatch, lambda turn: 0.5 * (turn == 2))[0] == "ababab"
    assert play(monkeypatch, lambda turn: 0.5)[0] == "abab" * 2  # gives up


def test_a_result_is_of_the_clean_turns(conditions: Conditions) -> None:
    strict = conditions._replace(most_lost=MOST_LOST)
    taken = [Turn(0.01), Turn(9.0, lost=0.5), Turn(0.01)]
    found = harness.result(Row("x", "step", "mlp", 50), taken, strict, samples=600)
    assert (found.kept, found.discarded) == (2, 1)
    assert found.images_per_second == pytest.approx(5000)
    assert harness.result(Row("x", "epoch", "mlp", 50), taken, strict, 600).images_per_second == 60_000
    assert harness.result(Row("x", "start-up", "mlp", 50), taken, strict, 600).images_per_second is None
    assert harness.result(Row("x", "step", "mlp", 50), taken[1:2], strict, 600).found is None
    assert harness.result(Row("x", "memory", "mlp", 50), taken[1:2], strict, 600).found is not None


def test_rows_by_pattern() -> None:
    assert [row.name for row in chosen("lenet-infer-*,mlp-epoch")] == [
        "mlp-epoch",
        "lenet-infer-1",
        "lenet-infer-256",
    ]
    assert chosen("*") == ROWS
    with pytest.raises(ConfigError, match="no row has such a name\n  expected: linear-step, "):
        chosen("resnet-step")


# --- contenders -------------------------------------------------------------------------------------------


def test_a_worker_needs_no_tinynet(conditions: Conditions, tmp_path: Path) -> None:
    file = tmp_path / "stranger_.py"
    file.write_text(STRANGER)
    stranger = Contender("stranger", Path(sys.executable), file, "whole")
    with Process(stranger, "mlp", 4, conditions) as process:
        assert process.ask("losses", steps=2) == [0.0, 0.0]
        assert "numpy" in process.ask("about")
    with (
        Process(stranger._replace(mode="broken"), "mlp", 4, conditions) as process,
        pytest.raises(ContenderError, match="stranger: ValueError: out of order"),
    ):
        process.ask("losses", steps=1)


def test_a_contender_that_cannot_start_says_why(conditions: Conditions, tmp_path: Path) -> None:
    missing = READABLE._replace(file=tmp_path / "nobody_.py")
    with (
        Process(missing, "mlp", 4, conditions) as process,
        pytest.raises(ContenderError, match=r"tinynet: ModuleNotFoundError.*nobody_"),
    ):
        process.ask("about")


def test_our_step_is_that_of_the_textbook(
    conditions: Conditions, data: tuple[np.ndarray, np.ndarray]
) -> None:
    quiet = net.read(conditions.folder, "mlp").without_dropout()
    peer = tinynet_.Peer(quiet, "numpy")
    layers = [{"type": layer.kind, **layer.settings} for layer in quiet.layers]
    model = Sequential.from_config({"layers": layers, "input_shape": (28, 28, 1)}, backend="numpy", seed=3)
    loss, optimizer = SoftmaxCrossEntropy(), Adam(1e-3)
    loss.start(model)
    optimizer.start(model)
    for part in (slice(0, 16), slice(16, 32), slice(32, 40)):
        x, labels = data[0][part], data[1][part]
        outputs, tape = model.forward(x, train=True)
        expected, cache = loss.forward(outputs, labels)
        model.backward(loss.backward(cache), tape)
        optimizer.step(1e-3)
        assert float(peer.step(*peer.put(x, labels))) == float(expected)


def test_training_takes_the_listed_rates(data: tuple[np.ndarray, np.ndarray]) -> None:
    rates = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    model = Sequential.from_config({"layers": [{"type": "Rescale"}, {"type": "Flatten"},
                                               {"type": "Dense", "units": 10}],
                                    "input_shape": (28, 28, 1)}, backend="numpy")  # fmt: skip
    schedule = tinynet_.Listed(rates=rates)
    trainer = Trainer(model, data, optimizer=Adam(1.0), schedule=schedule, epochs=2, batch_size=25)
    steps = [event.learning_rate for event in trainer.events() if isinstance(event, StepEnd)]
    assert steps == rates


def test_a_race_follows_its_rates_and_tests_at_the_end(conditions: Conditions) -> None:
    with Process(READABLE, "mlp", 16, conditions) as process:
        idle = process.ask("race", rates=[0.0] * 4)
        trained = process.ask("race", rates=[1e-3] * 40)
        again = process.ask("race", rates=[1e-3] * 40)
    peer = tinynet_.Peer(net.read(conditions.folder, "mlp"), "numpy")
    labels = np.load(conditions.folder / "test-labels.npy")
    guesses = peer.infer(np.load(conditions.folder / "test-images.npy")).argmax(axis=1)
    assert idle["accuracy"] == np.mean(guesses == labels)
    assert again["accuracy"] == trained["accuracy"]
    assert trained["train"] > 0


def test_each_kind_of_row_can_be_measured(conditions: Conditions) -> None:
    for row in (
        Row("step", "step", "mlp", 4),
        Row("epoch", "epoch", "mlp", 16, most_rounds=1),
        Row("infer", "infer", "mlp", 4, most_rounds=1),
        Row("start-up", "start-up", "mlp", 4, most_rounds=1, cold=True),
        *[Row("memory", "memory", "mlp", 16, most_rounds=1)] * (sys.platform != "win32"),
    ):
        taken = harness.measure(row, READABLE, conditions, lambda: None)
        assert len(taken) == min(row.most_rounds, 2)
        assert all(turn.value > 0 for turn in taken)
        if row.kind == "memory":
            assert 10 < taken[0].value < 10_000
