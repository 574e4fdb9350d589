"""Where in one block of memory each value lies, so that the block is small."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tinynet.export.steps import IN_PLACE, Step, Value


@dataclass(eq=False)
class Place:
    """Numbers that are needed from one step to another, both included, and where they lie."""

    size: int
    first: int
    last: int
    offset: int = 0

    def meets(self, other: Place) -> bool:
        """Whether both are needed at one time."""
        return self.first <= other.last and other.first <= self.last


def arranged(steps: Sequence[Step], given: Value, taken: Value | None = None) -> tuple[dict[Value, int], int]:
    """The offset of each step's value, and the size of the block, in numbers.

    What the net is given lies elsewhere, and so does what is taken from it if that is named.

    The largest come first, each where the first gap is. (Pisarchyk & Lee: "Efficient memory management for
    deep neural net inference", 2020: greedy by size.)
    """
    places = _places([step for step in steps if step.output is not taken], given, _last_uses(steps))
    done: list[Place] = []
    for place in sorted(dict.fromkeys(places.values()), key=lambda each: -each.size):
        place.offset = _first_gap(place, [other for other in done if place.meets(other)])
        done.append(place)
    size = max(place.offset + place.size for place in done)
    return {value: place.offset for value, place in places.items()}, size


def _first_gap(place: Place, others: Sequence[Place]) -> int:
    offset = 0
    for other in sorted(others, key=lambda each: each.offset):
        if offset + place.size <= other.offset:
            break
        offset = max(offset, other.offset + other.size)
    return offset


def _places(steps: Sequence[Step], given: Value, uses: Iterator[tuple[Value, int]]) -> dict[Value, Place]:
    """A place for each value; one for two of them where a step writes over what it reads."""
    needed = dict(uses)
    places: dict[Value, Place] = {}
    for number, step in enumerate(steps):
        x, y = step.inputs[0], step.output
        last = needed.get(y, len(steps))
        if step.kind in IN_PLACE and x is not given and needed[x] == number:
            places[y] = places[x]
            places[y].last = last
        else:
            places[y] = Place(y.size, number, last)
    return places


def _last_uses(steps: Sequence[Step]) -> Iterator[tuple[Value, int]]:
    for number, step in enumerate(steps):
        for value in step.inputs:
            yield value, number
