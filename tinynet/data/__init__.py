"""Where the images come from: IDX files, Kaggle's CSV, downloads, and a sample that needs no network.

Names are imported from their files when they are first used: a net needs none of them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinynet.data.datasets import Choices, Dataset, Split, load
    from tinynet.data.duplicates import overlap
    from tinynet.data.idx import read_idx, write_idx
    from tinynet.data.kaggle import read_csv, write_csv, write_submission

__all__ = [
    "Choices",
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
_FILES = {
    "datasets": ("Choices", "Dataset", "Split", "load"),
    "duplicates": ("overlap",),
    "idx": ("read_idx", "write_idx"),
    "kaggle": ("read_csv", "write_csv", "write_submission"),
}


def __getattr__(name: str) -> Any:
    for file, names in _FILES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{file}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
