"""Our own nets beside the classical models: finished runs, tested on rows they were not trained on."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tinynet import checkpoint
from tinynet.backends.base import Backend
from tinynet.callbacks.log import read_log
from tinynet.data import overlap
from tinynet.data.datasets import Split
from tinynet.errors import ConfigError, RunError
from tinynet.experiments.classical.models import Scored
from tinynet.experiments.classical.rows import Rows
from tinynet.model import EVALUATION_BATCH
from tinynet.runs import provenance
from tinynet.runs.predictions import predict
from tinynet.runs.provenance import FindData
from tinynet.runs.settings import final_model, read_settings


def check_unseen(folder: Path, rows: Rows, load: FindData) -> Split:
    """The training images of the run in `folder`, after a check that none is among the rows it is tested on.

    They are found in the run's own data set (`load`), cut as its recipe says, and compared by their pixels;
    so are those of the runs from whose weights it started. An image that is also among the training rows is
    no leak: the classical models were trained on it, too.

    Raises RunError for a leak, for a run that is not finished or whose data set has changed, and for one that
    started from weights whose training data are unknown.
    """
    settings = read_settings(folder)
    final_model(folder)
    generations = list(provenance.generations(settings, load(settings), load))
    for each, trained, held_out in generations:
        start = "" if each is settings else f"started from {each.name}, which "
        for used, use in ((trained, "was trained on"), (held_out, "was validated by")):
            _check_none_of(rows, used, f"the net in {folder} {start}{use} images it would be tested on")
    return generations[0][1]


def _check_none_of(rows: Rows, used: Split, leak: str) -> None:
    """Raise RunError, saying `leak`, if any of the images to test on is among the images `used`."""
    for images, what in ((rows.validation.images, "validation rows"), (rows.test, "test table's rows")):
        leaked = overlap(images, used.images)
        leaked &= ~overlap(images, rows.train.images)
        if leaked.any():
            raise RunError(
                leak,
                expected=f"none of the {len(images):,} {what} among its {len(used):,} images",
                received=f"{int(leaked.sum()):,} of them, pixel for pixel",
                fix="train one on the same rows: `tinynet classical … --rows FOLDER` writes them, then "
                "`tinynet train --dataset FOLDER`",
            )


def score_runs(
    folders: Sequence[Path], rows: Rows, load: FindData, *, backend: str | Backend | None = None
) -> Iterator[Scored]:
    """Test the nets of finished runs on the rows, if `check_unseen` passes all of them.

    All are checked before the first is tested; ConfigError if two have one name. The time of the fit is what
    the run's log says its epochs took. Predictions are timed after a batch that loads the kernels.
    """
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) < len(names):
        raise ConfigError(
            "two of the runs have one name", expected="folders of different names", received=", ".join(names)
        )
    trained = [len(check_unseen(folder, rows, load)) for folder in folders]
    for folder, name, count in zip(folders, names, trained, strict=True):
        model, loss, about = checkpoint.load_model(folder, backend=backend)
        if about.get("classes") != list(rows.classes):
            raise RunError(
                f"the net in {folder} is for other classes",
                expected=", ".join(rows.classes),
                received=", ".join(about.get("classes", [])),
                fix="leave it out",
            )
        epochs = [line for line in read_log(folder / "log.jsonl") if line["event"] == "epoch"]
        seconds = [line.get("seconds") or 0.0 for line in epochs]
        predict(model, loss, rows.validation.images[:EVALUATION_BATCH])
        began = time.perf_counter()
        predicted = predict(model, loss, rows.validation.images).classes
        predict_seconds = time.perf_counter() - began
        store = model.store
        yield Scored(
            f"{read_settings(folder).name} ({name})",
            predicted,
            predict(model, loss, rows.test).classes if len(rows.test) else predicted[:0],
            trained_on=count,
            fit_seconds=sum(seconds) if seconds else None,
            predict_seconds=predict_seconds,
            numbers=store.count + store.state_count,
            bytes=sum(view.nbytes for kept in (store.values, store.state) for view in kept.views.values()),
            run=str(folder),
        )
