"""What a run was trained on, and whether its report follows from what it left behind."""

from __future__ import annotations

from tinynet import recipe
from tinynet.data.datasets import Dataset, Split
from tinynet.errors import RunError
from tinynet.runs import Settings


def parts(settings: Settings, dataset: Dataset) -> tuple[Split, Split]:
    """The samples that a run with these settings (trained on, validated by), out of its own data set.

    Raises RunError if `dataset` is not the one the run was started with.
    """
    if dataset.sha256 != settings.data_sha256:
        raise RunError(
            f"the data set {dataset.name} is not the one the run {settings.name} was trained on",
            expected=settings.data_sha256,
            received=dataset.sha256,
            fix="name the folder with the original data: --data-dir",
        )
    count, held_out = recipe.from_table(settings.recipe).training.cut(len(dataset.train))
    images, labels = dataset.train.images, dataset.train.labels
    end = count + held_out
    return Split(images[:count], labels[:count]), Split(images[count:end], labels[count:end])
