"""emlearn's C code of a net of dense layers, made in its own environment: emlearn_.py WEIGHTS.npz FOLDER.

WEIGHTS.npz has W1 (inputs, hidden), b1, W2 (hidden, classes), b2; ReLU lies between. Writes
FOLDER/loadable.h and FOLDER/inline.h, emlearn's two kinds of code in floats, and says its version and where
its own headers lie.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

import emlearn
import numpy as np
from emlearn import cgen
from sklearn.neural_network import MLPClassifier

own_constant = cgen.constant


def constant(value: object, dtype: str = "float") -> str:
    """emlearn 0.23.2 makes an int of an activation's name, and so no inline code at all: mended here."""
    return value if isinstance(value, str) else own_constant(value, dtype=dtype)


def main(weights: str, folder: str) -> None:
    cgen.constant = constant
    with np.load(weights) as file:
        W1, b1, W2, b2 = (file[name] for name in ("W1", "b1", "W2", "b2"))
    model = MLPClassifier((W1.shape[1],), max_iter=1)
    model.n_layers_, model.out_activation_ = 3, "softmax"
    model.coefs_, model.intercepts_ = [W1, W2], [b1, b2]
    made = emlearn.convert(model, method="loadable")
    for method in ("loadable", "inline"):
        made.save(name="net", file=str(Path(folder) / f"{method}.h"), inference=[method])
    print(version("emlearn"))
    print(emlearn.includedir)


if __name__ == "__main__":
    main(*sys.argv[1:])
