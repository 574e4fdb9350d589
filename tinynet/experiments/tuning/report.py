"""What a search leaves: the best recipe as a file to train, a table of the best trials, and two plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from tinynet import machine, metrics, plots
from tinynet.errors import RunError
from tinynet.experiments.tuning import study as studies
from tinynet.experiments.tuning.search import WHY, Search, best
from tinynet.experiments.tuning.space import Choices
from tinynet.io import toml
from tinynet.io.atomic import write_atomic
from tinynet.io.lock import is_free, one_at_a_time
from tinynet.io.markdown import (
    duration,
    markdown_table,
    percent,
    plain,
    run_section,
    warning,
    write_json,
    write_page,
)
from tinynet.io.reading import read_json
from tinynet.runs import recipe
from tinynet.runs.report import MAX_BYTES

REPORT = "report.json"
JOURNAL = "study.journal"
SHOWN = 10
"""Trials in the table of the best."""


def check_folder(folder: Path, about: Mapping[str, Any]) -> None:
    """Raise RunError unless `folder` is new, empty, or holds the same search already."""
    try:
        if is_free(folder):
            return
        written = folder / REPORT
        found = read_json(written, MAX_BYTES) if written.exists() else {}
    except OSError as error:
        raise RunError(
            f"the folder {folder} cannot be used: {error.strerror}", fix="choose another --out"
        ) from error
    except ValueError:
        found = {}
    if isinstance(found, dict) and isinstance(found.get("search"), dict):
        studies.check_same(folder, found["search"], about)
    elif not (folder / JOURNAL).exists():
        raise RunError(f"the folder {folder} is not empty", fix="choose another --out")


@one_at_a_time
def write(folder: Path, name: str, search: Search, study: Study, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Write NAME-tuned.toml, report.md, report.json and two plots into `folder`; return what the JSON holds.

    `facts` are the caller's: `command`, `train` (the command that trains the recipe), `own_epochs` (of the
    recipe before the search, in words), `dataset`, `notice`, `sampler`, `pruner`, `threads`. Each file is
    written whole or not at all. Raises RunError while no trial was trained to its end.
    """
    chosen = best(study)
    count, validated_by = search.plan.training.cut(len(search.train))
    found = study.get_trials(deepcopy=False)
    report: dict[str, Any] = plain(
        {
            "search": search.about(),
            "best": row(search, chosen),
            "interval": metrics.wilson_interval(round((chosen.value or 0.0) * validated_by), validated_by),
            "trained_on": count,
            "validated_by": validated_by,
            "recipe_file": recipe_file(name),
            "states": {state.name.lower(): sum(t.state == state for t in found) for state in TrialState},
            "trials": [row(search, t) for t in found if t.state in studies.FINISHED],
            "facts": facts,
            "machine": machine.facts(),
            "versions": {**machine.versions(), "optuna": optuna.__version__},
        }
    )
    write_json(folder / REPORT, report)  # first: it says whose folder this is
    write_atomic(
        folder / report["recipe_file"], _recipe_file(search, chosen, report).encode(errors="backslashreplace")
    )
    _draw(folder, search, report["trials"], validated_by)
    write_page(folder / "report.md", _blocks(report))
    return report


def recipe_file(name: str) -> str:
    """The name of the file with the best recipe."""
    return f"{name}-tuned.toml"


def row(search: Search, trial: FrozenTrial) -> dict[str, Any]:
    """The facts of a trial. A pruned one's accuracy is that of its last epoch, None if it had none."""
    epochs = trial.intermediate_values
    last = epochs[max(epochs)] if epochs else None
    return {
        "number": studies.draw_of(trial),
        "state": trial.state.name.lower(),
        "accuracy": trial.value if trial.state == TrialState.COMPLETE else last,
        "settings": search.space.values(trial.params),
        "epochs": [epochs[epoch] for epoch in sorted(epochs)],
        "seconds": trial.duration.total_seconds() if trial.duration else None,
        "why": trial.user_attrs.get(WHY),
    }


def ranked(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The trials that were trained to their end, best first, and of equal ones the earlier."""
    done = [trial for trial in report["trials"] if trial["state"] == "complete"]
    return sorted(done, key=lambda trial: (-trial["accuracy"], trial["number"]))


def columns(report: Mapping[str, Any]) -> tuple[str, ...]:
    """The head of the table of trials: settings by the last parts of their paths."""
    return ("trial", "validation accuracy", "time", *map(short, report["best"]["settings"]))


def cells(trial: Mapping[str, Any]) -> tuple[str, ...]:
    """A row of that table."""
    figures = (str(trial["number"]), percent(trial["accuracy"]), duration(trial["seconds"]))
    return (*figures, *map(shown, trial["settings"].values()))


def short(path: str) -> str:
    """The name of a setting; of a layer's, the whole path."""
    return path if path.startswith("layers.") else path.rpartition(".")[2].replace("_", " ")


def shown(value: Any) -> str:
    """A setting in a table or a plot: of a table its type, and what else it says."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping) and "type" in value:
        rest = [f"{name} {shown(each)}" for name, each in value.items() if name != "type"]
        return ", ".join([value["type"], *rest])
    return value if isinstance(value, str) else toml.inline(value)


def _draw(folder: Path, search: Search, trials: Sequence[Mapping[str, Any]], samples: int) -> None:
    drawn = [trial for trial in trials if trial["accuracy"] is not None]
    accuracy = [trial["accuracy"] for trial in drawn]
    complete = [trial["state"] == "complete" for trial in drawn]
    numbers = [trial["number"] for trial in drawn]
    plots.search_history(numbers, accuracy, complete, folder / "history.png", samples=samples)
    settings, choices, log = {}, {}, []
    for path, setting in search.space.settings.items():
        values, name = [trial["settings"][path] for trial in drawn], short(path)
        if isinstance(setting, Choices):
            settings[name] = [setting.labels.index(toml.inline(value)) for value in values]
            choices[name] = list(map(shown, setting.values))
        else:
            settings[name] = values
            log += [name] if setting.log else []
    file = folder / "settings.png"
    plots.search_settings(settings, accuracy, complete, file, samples=samples, log=log, choices=choices)


def _recipe_file(search: Search, trial: FrozenTrial, report: Mapping[str, Any]) -> str:
    return (
        f"# Trial {studies.draw_of(trial)} of {len(report['trials'])}: {percent(trial.value)} of"
        f" {report['validated_by']:,} validation images right, trained on {report['trained_on']:,}"
        f" with seed {search.seed}.\n"
        f"# The epochs are those of each trial; the recipe that was searched has"
        f" {report['facts']['own_epochs']}.\n" + recipe.to_toml(search.recipe_of(trial))
    )


def _blocks(report: Mapping[str, Any]) -> list[str]:
    """The page, block by block."""
    chosen, states, facts = report["best"], report["states"], report["facts"]
    low, high = report["interval"]
    done = ranked(report)
    return [
        f"# Best of {len(report['trials'])} trials: {percent(chosen['accuracy'])}",
        *warning(facts.get("notice")),
        f"Trial {chosen['number']}, by {report['validated_by']:,} validation images; trained on"
        f" {report['trained_on']:,} others, both from the training set. Test images were not used. The 95 %"
        f" interval (Wilson) is {percent(low)} to {percent(high)}: differences within it are not significant."
        " The best of many trials scores a little higher here than it will on new images.",
        f"[{report['recipe_file']}]({report['recipe_file']}) is its recipe; train it with"
        f" `{facts['train']}`.",
        "![History](history.png)",
        "![Settings](settings.png)",
        f"## The best {min(SHOWN, len(done))}",
        markdown_table(columns(report), [cells(trial) for trial in done[:SHOWN]]),
        *run_section(
            [
                ("trained to the end", states["complete"]),
                ("pruned, or impossible", states["pruned"]),
                ("failed or interrupted", states["fail"]),
                ("under way elsewhere", states["running"]),
                *((key, facts.get(key)) for key in ("sampler", "pruner", "dataset")),
                ("hash of the data", report["search"]["data"]),
                ("seed", report["search"]["seed"]),
                ("threads", facts.get("threads")),
                ("backend", facts.get("backend")),
            ],
            report,
            heading="Search",
        ),
    ]
