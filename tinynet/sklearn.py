"""Estimators of scikit-learn that train tinynet's nets: for Pipeline, GridSearchCV, cross_val_score …

    from tinynet.sklearn import TinynetClassifier
    TinynetClassifier(hidden=(64, 32)).fit(X, y).score(X_test, y_test)

Needs the extra `sklearn`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from tinynet import extras
from tinynet.errors import ConfigError, did_you_mean
from tinynet.layers import LAYERS, Dense, Layer
from tinynet.losses import Loss, MeanSquaredError, SoftmaxCrossEntropy
from tinynet.model import Sequential
from tinynet.optim import Adam
from tinynet.training import Trainer
from tinynet.types import Array

extras.load("sklearn")

from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin  # noqa: E402 (what it needs is told first)
from sklearn.utils import check_random_state  # noqa: E402
from sklearn.utils.multiclass import check_classification_targets  # noqa: E402
from sklearn.utils.validation import check_is_fitted, validate_data  # noqa: E402


class TinynetEstimator(BaseEstimator):  # type: ignore[misc]
    """What both have: settings, and a net in `model_`.

    hidden          units of the dense layers before the last one
    activation      the layer after each of them, by its name
    layers          other layers before the last one, instead of both; X may then be images (N, H, W, C)
    epochs          passes over the data
    batch_size      samples of a step
    learning_rate   of Adam
    l2              λ of the penalty λ ΣW² of each dense layer that is made here
    random_state    fixes initial weights, order and dropout
    backend         where it is computed: numpy, numba, cupy; by default as everywhere in tinynet
    """

    def __init__(
        self,
        hidden: Sequence[int] = (100,),
        *,
        activation: str = "ReLU",
        layers: Sequence[Layer] | None = None,
        epochs: int = 100,
        batch_size: int = 32,
        learning_rate: float = 1e-3,
        l2: float = 0.0,
        random_state: Any = None,
        backend: str | None = None,
    ) -> None:
        self.hidden = hidden
        self.activation = activation
        self.layers = layers
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.l2 = l2
        self.random_state = random_state
        self.backend = backend

    def _begin(self, X: Array, outputs: int, loss: Loss) -> None:
        """A new net for samples like X."""
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        net = [*self._before(), Dense(outputs, l2=self.l2)]
        self.model_ = Sequential(net, X.shape[1:], backend=self.backend, seed=seed)
        self.loss_curve_: list[float] = []
        self.n_iter_ = 0
        self._loss = loss
        self._averages: tuple[int, dict[str, Array]] | None = None

    def _before(self) -> list[Layer]:
        """The layers before the last one."""
        if self.layers is not None:
            return [dataclasses.replace(layer) for layer in self.layers]
        kind = LAYERS.get(self.activation)
        if kind is None:
            raise ConfigError(
                "no layer has this name",
                expected=", ".join(LAYERS),
                received=repr(self.activation),
                fix=did_you_mean(self.activation, LAYERS),
            )
        return [layer for units in self.hidden for layer in (Dense(units, l2=self.l2), kind())]

    def _train(self, X: Array, y: Array, epochs: int) -> None:
        """Go on training; Adam's averages are those that the last call left."""
        optimizer = Adam(self.learning_rate)
        trainer = Trainer(
            self.model_,
            (X, y),
            loss=self._loss,
            optimizer=optimizer,
            epochs=epochs,
            batch_size=min(self.batch_size, len(X)),
        )
        if self._averages is not None:
            optimizer.steps, kept = self._averages
            for name, values in kept.items():
                optimizer.state[name][...] = values
        trainer.run()
        self._averages = optimizer.steps, {name: array.copy() for name, array in optimizer.state.items()}
        self.loss_curve_ += [record["loss"] for record in trainer.state.history]
        self.n_iter_ += epochs

    def _checked(self, *samples: Any, **settings: Any) -> Any:
        """X, or X and y, as arrays that scikit-learn's rules let pass."""
        return validate_data(self, *samples, dtype=np.float32, allow_nd=self.layers is not None, **settings)

    def _outputs(self, X: Any) -> Array:
        check_is_fitted(self, "model_")
        return self.model_.predict(self._checked(X, reset=False))

    def __getstate__(self) -> dict[str, Any]:
        """Plain values and arrays alone: a loss that computes holds the memory of its model."""
        state: dict[str, Any] = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_loss"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "model_" in state:
            self._loss = self._new_loss()

    def _new_loss(self) -> Loss:
        raise NotImplementedError  # each of the two has its own


class TinynetClassifier(ClassifierMixin, TinynetEstimator):  # type: ignore[misc]
    """A net that tells classes, by softmax and cross-entropy. Settings: see `TinynetEstimator`.

    Labels may be numbers or texts. After `fit`: `classes_`, `model_`, `loss_curve_`, `n_features_in_`.
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Train a new net on X (N, features) and labels y (N,)."""
        X, y = self._checked(X, y)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        self._begin(X, len(self.classes_), self._new_loss())
        self._train(X, labels.astype(np.int64), self.epochs)
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> Self:
        """One more pass, over these samples. The first call needs all `classes`, if y lacks some."""
        first = not hasattr(self, "model_")
        X, y = self._checked(X, y, reset=first)
        check_classification_targets(y)
        if first:
            self.classes_ = np.unique(y if classes is None else classes)
            self._begin(X, len(self.classes_), self._new_loss())
        if unknown := sorted(set(np.unique(y).tolist()) - set(self.classes_.tolist())):
            raise ValueError(f"y has the class {unknown[0]!r}, which is not among classes {self.classes_}")
        self._train(X, np.searchsorted(self.classes_, y), 1)
        return self

    def predict_proba(self, X: Any) -> Array:
        """The probability of each class, float64 (N, K), in the order of `classes_`."""
        outputs = self._outputs(X).astype(np.float64)
        powers = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    def predict(self, X: Any) -> Array:
        """The most probable class of each sample, (N,)."""
        best = self._outputs(X).argmax(axis=1)
        return self.classes_[best]

    def _new_loss(self) -> Loss:
        return SoftmaxCrossEntropy()


class TinynetRegressor(RegressorMixin, TinynetEstimator):  # type: ignore[misc]
    """A net that tells values, by squared error. Settings: see `TinynetEstimator`.

    y may have several columns. It is standardised for the training, so that its unit does not matter.
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Train a new net on X (N, features) and values y (N,) or (N, M)."""
        X, y = self._checked(X, y, multi_output=True, y_numeric=True)
        self._columns = y.ndim
        values = y.reshape(len(y), -1).astype(np.float64)
        self._mean, spread = values.mean(axis=0), values.std(axis=0)
        self._spread = np.where(spread > 0, spread, 1.0)
        self._begin(X, values.shape[1], self._new_loss())
        self._train(X, ((values - self._mean) / self._spread).astype(np.float32), self.epochs)
        return self

    def predict(self, X: Any) -> Array:
        """The values, float64 (N,) or (N, M) as y had them."""
        found = self._outputs(X).astype(np.float64) * self._spread + self._mean
        return found[:, 0] if self._columns == 1 else found

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _new_loss(self) -> Loss:
        return MeanSquaredError()
