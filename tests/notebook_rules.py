"""What must hold of a notebook of the course. Each rule gives the faults that it finds, as sentences."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator
from html.parser import HTMLParser
from typing import Any, TypeAlias

Cell: TypeAlias = Any
"""A cell as JSON, its source one text."""

NUMBER = re.compile(r"(?<![\w.])[-+−]?\d+(?:,\d{3})*(?:\.\d+)?(?:e[-+]?\d+)?", re.IGNORECASE)
RESULT = re.compile(r"(?<![\w.])(?:\d+(?:,\d{3})*\.\d+|\d+(?:,\d{3})*(?=\s*\\?%|\\,\\?%))(?![\d.]*\w)")
"""A decimal number or a percentage: in prose, most often what a program gave."""
TINY = 1e-6
"""Below it a number is rounding noise: so are the errors of a gradient check."""
RELATIVE = 0.02
SHORTEST_ALT = 15
"""Characters of a text that says what one sees."""


def text_of(cell: Cell) -> str:
    """What a cell of code has printed and shown, as text; not what went to standard error."""
    shown = []
    for output in cell.get("outputs", []):
        if output["output_type"] == "stream" and output["name"] == "stdout":
            shown.append(output["text"])
        elif output["output_type"] in ("display_data", "execute_result"):
            shown.append(output["data"].get("text/plain", ""))
    return "\n".join("".join(each) for each in shown)


def tags(cell: Cell) -> list[str]:
    found: list[str] = cell["metadata"].get("tags", [])
    return found


def code(cells: Collection[Cell]) -> list[Cell]:
    return [cell for cell in cells if cell["cell_type"] == "code"]


def numbers(text: str) -> list[str]:
    return NUMBER.findall(text)


def value(number: str) -> float:
    return float(number.replace(",", "").replace("−", "-"))


def is_close(stored: str, found: str) -> bool:
    """Whether two printed numbers agree within 2 %, and one unit of the last decimal that is printed."""
    a, b = value(stored), value(found)
    if max(abs(a), abs(b)) <= TINY:
        return True
    decimals = stored.lower().partition("e")[0].partition(".")[2]
    exponent = int(stored.lower().partition("e")[2] or 0)
    unit = 10.0 ** (exponent - len(decimals)) if decimals else 0.0
    return abs(a - b) <= RELATIVE * max(abs(a), abs(b)) + 1.001 * unit


def changed_numbers(stored: Collection[Cell], found: Collection[Cell]) -> Iterator[str]:
    """Where a fresh run prints other numbers than those that are stored; cells tagged `timing` may."""
    for number, (before, after) in enumerate(zip(code(stored), code(found), strict=True), 1):
        if "timing" in tags(before):
            continue
        a, b = numbers(text_of(before)), numbers(text_of(after))
        if len(a) != len(b):
            yield f"code cell {number} prints {len(b)} numbers, {len(a)} are stored"
        else:
            pairs = [f"{x} is now {y}" for x, y in zip(a, b, strict=True) if not is_close(x, y)]
            yield from (f"code cell {number}: {pair}" for pair in pairs)


def stored_wrongly(cells: Collection[Cell]) -> Iterator[str]:
    """A reader sees what comes out without running it: every cell was run, in order, and none failed."""
    counts = [cell["execution_count"] for cell in code(cells)]
    if counts != list(range(1, len(counts) + 1)):
        yield f"the cells were not run once, in order: {counts}"
    outputs = [output["output_type"] for cell in code(cells) for output in cell["outputs"]]
    if not outputs:
        yield "nothing was printed"
    if "error" in outputs:
        yield "a cell has failed"


def wrong_exercises(cells: Collection[Cell], names: Collection[str]) -> Iterator[str]:
    """Exercises without a starter that fails and a folded solution that passes, and cells of no exercise."""
    tagged = {tag: position for position, cell in enumerate(cells) for tag in tags(cell) if ":" in tag}
    expected = {f"{kind}:{name}" for name in names for kind in ("exercise", "solution")}
    yield from (f"no cell is tagged {tag}" for tag in sorted(expected - tagged.keys()))
    yield from (f"there is no exercise for the tag {tag}" for tag in sorted(tagged.keys() - expected))
    ordered = list(cells)
    for name in sorted(names):
        start, end = (tagged.get(f"{kind}:{name}") for kind in ("exercise", "solution"))
        if start is None or end is None:
            continue
        function = name.partition(".")[2]
        said = "\n".join(map(text_of, code(ordered[start:end])))
        if not re.search(rf"^{re.escape(name)}: (?!right$)", said, re.MULTILINE):
            yield f"{name}: the starter does not fail its check; it says {said!r}"
        if re.search(rf"^{re.escape(name)}: right$", said, re.MULTILINE):
            yield f"{name}: the starter passes"
        solution = ordered[end]
        if not re.search(rf"^(def|class) {function}_solution\b", solution["source"], re.MULTILINE):
            yield f"{name}: the solution does not define {function}_solution"
        if not re.search(rf"^{re.escape(name)}: right$", text_of(solution), re.MULTILINE):
            yield f"{name}: the solution does not pass; it says {text_of(solution)!r}"
        if not solution["metadata"].get("jupyter", {}).get("source_hidden"):
            yield f"{name}: the solution is not folded away"


class _Pictures(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.alts: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.alts.append(dict(attributes).get("alt") or "")


def pictures_without_words(cells: Collection[Cell]) -> Iterator[str]:
    """Pictures without a text for those who do not see them: in outputs, and in the text between cells."""
    for number, cell in enumerate(cells, 1):
        html = [cell["source"]] if cell["cell_type"] == "markdown" else []
        alts = re.findall(r"!\[(.*?)\]\(", cell["source"]) if html else []
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            html.append("".join(data.get("text/html", "")))
            if any(kind.startswith("image/") for kind in data):
                yield f"cell {number}: a picture that is not shown by tinynet.learn.pictures.show"
        parser = _Pictures()
        parser.feed("\n".join(html))
        for alt in (*alts, *parser.alts):
            if len(alt) < SHORTEST_ALT:
                yield f"cell {number}: a picture whose text is {alt!r}"


def results_nobody_printed(cells: Collection[Cell]) -> Iterator[str]:
    """Decimal numbers and percentages in the text that no cell prints, and that are no setting in code."""
    printed = {value(each) for cell in code(cells) for each in numbers(text_of(cell))}
    settings = {value(each) for cell in code(cells) for each in numbers(cell["source"])}
    for number, cell in enumerate(cells, 1):
        if cell["cell_type"] != "markdown":
            continue
        prose = re.sub(r"\]\([^)]*\)|https?://\S+", " ", cell["source"])
        for found in RESULT.findall(prose):
            known = {value(found), value(found) / 100}
            if not any(math.isclose(a, b) for a in known for b in printed | settings):
                yield f"cell {number}: no cell prints the {found} in its text"
