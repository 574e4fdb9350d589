"""Our own nets beside the classical ones: finished runs, judged on the same rows, if they never saw them."""

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
from tinynet.runs import audit
from tinynet.runs.predictions import predict
from tinynet.runs.provenance import FindData
from tinynet.runs.settings import final_model, read_settings


def check_unseen(folder: Path, rows: Rows, load: FindData) -> Split:
    """The images that the run in `folder` learned from, once none of them is among what it is judged by.

    They are found in the run's own data set (`load`), cut as its recipe says, and compared by their pixels;
    so are those of the runs from whose weights it started. An image that the rows to learn from hold as well
    is no leak: the classical models saw it too. Raises RunError for a run that is not finished, whose data
    set is another now, or that started from weights of unknown training, and for a leak.
    """
    settings = read_settings(folder)
    final_model(folder)
    generations = list(audit.generations(settings, load(settings), load))
    for each, trained, held_out in generations:
        start = "" if each is settings else f"started from {each.name}, which "
        for seen, use in ((trained, "was trained on"), (held_out, "was validated by")):
            _check_none_of(rows, seen, f"the net in {folder} {start}{use} images it would be judged by")
    return generations[0][1]


def _check_none_of(rows: Rows, seen: Split, leak: str) -> None:
    """Raise RunError, saying `leak`, if any of the images to judge by is among the images `seen`."""
    for images, what in ((rows.validation.images, "validation rows"), (rows.test, "test table's rows")):
        leaked = overlap(images, seen.images)
        leaked &= ~overlap(images, rows.train.images)
        if leaked.any():
            raise RunError(
                leak,
                expected=f"none of the {len(images):,} {what} among its {len(seen):,} images",
                received=f"{int(leaked.sum()):,} of them, pixel for pixel",
                fix="train one on the same rows: `tinynet classical … --rows FOLDER` writes them, then "
                "`tinynet train --dataset FOLDER`",
            )


def score_runs(
    folders: Sequence[Path], rows: Rows, load: FindData, *, backend: str | Backend | None = None
) -> Iterator[Scored]:
    """Judge the nets of finished runs on the rows: those that `check_unseen` passes, else its RunError.

    All are checked before the first is judged; ConfigError if two have one name. The time of the fit is what
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
                f"the net in {folder} knows other classes",
                expected=", ".join(rows.classes),
                received=", ".join(about.get("classes", [])),
                fix="leave it out",
            )
        seconds = [line["seconds"] for line in read_log(folder / "log.jsonl") if line["event"] == "epoch"]
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
