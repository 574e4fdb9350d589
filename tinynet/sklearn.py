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
from tinynet.checks import refusal
from tinynet.errors import ConfigError, did_you_mean
from tinynet.layers import LAYERS, Dense, Layer
from tinynet.losses import Loss, MeanSquaredError, SoftmaxCrossEntropy
from tinynet.model import Sequential
from tinynet.optim import Adam
from tinynet.sample_weights import checked_weights
from tinynet.training import Trainer
from tinynet.types import Array

extras.load("sklearn")

from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin  # noqa: E402 (what it needs is told first)
from sklearn.utils import check_random_state  # noqa: E402
from sklearn.utils.class_weight import compute_sample_weight  # noqa: E402
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

    def _begin(self, X: Array, outputs: int) -> None:
        """A new net for samples like X."""
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        net = [*self._before(), Dense(outputs, l2=self.l2)]
        self.model_ = Sequential(net, X.shape[1:], backend=self.backend, seed=seed)
        self.loss_curve_: list[float] = []
        self.n_iter_ = 0
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
        if not isinstance(self.hidden, list | tuple | np.ndarray):
            expected = "a number of units for each layer, such as (32,) or (64, 32)"
            raise refusal(self.hidden, type(self).__name__, "hidden", expected)
        return [layer for units in self.hidden for layer in (Dense(units, l2=self.l2), kind())]

    def _train(self, X: Array, y: Array, epochs: int, weights: Array | None) -> None:
        """Go on training; Adam's averages are those that the last call left."""
        optimizer = Adam(self.learning_rate)
        trainer = Trainer(
            self.model_,
            (X, y),
            sample_weight=weights,
            loss=self._loss(),
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

    def _loss(self) -> Loss:
        raise NotImplementedError  # each of the two has its own


class TinynetClassifier(ClassifierMixin, TinynetEstimator):  # type: ignore[misc]
    """A net that tells classes, by softmax and cross-entropy. Settings: see `TinynetEstimator`, and

    class_weight    "balanced", or a dict from class to weight; it multiplies the weight of each sample

    Labels may be numbers or texts. After `fit`: `classes_`, `model_`, `loss_curve_`, `n_features_in_`.
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
        class_weight: str | dict[Any, float] | None = None,
        random_state: Any = None,
        backend: str | None = None,
    ) -> None:
        super().__init__(
            hidden,
            activation=activation,
            layers=layers,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            l2=l2,
            random_state=random_state,
            backend=backend,
        )
        self.class_weight = class_weight

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train a new net on X (N, features), labels y (N,) and, if they differ, the samples' weights (N,).

        Weights are relative: they are divided by their mean.
        """
        X, y = self._checked(X, y)
        check_classification_targets(y)
        weights = self._weights(y, sample_weight)
        self.classes_, labels = np.unique(y, return_inverse=True)
        self._begin(X, len(self.classes_))
        self._train(X, labels.astype(np.int64), self.epochs, _relative(weights))
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """One more pass, over these samples. The first call needs all `classes`, if y lacks some.

        Weights count as they are, as one part of the data says nothing of the mean of all.
        """
        if self.class_weight == "balanced":
            raise ValueError("class_weight='balanced' needs all the data: give partial_fit a dict of weights")
        first = not hasattr(self, "model_")
        X, y = self._checked(X, y, reset=first)
        check_classification_targets(y)
        weights = self._weights(y, sample_weight)
        if first:
            self.classes_ = np.unique(y if classes is None else classes)
        if unknown := sorted(set(np.unique(y).tolist()) - set(self.classes_.tolist())):
            raise ValueError(f"y has the class {unknown[0]!r}, which is not among classes {self.classes_}")
        if first:
            self._begin(X, len(self.classes_))
        self._train(X, np.searchsorted(self.classes_, y), 1, weights)
        return self

    def _weights(self, y: Array, sample_weight: Any) -> Array | None:
        """Those of the samples times those of their classes, (N,); None where all count alike."""
        if self.class_weight is None:
            return None if sample_weight is None else checked_weights(sample_weight, len(y))
        of_classes = compute_sample_weight(self.class_weight, y)
        return checked_weights(of_classes if sample_weight is None else of_classes * sample_weight, len(y))

    def predict_proba(self, X: Any) -> Array:
        """The probability of each class, float64 (N, K), in the order of `classes_`."""
        outputs = self._outputs(X).astype(np.float64)
        powers = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    def predict(self, X: Any) -> Array:
        """The most probable class of each sample, (N,)."""
        best = self._outputs(X).argmax(axis=1)
        return self.classes_[best]

    def _loss(self) -> Loss:
        return SoftmaxCrossEntropy()


class TinynetRegressor(RegressorMixin, TinynetEstimator):  # type: ignore[misc]
    """A net that tells values, by squared error. Settings: see `TinynetEstimator`.

    y may have several columns. It is standardised for the training, so that its unit does not matter.
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train a new net on X (N, features), values y (N,) or (N, M) and the samples' weights (N,), if any.

        Weights are relative: they are divided by their mean.
        """
        X, y = self._checked(X, y, multi_output=True, y_numeric=True)
        weights = None if sample_weight is None else checked_weights(sample_weight, len(y))
        self._start(X, y, weights)
        self._train(X, self._standardised(y), self.epochs, _relative(weights))
        return self

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """One more pass, over these samples. The first call's y says by what all are standardised."""
        first = not hasattr(self, "model_")
        X, y = self._checked(X, y, reset=first, multi_output=True, y_numeric=True)
        weights = None if sample_weight is None else checked_weights(sample_weight, len(y))
        if first:
            self._start(X, y, weights)
        self._train(X, self._standardised(y), 1, weights)
        return self

    def _start(self, X: Array, y: Array, weights: Array | None) -> None:
        self._columns = y.ndim
        values = y.reshape(len(y), -1).astype(np.float64)
        self._mean = np.average(values, axis=0, weights=weights)
        spread = np.sqrt(np.average((values - self._mean) ** 2, axis=0, weights=weights))
        self._spread = np.where(spread > 0, spread, 1.0)
        self._begin(X, values.shape[1])

    def _standardised(self, y: Array) -> Array:
        values = y.reshape(len(y), -1).astype(np.float64)
        return ((values - self._mean) / self._spread).astype(np.float32)

    def predict(self, X: Any) -> Array:
        """The values, float64 (N,) or (N, M) as y had them."""
        found = self._outputs(X).astype(np.float64) * self._spread + self._mean
        return found[:, 0] if self._columns == 1 else found

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _loss(self) -> Loss:
        return MeanSquaredError()


def _relative(weights: Array | None) -> Array | None:
    """The weights with a mean of 1."""
    return None if weights is None else weights / weights.mean()
