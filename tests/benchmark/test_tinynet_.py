"""Our contender takes the step of the textbook, at the listed rates."""

from __future__ import annotations

import numpy as np

from tinynet.benchmark import net, tinynet_
from tinynet.benchmark.harness import Conditions
from tinynet.losses import SoftmaxCrossEntropy
from tinynet.model import Sequential
from tinynet.optim import Adam
from tinynet.training import StepEnd, Trainer


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
