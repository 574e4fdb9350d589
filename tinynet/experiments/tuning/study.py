"""The study that several processes share: where trials are kept, how they are drawn, which are pruned.

Trials lie in a journal, a file to which each process appends lines. An SQLite file would do for processes of
one machine, but its locks do not hold on network file systems; a journal under an exclusively created lock
file does both. It is JSON, not pickle.

Draw n comes from (seed, n), and each trial takes the first that no other has: processes that share a seed
draw different trials, and a random search is the same whoever does which part of it. A trial that was
interrupted or killed gives its draw back. What TPE learns depends on which trials are done by then: it
repeats exactly with one process at a time.
"""

from __future__ import annotations

import itertools
import json
import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import BasePruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from tinynet.errors import ConfigError, RunError, TinynetError
from tinynet.experiments.tuning.space import Range, Setting, Space
from tinynet.io import toml
from tinynet.io.lock import FolderLock
from tinynet.io.reading import parse_json, read_regular, reason
from tinynet.rng import Key, Stream, permutation, philox_bits

Table: TypeAlias = dict[str, Any]

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
LIVE = (*FINISHED, TrialState.RUNNING)
LARGEST_GRID = 10_000
PREFIX = "tinynet "
"""A study is named by this and what it searches, so that to create it says all in one step."""
MAX_BYTES = 2**28
"""Of a journal; ours have 2,000 for each trial."""
PATIENCE = 10.0
"""Seconds to wait for a lock, which a process holds for milliseconds."""
NAMELESS = 2.0
"""Seconds after which a lock without its owner's name is one that a killed process left."""
DRAW = "draw"
"""The name under which a trial says which draw of the seed it is."""


def open_study(file: Path, about: Table, sampler: BaseSampler, pruner: BasePruner) -> Study:
    """The study in the journal `file`, or a new one. `about` describes the search in plain values.

    Trials that processes of this machine left behind when they were killed are closed. Raises RunError for a
    file that holds another search or no study at all, or is locked for longer than `PATIENCE`.
    """
    file = file.resolve()
    file.parent.mkdir(parents=True, exist_ok=True)
    _check_kind(file)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    name = PREFIX + json.dumps(about, sort_keys=True)
    try:
        storage = JournalStorage(JournalFileBackend(str(file), lock_obj=Lock(file)))
        _check_first(file, storage, about)
        study = optuna.create_study(
            storage=storage,
            study_name=name,
            sampler=sampler,
            pruner=pruner,
            direction="maximize",
            load_if_exists=True,
        )
        _check_first(file, storage, about)  # another process may have been quicker
        _close_orphans(study)
    except TinynetError:
        raise
    except Exception as error:  # Optuna does not say what it raises for a damaged file
        raise _no_study(file, repr(error)[:200]) from error
    return study


def _check_first(file: Path, storage: JournalStorage, about: Table) -> None:
    """A journal belongs to the study that came first."""
    for name in optuna.get_all_study_names(storage)[:1]:
        if not name.startswith(PREFIX):
            raise ValueError(f"a study called {name!r}")
        found = parse_json(name.removeprefix(PREFIX))
        if not isinstance(found, dict):
            raise ValueError(f"a study called {name!r}")
        check_same(file, found, about)


def check_same(place: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raise RunError unless the search found in `place` is the one wanted."""
    different = [key for key in wanted if found.get(key) != wanted[key]]
    if different:
        raise RunError(
            f"{place} holds another search: not the same {', '.join(different)}",
            expected="; ".join(f"{key}: {_beyond(found.get(key), wanted[key])}" for key in different),
            received="; ".join(f"{key}: {_beyond(wanted[key], found.get(key))}" for key in different),
            fix="choose another --out or --storage, or repeat the command that this search began with",
        )


class Lock(JournalFileOpenLock):
    """A file beside the journal that only one process can create; it says which one.

    One that was left by a process of this machine that is dead is removed; a living one is never broken.
    """

    def __init__(self, journal: Path) -> None:
        super().__init__(str(journal))
        self.journal = journal
        self.file = journal.with_name(f"{journal.name}.lock")

    def acquire(self) -> bool:
        """Wait for the lock and take it. Raises RunError when `PATIENCE` is at its end."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                descriptor = os.open(self.file, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
            except FileExistsError as error:
                if self._is_stale():
                    self._break()
                elif time.monotonic() > deadline:
                    raise RunError(
                        "the storage is locked",
                        expected=f"a lock that is held for less than {PATIENCE:g} s",
                        received=f"{self.file}, there all that time",
                        fix="if no other search uses this storage, a killed one left it: delete that file",
                    ) from error
                time.sleep(0.005)
            else:
                os.write(descriptor, json.dumps(_this_process()).encode())
                os.close(descriptor)
                self._cut_unfinished_line()
                return True

    def release(self) -> None:
        """Let the next process in."""
        self.file.unlink(missing_ok=True)

    def _is_stale(self) -> bool:
        """Whether the process that made the file is dead. It writes its name at once, unless it dies then."""
        try:
            age = time.time() - self.file.stat().st_mtime
            host, pid = json.loads(self.file.read_bytes() or b"[null, null]")
        except (OSError, ValueError, TypeError):
            return False  # it is gone, or being written
        if host is None:
            return age > NAMELESS
        return host == platform.node() and isinstance(pid, int) and not _is_another_process(pid)

    def _break(self) -> None:
        """Remove a stale file. Processes that find it stale at once take turns: the next one is a new one."""
        with FolderLock(self.file.parent, wait=PATIENCE):
            if self._is_stale():
                self.file.unlink(missing_ok=True)

    def _cut_unfinished_line(self) -> None:
        """What a process that was killed while it wrote has left at the end."""
        with open(self.journal, "rb+") as journal:
            size = journal.seek(0, os.SEEK_END)
            journal.seek(max(0, size - 1))
            if journal.read(1) not in (b"", b"\n"):
                journal.seek(0)
                journal.truncate(journal.read().rfind(b"\n") + 1)


def make_pruner(name: str, epochs: int) -> BasePruner:
    """median: worse than half of the trials at that epoch; halving: not in the best third at 1, 3, 9, …"""
    if name == "median":
        return MedianPruner(n_startup_trials=5, n_warmup_steps=max(1, epochs // 5))
    if name == "halving":
        return SuccessiveHalvingPruner(min_resource=1, reduction_factor=3)
    return NopPruner()


class Sampler(BaseSampler):
    """Draws trials from (seed, n): at random, by a tree-structured Parzen estimator, or from the grid."""

    def __init__(self, name: str, space: Space, seed: int) -> None:
        self.name, self.space, self.seed = name, space, seed
        self.drawn: Table = {}
        self.inner: BaseSampler = RandomSampler()
        if name == "grid":
            self._check_grid()

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Make ready for this trial alone."""
        draw = draws(study)[trial.number]
        if self.name == "grid":
            self.drawn = self.space.combination(self._place(study, draw))
        kind = TPESampler if self.name == "tpe" else RandomSampler
        self.inner = kind(seed=int(philox_bits(Key(self.seed, Stream.SEARCH, step=draw), 1)[0]))

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self.inner.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> Table:
        return self.inner.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        if param_name in self.drawn:
            return self.drawn[param_name]
        return self.inner.sample_independent(study, trial, param_name, param_distribution)

    def _place(self, study: Study, number: int) -> int:
        """Place n of the grid, in an order that the seed gives; once all had a turn, one that failed."""
        order = permutation(Key(self.seed, Stream.SEARCH), self.space.combinations()).tolist()
        tried = {tuple(t.params.values()) for t in study.get_trials(deepcopy=False, states=LIVE)}

        def is_free(place: int) -> bool:
            return tuple(self.space.combination(place).values()) not in tried

        if number < len(order) and is_free(order[number]):
            return int(order[number])
        left = [place for place in order if is_free(place)] or order
        return int(left[number % len(left)])

    def _check_grid(self) -> None:
        if (size := self.space.combinations()) > LARGEST_GRID:
            raise ConfigError(
                "this grid is too large",
                expected=f"at most {LARGEST_GRID:,} combinations",
                received=f"{size:,}",
                fix="fewer settings, shorter lists, fewer points in a range, or --sampler random",
            )


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """The space in the words of Optuna."""
    return {path: _distribution(setting) for path, setting in space.settings.items()}


def _distribution(setting: Setting) -> BaseDistribution:
    if not isinstance(setting, Range):
        return CategoricalDistribution(setting.labels)
    if setting.whole:
        return IntDistribution(int(setting.low), int(setting.high), log=setting.log)
    return FloatDistribution(setting.low, setting.high, log=setting.log)


def draws(study: Study) -> dict[int, int]:
    """Which draw each trial is, by its number in the study; trials that failed have none."""
    found: dict[int, int] = {}
    for trial in sorted(study.get_trials(deepcopy=False, states=LIVE), key=lambda trial: trial.number):
        known = trial.user_attrs.get(DRAW)
        if not isinstance(known, int):  # of a process that has not signed yet
            known = next(n for n in itertools.count() if n not in found.values())
        found[trial.number] = known
    return found


def draw_of(trial: FrozenTrial | optuna.Trial) -> int:
    """Which draw a trial is that was signed."""
    known = trial.user_attrs.get(DRAW)
    return known if isinstance(known, int) else trial.number


def begin(study: Study, space: Space) -> optuna.Trial:
    """A new trial, with its settings; it says which draw it is, and which process trains it.

    It says the latter before it is under way, so that a process killed here leaves no trial of nobody's.
    """
    if not study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        study.enqueue_trial({}, user_attrs={"process": _this_process()})
    trial = study.ask(distributions(space))
    trial.set_user_attr("process", _this_process())
    trial.set_user_attr(DRAW, draws(study)[trial.number])
    return trial


def _this_process() -> list[Any]:
    return [platform.node(), os.getpid()]


def _close_orphans(study: Study) -> None:
    """Mark as failed what a process of this machine was training when it died."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        host, pid = trial.user_attrs.get("process", (None, None))
        if host == platform.node() and not _is_another_process(pid):
            study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)


def _is_another_process(pid: int) -> bool:
    """Whether a process with this number, not ours, is there."""
    if pid == os.getpid():
        return False
    if os.name == "nt":
        return True  # there is no harmless way to ask
    try:
        os.kill(pid, 0)
    except OSError as error:
        return not isinstance(error, ProcessLookupError)  # no permission: the process exists
    return True


def _check_kind(file: Path) -> None:
    """Refuse what is no journal before anything is added to it. That it is damaged shows here, too."""
    try:
        lines = read_regular(file, MAX_BYTES).split(b"\n")
    except FileNotFoundError:
        return
    except OSError as error:
        raise _no_study(file, reason(error)) from error
    whole = lines if len(lines) == 1 else lines[:-1]  # the last one may be cut short, but not the only one
    for number, text in enumerate(whole if any(lines) else lines[:-1], start=1):
        try:
            line = parse_json(text.decode("utf-8"))
        except ValueError as error:
            raise _no_study(file, f"other content in line {number}") from error
        if not isinstance(line, dict) or not isinstance(line.get("op_code"), int):
            raise _no_study(file, f"other content in line {number}")


def _no_study(file: Path, received: str) -> RunError:
    return RunError(
        f"{file} is not the storage of a search, or is damaged",
        expected="a journal that `tinynet tune` wrote",
        received=received,
        fix="choose another --storage, or delete the file to start over",
    )


def _beyond(value: Any, other: Any) -> str:
    """What stands in one description and not in the other, line by line."""
    known = _lines(other)
    return ", ".join(line for line in _lines(value) if line not in known) or "nothing more"


def _lines(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [f"{name} = {toml.inline(each)}" for name, each in value.items()]
    return [line.strip().rstrip(",") for line in str(value).splitlines()]
