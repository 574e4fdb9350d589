"""model.fit, evaluate and score: the same training as a Trainer's, and what people hand in."""

from __future__ import annotations

import inspect
import re

import numpy as np
import pytest
from nets import blobs, mlp, weights
from sklearn.metrics import r2_score

from tinynet import fitting
from tinynet import layers as L
from tinynet.callbacks import EarlyStopping
from tinynet.errors import ConfigError, DataError, ShapeError
from tinynet.fitting import fit, loss_for
from tinynet.losses import CrossEntropy, MeanSquaredError, SoftmaxCrossEntropy
from tinynet.model import Sequential
from tinynet.optim import SGD, Adam
from tinynet.training import Callback, StepEnd, Trainer


class Table:
    """Like a data frame: NumPy can view it."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        return self.values


class Count(Callback):
    """Counts steps."""

    def __init__(self) -> None:
        self.steps = 0

    def on_step(self, trainer: Trainer, event: StepEnd) -> None:
        self.steps += 1


def line() -> Sequential:
    return Sequential([L.Dense(1)], (2,), backend="numpy", seed=1)


def test_it_is_a_trainers_training(backend: str) -> None:
    x, y = blobs(50)
    model, twin = mlp(backend), mlp(backend)
    history = model.fit(x, y, epochs=3, batch_size=16, validation_data=(x[:9], y[:9]))
    same = Trainer(twin, (x, y), validation=(x[:9], y[:9]), epochs=3, batch_size=16)
    same.run()
    assert np.array_equal(weights(model), weights(twin))
    assert [record["val_loss"] for record in history] == [r["val_loss"] for r in same.state.history]
    found = model.evaluate(x, y)
    assert found == pytest.approx(same.evaluate(same.train))
    assert model.score(x, y) == found["accuracy"]


@pytest.mark.parametrize("kind", ["list", "table", "column", "one-hot", "booleans"])
def test_what_people_hand_in(kind: str) -> None:
    x, y = blobs(40)
    expected = mlp()
    expected.fit(x, y, epochs=1)
    forms = {
        "list": (x.tolist(), y.tolist()),
        "table": (Table(x), Table(y)),
        "column": (x, y[:, None]),
        "one-hot": (x, np.eye(3)[y]),
        "booleans": (x, np.eye(3, dtype=bool)[y]),
    }
    model = mlp()
    model.fit(*forms[kind], epochs=1)
    # a list of Python's floats is in float64, and is cast: the same numbers
    assert np.array_equal(weights(model), weights(expected))


def test_values_are_fitted_and_scored_as_scikit_learn_scores_them() -> None:
    x, _ = blobs(60)
    y = x @ np.array([2.0, -1.0]) + 0.5
    model = line()
    history = model.fit(x, y, epochs=200, optimizer=SGD(0.1))
    assert history[-1]["loss"] < 1e-4
    assert "accuracy" not in history[-1]
    assert model.score(x, y) == pytest.approx(r2_score(y, model.predict(x)[:, 0]))
    assert model.score(x, np.ones(60)) == r2_score(np.ones(60), model.predict(x)[:, 0]) == 0


def test_the_loss_follows_the_targets_and_the_last_layer() -> None:
    labels, values = np.array([0, 1]), np.array([[0.5], [1.0]])

    def ending(*last: L.Layer) -> Sequential:
        return Sequential([L.Dense(2), *last], (3,), backend="numpy")

    assert isinstance(loss_for(ending(), labels), SoftmaxCrossEntropy)
    assert isinstance(loss_for(ending(L.Softmax()), labels), CrossEntropy)
    assert isinstance(loss_for(ending(L.Sigmoid()), labels), CrossEntropy)
    assert isinstance(loss_for(ending(), values), MeanSquaredError)


def test_soft_targets_when_the_loss_is_named(backend: str) -> None:
    """Answers of another net: the student learns them, and is right where its teacher is."""
    x, y = blobs(60)
    teacher = mlp(backend)
    teacher.fit(x, y, epochs=30, optimizer=Adam(0.03))
    answers = SoftmaxCrossEntropy()
    answers.start(teacher)
    logits = teacher.backend.asarray(teacher.predict(x))
    soft = np.array(teacher.backend.to_host(answers.probabilities(logits)))
    student, loss = mlp(backend, seed=1), SoftmaxCrossEntropy()
    history = student.fit(x, soft, epochs=30, loss=loss, optimizer=Adam(0.03), validation_data=(x, soft))
    assert history[-1]["val_accuracy"] == history[-1]["accuracy"] == student.score(x, y) == 1
    with pytest.raises(DataError, match="no distribution over the classes"):
        student.fit(x, 2 * soft, loss=SoftmaxCrossEntropy())


def test_one_hot_rows_are_values_for_a_squared_error() -> None:
    x, y = blobs(30)
    history = mlp().fit(x, np.eye(3)[y], epochs=1, loss=MeanSquaredError())
    assert "accuracy" not in history[0]


def test_whole_numbers_may_be_values() -> None:
    x, _ = blobs(40)
    y = np.rint(3 * x[:, 0] - x[:, 1]).astype(np.int64)
    assert len(set(y)) > 2
    one, other = line(), line()
    settings = {"loss": MeanSquaredError(), "epochs": 3}
    histories = [one.fit(x, y, **settings), other.fit(x, y.astype(float), **settings)]  # type: ignore[arg-type]
    assert histories[0][-1]["loss"] == histories[1][-1]["loss"]
    expected = r2_score(y, one.predict(x)[:, 0])
    for loss in (None, MeanSquaredError()):
        assert one.score(x, y, loss=loss) == pytest.approx(expected)
    third = line()  # to fit they are values by the same rule
    history = third.fit(x, y, epochs=3, validation_data=(x, y))
    assert np.array_equal(weights(third), weights(one))
    assert history[-1]["val_r2"] == pytest.approx(expected)
    with pytest.raises(DataError, match=r"1 output\n  received: .*(?s:.*)fix: .*for values, give floats"):
        line().fit(x, y, loss=SoftmaxCrossEntropy())


def test_zeros_and_ones_are_answers_as_integers_and_values_as_floats() -> None:
    x, y = blobs(40)
    assert "accuracy" in line().fit(x, y % 2, epochs=1)[0]
    assert "r2" in line().fit(x, (y % 2).astype(float), epochs=1)[0]


def test_class_weights_by_a_table_of_classes() -> None:
    x, y = blobs(40)
    one, other = mlp(), mlp()
    one.fit(x, y, epochs=2, class_weight=[1, 5, 1])
    other.fit(x, y, epochs=2, class_weight={np.int64(1): 5})
    assert np.array_equal(weights(one), weights(other))
    for table in ({3: 1.0}, {"1": 2.0}, {}):
        with pytest.raises(ConfigError, match=r"class_weight(.|\n)*0 … 2"):
            mlp().fit(x, y, class_weight=table)


def test_callbacks_are_those_of_the_trainer_too() -> None:
    x, y = blobs(40)
    counts = [Count(), Count(), Count()]
    mlp().fit(x, y, epochs=2, batch_size=10, callbacks=[counts[0]])
    Trainer(mlp(), (x, y), epochs=2, batch_size=10, callbacks=[counts[1]]).run([counts[2]])
    assert [count.steps for count in counts] == [8, 8, 8]
    with pytest.raises(ConfigError, match="no callback"):
        Trainer(mlp(), (x, y), callbacks=[print])  # type: ignore[list-item]


def test_the_last_samples_validate() -> None:
    x, y = blobs(50)
    model, twin = mlp(), mlp()
    history = model.fit(x, y, epochs=2, validation_split=0.2, callbacks=[EarlyStopping(patience=5)])
    assert history == [
        {**record, "seconds": mine["seconds"]}
        for record, mine in zip(
            twin.fit(x[:40], y[:40], epochs=2, validation_data=(x[40:], y[40:])), history, strict=True
        )
    ]


def test_a_line_for_each_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    x, y = blobs(30)
    mlp().fit(x, y, epochs=2)
    assert capsys.readouterr().out == ""
    mlp().fit(x, y, epochs=2, verbose=True)
    said = capsys.readouterr().out.splitlines()
    assert [text.split(":")[0] for text in said] == ["epoch 1/2", "epoch 2/2"]
    assert "accuracy" in said[0]


def test_bad_data() -> None:
    x, y = blobs(20)
    model = mlp()
    with pytest.raises(DataError, match=r"targets are no numbers(.|\n)*return_inverse"):
        model.fit(x, np.array(["a", "b"] * 10).tolist())
    with pytest.raises(DataError, match="samples are no array"):
        model.fit([[1.0, 2.0], [3.0]], y[:2])
    with pytest.raises(DataError, match=r"pair of arrays(.|\n)*expected: \(x, y\)"):
        model.fit(x, y, validation_data=x)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="do not go together"):
        model.fit(x, y, validation_data=(x, y), validation_split=0.5)
    for share in (0.001, 0.999):
        with pytest.raises(DataError, match="nothing is left"):
            model.fit(x, y, validation_split=share)
    with pytest.raises(TypeError):
        model.fit(x, y, epoch=3)
    with pytest.raises(DataError, match="samples are no numbers"):
        model.predict([["a", "b"]])
    assert model.predict(x.tolist()).shape == (20, 3)


def test_bad_arguments() -> None:
    x, labels = blobs(20)
    with pytest.raises(ShapeError, match="first axis"):
        fit(mlp(), 5, 3, validation_split=0.5)
    with pytest.raises(ShapeError, match="each sample needs one target"):
        fit(mlp(), x, labels[:10], class_weight="balanced")
    for callbacks in (3, [EarlyStopping]):
        with pytest.raises(ConfigError, match="no callback"):
            fit(mlp(), x, labels, callbacks=callbacks)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["fit", "evaluate", "score"])
def test_the_help_of_a_model_names_all_settings(name: str) -> None:
    method, function = getattr(Sequential, name), getattr(fitting, name)
    known = inspect.signature(method).parameters.keys()
    passed_on = inspect.signature(function).parameters.keys() - known - {"model"}
    assert passed_on
    words = re.findall(r"\w+", method.__doc__)
    assert passed_on <= {*words}
    assert f"tinynet.fitting.{name}" in method.__doc__
