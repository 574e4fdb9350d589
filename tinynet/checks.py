"""The numbers that people give: the one place where they are checked and turned into Python's own.

NumPy's scalars are welcome, since they come out of computations: `Dense(y.max() + 1)`. NaN, infinities and
booleans are not.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from dataclasses import fields
from typing import Any, ClassVar

import numpy as np

from tinynet.errors import ConfigError, DataError

_changes = 0


def as_array(values: Any, what: str) -> Any:
    """`values` as an array: lists, data frames and tensors as NumPy views them; as they are arrays, and what
    lies on another device. DataError for anything else, and for texts and objects."""
    if isinstance(values, np.ndarray) or str(getattr(values, "device", "cpu")) != "cpu":
        return values
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:  # rows of different lengths; a tensor of a GPU
        raise DataError(
            f"these {what} are no array of numbers",
            expected="what numpy.asarray takes: an array, a list, a data frame, a tensor on the CPU",
            received=" ".join(str(error).split())[:200],
        ) from error
    if array.dtype.kind not in "fiub":
        raise DataError(
            f"these {what} are no numbers",
            expected="numbers; class names as numbers: numpy.unique(names, return_inverse=True)",
            received=f"{type(values).__name__} of {array.dtype}",
        )
    return array


def whole(value: Any, owner: str, setting: str, *, least: int | None = None, most: int | None = None) -> int:
    """`value` as an int from `least` to `most`; ConfigError for anything else."""
    if type(value) is int or _is_a(numbers.Integral, value):  # the first is asked at every prediction
        number = int(value)
        if (least is None or number >= least) and (most is None or number <= most):
            return number
    limits = "" if least is None else f" of at least {least}"
    limits += "" if most is None else f" and at most {most}"
    raise refusal(value, owner, setting, f"a whole number{limits}")


def real(
    value: Any,
    owner: str,
    setting: str,
    *,
    least: float | None = None,
    above: float | None = None,
    below: float | None = None,
    most: float | None = None,
) -> float:
    """`value` as a finite float or int within these limits; ConfigError for anything else."""
    if _is_a(numbers.Real, value) and _is_finite(value):
        number = int(value) if isinstance(value, numbers.Integral) else float(value)
        if (
            (least is None or number >= least)
            and (above is None or number > above)
            and (below is None or number < below)
            and (most is None or number <= most)
        ):
            return number
    limits = _limits(least=least, above=above, below=below, most=most)
    raise refusal(value, owner, setting, "a finite number" + limits)


def sizes(value: object, owner: str, setting: str) -> tuple[int, ...]:
    """`value`, a list, tuple or array of whole numbers, as a tuple of ints; ConfigError for anything else."""
    if isinstance(value, list | tuple | np.ndarray):
        return tuple(whole(each, owner, setting) for each in value)
    raise refusal(value, owner, setting, "a tuple of whole numbers, such as (28, 28, 1)")


def yes_or_no(value: object, owner: str, setting: str) -> bool:
    """`value` as a bool; ConfigError for anything but True and False."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    raise refusal(value, owner, setting, "True or False")


def refusal(value: object, owner: str, setting: str, expected: str) -> ConfigError:
    """The error that says that `owner` cannot use this value for a setting."""
    return ConfigError(
        f"{owner} cannot use this value for {setting}", expected=expected, received=f"{setting}={value!r}"
    )


def _is_a(kind: type, value: object) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)  # to Python, True is the number 1


def _is_finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond all floats
        return False


def _limits(
    least: float | None = None,
    above: float | None = None,
    below: float | None = None,
    most: float | None = None,
) -> str:
    low = f"[{least}" if above is None else f"({above}"
    if below is not None:
        return f" in {low}, {below})"
    if most is not None:
        return f" in {low}, {most}]"
    if above is not None:
        return f" above {above}"
    return "" if least is None else f", {least} or more"


def changes() -> int:
    """How often in this process a setting was changed that a recorded step may have been made with."""
    return _changes


class Checked:
    """A dataclass that checks its settings when it is made, and again whenever one of them is changed."""

    handed_over: ClassVar[tuple[str, ...]] = ()
    """Settings that every step is given anew, so that a change makes no recording of a step wrong."""
    is_fixed: bool = False
    """Whether no setting can be changed any more."""

    def __post_init__(self) -> None:
        self.check_settings()
        names = frozenset(field.name for field in fields(self) if field.init)  # type: ignore[arg-type]
        object.__setattr__(self, "_settings", names)

    def check_settings(self) -> None:
        """Turn every setting into a plain Python value; raise ConfigError for one that will not do."""

    def settle(self, setting: str, check: Callable[..., Any], *arguments: Any, **limits: Any) -> None:
        """Replace a setting by what `check` of this module, with its limits, makes of it."""
        value = check(getattr(self, setting), type(self).__name__, setting, *arguments, **limits)
        object.__setattr__(self, setting, value)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self.__dict__.get("_settings", ()):
            object.__setattr__(self, name, value)
            return
        if self.is_fixed:
            raise ConfigError(
                f"{type(self).__name__} is part of a model: its {name} cannot change any more",
                expected=repr(getattr(self, name)),
                received=repr(value),
                fix="build another model",
            )
        before = getattr(self, name)
        object.__setattr__(self, name, value)
        try:
            self.check_settings()
        except ConfigError:
            object.__setattr__(self, name, before)
            raise
        if name not in self.handed_over:
            global _changes
            _changes += 1
