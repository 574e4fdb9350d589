"""Where the images come from: IDX files, Kaggle's CSV, downloads, and a sample that needs no network."""

from tinynet.data.datasets import Dataset, Split, load
from tinynet.data.idx import read_idx, write_idx
from tinynet.data.kaggle import read_csv, write_csv, write_submission
from tinynet.data.overlap import overlap

__all__ = [
    "Dataset",
    "Split",
    "load",
    "overlap",
    "read_csv",
    "read_idx",
    "write_csv",
    "write_idx",
    "write_submission",
]
