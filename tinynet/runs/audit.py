"""Whether every figure of a run's report follows from its log, its predictions and its weights.

A report could be edited, or belong to other weights than those beside it. So its figures are computed again
from the log and predictions.csv, and the predictions again from the saved weights on the data.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from tinynet import checkpoint
from tinynet.analysis.evaluation import class_figures
from tinynet.backends.base import Backend
from tinynet.callbacks.health import read_health
from tinynet.callbacks.log import parse_log
from tinynet.data import overlap
from tinynet.data.datasets import Dataset, Split
from tinynet.errors import RunError
from tinynet.io.markdown import plain
from tinynet.io.reading import read_json, read_text, reason
from tinynet.plots.health import verdict
from tinynet.printable import counted, quoted
from tinynet.runs import provenance, report
from tinynet.runs.leakage import find_leakage
from tinynet.runs.predictions import name_columns, predict, read_predictions
from tinynet.runs.settings import MAX_BYTES, Settings, origin, read_settings
from tinynet.runs.trainers import build_trainer
from tinynet.types import Array

TOLERANCE = 1e-3
"""How far a loss or a probability may differ when another backend or machine computes it again."""
MAX_FLIPS = 2
"""How many images may then change class, because two classes are almost equally probable."""


@dataclass(frozen=True)
class Claim:
    """One statement of a report, and a line for each figure that contradicts it."""

    name: str
    wrong: list[str]


def audit(
    folder: Path,
    dataset: Dataset,
    *,
    load: provenance.FindData = provenance.load_data,
    backend: str | Backend | None = None,
) -> Iterator[Claim]:
    """Compute again all figures in the report of the finished run in `folder`, claim by claim.

    dataset   the run's own   load   finds those of the runs it started from
    backend   the one it was trained on, unless another is named

    Not checked, since nothing is left to compute them from: the time of the evaluation, the number of
    threads, the machine, the versions and the place of the data; and, as no figure of the report comes from
    them, the single steps in the log, the plots and the checkpoint for a resume. Raises RunError for a folder
    without a report, for other data, and where the run started from weights whose training data are unknown.
    """
    settings = read_settings(folder)
    trained, held_out = provenance.train_and_validation(settings, dataset)
    reported, page = _read_report(folder)
    history, log_faults = _history(folder, reported)
    labels, predicted, confidence, names = read_predictions(folder)
    by = settings.recipe.training.best_by
    yield Claim("configuration and log", log_faults)
    again = reported | {
        "history": history,
        "training": plain(report.summarise(history, by)),
        "test": plain(class_figures(labels, predicted, dataset.classes)) if len(labels) else None,
    }
    for key, source in (("history", "log"), ("training", "log"), ("test", "predictions")):
        yield Claim(f"report.json: {key}, from the {source}", [*differences(reported[key], again[key], key)])
    yield Claim("report.md, from all of these", _different_lines(page, _page(folder, again)))
    yield Claim("labels of the predictions, from the data", _count_different(labels, dataset.test.labels))
    if dataset.test.files is not None and len(labels) == len(dataset.test):
        again_named = name_columns(dataset.test.files, labels, predicted, dataset.classes)
        wrong = [*differences(names, again_named, "row")]
        yield Claim("names in the predictions, from the data", wrong)
    loaded = checkpoint.load_model(folder, backend=backend or settings.backend)
    met = find_leakage(dataset.test.images, settings, load, dataset).facts()
    yield Claim("facts, from the saved weights", _facts(reported["facts"], settings, dataset, loaded, met))
    layers, said = read_health(folder / "health.jsonl"), reported["facts"].get("health")
    if layers or said:
        wrong = [*differences(said, verdict(layers) if layers else None, "facts.health")]
        yield Claim("health of the layers, from health.jsonl", wrong)
    if len(dataset.test):
        found = predict(loaded.model, loaded.loss, dataset.test.images).probabilities
        yield Claim("predictions, from the saved weights", _judge_predictions(found, predicted, confidence))
    yield unseen(dataset.test.images, trained.images, "no test image among the training images")
    if len(held_out):
        for what, file, record in (
            ("best epoch", "best.safetensors", by.best(history)),
            ("final validation figures", "model.safetensors", by.final(history)),
        ):
            wrong = _judge_weights(folder / file, settings, held_out, record, backend)
            yield Claim(f"{what}, from the saved weights", wrong)
        yield unseen(dataset.test.images, held_out.images, "no test image among the validation images")
        yield unseen(held_out.images, trained.images, "no validation image among the training images")
    for ancestor, trained_on, validated_by in islice(
        provenance.generations(settings, dataset, load), 1, None
    ):
        of = f"images of {ancestor.name}, which it started from"
        yield unseen(dataset.test.images, trained_on.images, f"no test image among the training {of}")
        if len(validated_by):
            yield unseen(dataset.test.images, validated_by.images, f"no test image among the validation {of}")
        if len(held_out):
            yield unseen(held_out.images, trained_on.images, f"no validation image among the training {of}")


def unseen(images: Array, others: Array, name: str) -> Claim:
    """The claim that none of the images (N, …) is among the others (M, …), pixel for pixel."""
    count = int(overlap(images, others).sum())
    return Claim(name, [f"{count:,} of {len(images):,} occur there"] if count else [])


def differences(reported: Any, again: Any, place: str = "") -> Iterator[str]:
    """A line for each figure of nested plain values that is not the same in both."""
    if isinstance(reported, Mapping) and isinstance(again, Mapping):
        for key in sorted({*reported, *again}):
            yield from differences(reported.get(key), again.get(key), f"{place}.{key}")
    elif isinstance(reported, list) and isinstance(again, list) and len(reported) == len(again):
        for number, pair in enumerate(zip(reported, again, strict=True)):
            yield from differences(*pair, f"{place}[{number}]")
    elif not _same(reported, again):
        yield f"{place}: {_short(reported)} is reported, {_short(again)} follows"


def _same(reported: Any, again: Any) -> bool:
    """Equal, or two floats but for rounding in the last digits."""
    if isinstance(reported, float) and isinstance(again, float):
        return math.isclose(reported, again, rel_tol=1e-9)
    return bool(reported == again)


def _short(value: Any) -> str:
    return "nothing" if value is None else f"{value!r}"[:60]


def _read_report(folder: Path) -> tuple[dict[str, Any], str]:
    reported = dict(report.read_report(folder))
    try:
        page = read_text(folder / "report.md", report.MAX_BYTES)
    except FileNotFoundError as error:
        raise RunError(
            f"the run in {folder} has no report",
            received="no report.md",
            fix=f"finish it: tinynet train --resume {quoted(folder)}",
        ) from error
    except (OSError, ValueError) as error:
        raise RunError(f"the report in {folder} is damaged", received=reason(error)) from error
    return reported, page


def _history(folder: Path, reported: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
    """The epochs as the log has them, and where config.json, the log and the report disagree."""
    config = read_json(folder / "config.json", MAX_BYTES)  # `read_settings` could read it
    path = folder / "log.jsonl"
    whole, damaged = parse_log(path)
    if damaged:
        raise RunError(f"{path} is damaged", received=f"line {damaged[0]} is none of ours")
    lines = [(line["event"], line) for line in whole]
    faults = [f"report.json: {key} is no part of a report" for key in sorted({*reported} - {*report.KEYS})]
    faults += differences(reported["config"], config, "config")
    starts = [line for event, line in lines if event == "start"]
    if not starts:
        faults.append("log.jsonl: no line says how the run was started")
    for start in starts:
        faults += differences(start.get("settings"), config, "log.jsonl: settings")
    epochs = [
        {key: value for key, value in line.items() if key != "event"}
        for event, line in lines
        if event == "epoch"
    ]
    if [line.get("epoch") for line in epochs] != list(range(1, len(epochs) + 1)):
        faults.append("log.jsonl: the epochs are not numbered 1, 2, …")
    return epochs, faults


def _page(folder: Path, again: Mapping[str, Any]) -> str:
    """The page that should lie in report.md."""
    try:
        return report.markdown(again)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{folder / 'report.json'} is damaged", received=repr(error)) from error


def _different_lines(page: str, again: str) -> list[str]:
    reported, computed = page.splitlines(), again.splitlines()
    faults = [
        f"line {number}: {old!r} is reported, {new!r} follows"
        for number, (old, new) in enumerate(zip(reported, computed, strict=False), start=1)
        if old != new
    ]
    if len(reported) != len(computed):
        faults.append(f"{counted(len(reported), 'line')}, where {len(computed)} follow")
    return faults


def _count_different(labels: Array, expected: Array) -> list[str]:
    if len(labels) != len(expected):
        return [f"{counted(len(labels), 'row')} for {len(expected):,} test images"]
    rows = np.flatnonzero(labels != expected)
    return [f"{len(rows):,} differ, the first in row {rows[0]}"] if len(rows) else []


def _facts(
    facts: Mapping[str, Any],
    settings: Settings,
    dataset: Dataset,
    loaded: checkpoint.Loaded,
    met: Mapping[str, Any],
) -> list[str]:
    store = loaded.model.store
    again = {
        "seed": settings.seed,
        "dtype": settings.dtype,
        "backend": settings.backend,
        "command": settings.command,
        "notice": dataset.notice,
        "leakage": met if _is_known(facts.get("leakage")) and _is_known(met) else facts.get("leakage"),
        "parameters": store.count + store.state_count,
        "weights_sha256": checkpoint.weights_sha256(loaded.model),
        **origin(settings),
    }
    faults = list(differences({key: facts.get(key) for key in again}, again, "facts"))
    data = facts.get("data") or {}
    return faults + list(
        differences(
            {key: data.get(key) for key in ("name", "hash")},
            {"name": dataset.name, "hash": dataset.sha256},
            "facts.data",
        )
    )


def _is_known(leakage: Any) -> bool:
    """Whether the data of all ancestors were at hand; they need not be for the report and its audit alike."""
    return not (isinstance(leakage, Mapping) and leakage.get("unknown"))


def _judge_predictions(found: Array, predicted: Array, confidence: Array) -> list[str]:
    """Whether the recorded classes are the most probable ones, with the recorded probability."""
    if len(found) != len(predicted):
        return [f"{counted(len(predicted), 'row')} for {len(found):,} test images"]
    own = found[np.arange(len(found)), predicted.clip(0, found.shape[1] - 1)]
    off = np.maximum(abs(own - confidence), found.max(axis=1) - own) > TOLERANCE
    rows = np.flatnonzero(off)
    if not len(rows):
        return []
    first = rows[0]
    return [
        f"{len(rows):,} of {len(found):,} differ; the first, row {first}: class {predicted[first]} at "
        f"{confidence[first]:.4f} is recorded, {found[first].argmax()} at {found[first].max():.4f} follows"
    ]


def _judge_weights(
    file: Path,
    settings: Settings,
    held_out: Split,
    record: Mapping[str, Any] | None,
    backend: str | Backend | None,
) -> list[str]:
    """Whether the model in `file` has, on the validation images, the figures of an epoch's record."""
    if record is None or "val_loss" not in record:
        return ["the log has no epoch with figures of the validation images"]
    model, _, _ = checkpoint.load_model(file, backend=backend or settings.backend)
    samples = (held_out.images, held_out.labels)
    plan = replace(settings.recipe.training, class_weight=None)  # which count in training alone
    trainer = build_trainer(plan, model, samples, validation=samples)
    assert trainer.validation is not None
    slack = {"loss": TOLERANCE, "accuracy": MAX_FLIPS / len(held_out)}
    found = trainer.evaluate(trainer.validation)
    recorded = {name: record.get(f"val_{name}", math.nan) for name in found}
    return [
        f"val_{name}: {recorded[name]:.6f} in epoch {record['epoch']} of the log, {value:.6f} follows"
        for name, value in found.items()
        if not math.isclose(value, recorded[name], rel_tol=1e-4, abs_tol=slack[name])
    ]
