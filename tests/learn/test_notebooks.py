"""Every notebook of the course runs, in order and offline, and shows what it says; the rules find faults."""

from __future__ import annotations

import copy
import json
import re
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import notebook_rules as rules
import pytest

from tinynet import extras
from tinynet.learn import progress
from tinynet.learn.ladder import RUNGS, Rung
from tinynet.learn.student import load
from tinynet.learn.verdict import judge

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SECONDS = 300.0
"""What a notebook may take."""
MAX_BYTES = 700_000

each_notebook = pytest.mark.parametrize("rung", RUNGS, ids=lambda rung: rung.notebook)


def cells_of(rung: Rung) -> list[Any]:
    cells: list[Any] = json.loads((EXAMPLES / rung.notebook).read_text("utf-8"))["cells"]
    return [{**cell, "source": "".join(cell["source"])} for cell in cells]


def run(cells: list[Any], folder: Path) -> list[Any]:
    """The cells after a run in a fresh kernel, in `folder`. Fails where a cell does, or after SECONDS."""
    nbclient = pytest.importorskip("nbclient", reason=extras.install("notebooks"))
    nbformat = pytest.importorskip("nbformat", reason=extras.install("notebooks"))
    fresh = [
        {**cell, "execution_count": None, "outputs": []} if cell["cell_type"] == "code" else cell
        for cell in copy.deepcopy(cells)
    ]
    notebook = nbformat.from_dict({"cells": fresh, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    end = time.monotonic() + SECONDS
    nbclient.NotebookClient(
        notebook,
        kernel_name="python3",
        timeout_func=lambda cell: max(1, round(end - time.monotonic())),
        resources={"metadata": {"path": str(folder)}},
    ).execute()
    ran: list[Any] = json.loads(json.dumps(notebook.cells))
    return ran


def faults_of(cells: list[Any], names: set[str]) -> list[str]:
    """What is wrong with a notebook as it is stored."""
    return [
        *rules.stored_wrongly(cells),
        *rules.wrong_exercises(cells, names),
        *rules.pictures_without_words(cells),
        *rules.results_nobody_printed(cells),
    ]


@each_notebook
def test_a_notebook_shows_the_results_of_one_run(rung: Rung) -> None:
    names = {each.name for each in rung.exercises()}
    assert names
    assert faults_of(cells_of(rung), names) == []
    assert (EXAMPLES / rung.notebook).stat().st_size <= MAX_BYTES


@each_notebook
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the Jupyter packages
def test_it_runs_offline_and_prints_those_numbers_again(
    rung: Rung, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")  # nobody listens: a download fails at once
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    stored = cells_of(rung)
    found = run(stored, tmp_path)
    assert list(rules.wrong_exercises(found, {each.name for each in rung.exercises()})) == []
    assert list(rules.changed_numbers(stored, found)) == []
    assert progress.right() == {}, "to run a folded solution is no progress"


@each_notebook
def test_the_command_line_finds_the_same_starters_and_solutions(rung: Rung, tmp_path: Path) -> None:
    """A student's copy, with the solutions written where the starters stand."""
    cells = cells_of(rung)
    by_tag = {tag: cell for cell in cells for tag in rules.tags(cell)}
    solved = tmp_path / rung.notebook
    for each in rung.exercises():
        assert not judge(each, partial(load, EXAMPLES / rung.notebook, each.function)).is_right
        solution = by_tag[f"solution:{each.name}"]["source"]
        mine = solution.replace(f"{each.function}_solution", each.function)
        by_tag[f"exercise:{each.name}"]["source"] = mine
    solved.write_text(json.dumps({"cells": cells}))
    for each in rung.exercises():
        verdict = judge(each, partial(load, solved, each.function))
        assert verdict.is_right, str(verdict)


def test_every_notebook_is_a_rung_and_has_tests_of_its_exercises() -> None:
    known = {rung.notebook for rung in RUNGS}
    assert {path.name for path in EXAMPLES.glob("*.ipynb")} == known
    tests = {path.name for path in Path(__file__).parent.glob("rungs/test_rung*.py")}
    assert {f"test_rung{rung.number:02}.py" for rung in RUNGS} <= tests


# --- the rules find faults ----------------------------------------------------------------------------------
def markdown(source: str) -> Any:
    return {"cell_type": "markdown", "metadata": {}, "source": source}


def code(source: str, printed: str = "", *tags: str, html: str = "", hidden: bool = False) -> Any:
    outputs: list[Any] = [{"output_type": "stream", "name": "stdout", "text": printed}] if printed else []
    if html:
        outputs.append({"output_type": "display_data", "metadata": {}, "data": {"text/html": html}})
    metadata = {"tags": list(tags), "jupyter": {"source_hidden": hidden}}
    return {"cell_type": "code", "metadata": metadata, "source": source, "outputs": outputs}


@pytest.fixture
def cells() -> list[Any]:
    """A notebook without a fault, of rung 0's `f`."""
    made = [
        markdown(
            "It is right in 97.5 % of cases, $97.5\\,\\%$, with a rate of 0.25. [More](a-1.5.html), 3 layers."
        ),
        code("rate = 0.25\nprint('…')", "97.5 % of 1,000\n"),
        code("def f(x):\n    raise NotImplementedError", "", "exercise:00.f"),
        code("check('00.f', f)", "00.f: not written yet. Write f.\n"),
        code("def f_solution(x):\n    return x", "00.f: right\n", "solution:00.f", hidden=True),
        code("show(figure)", html='<img src="data:," alt="A picture of a five, &quot;5&quot;">'),
        code("time()", "3.21 s\n", "timing"),
    ]
    for number, cell in enumerate(rules.code(made), 1):
        cell["execution_count"] = number
    return made


def test_a_notebook_without_a_fault(cells: list[Any]) -> None:
    assert faults_of(cells, {"00.f"}) == []


def edit(position: int, **changes: Any) -> Callable[[list[Any]], None]:
    return lambda cells: cells[position].update(changes)


def prints(position: int, text: str) -> Callable[[list[Any]], None]:
    return edit(position, outputs=[{"output_type": "stream", "name": "stdout", "text": text}])


FAULTS: dict[str, tuple[Callable[[list[Any]], Any], str]] = {
    "not run": (edit(1, execution_count=None), "not run once, in order"),
    "failed": (edit(6, outputs=[{"output_type": "error"}]), "a cell has failed"),
    "nothing": (lambda cells: [cell.update(outputs=[]) for cell in rules.code(cells)], "nothing was printed"),
    "no starter": (lambda cells: cells.pop(2), "no cell is tagged exercise:00.f"),
    "no solution": (lambda cells: cells.pop(4), "no cell is tagged solution:00.f"),
    "unknown": (lambda cells: cells[6]["metadata"].update(tags=["exercise:00.g"]), "no exercise for the tag"),
    "starter right": (prints(3, "00.f: right\n"), "00.f: the starter passes"),
    "starter silent": (prints(3, ""), "00.f: the starter does not fail its check"),
    "solution wrong": (prints(4, "00.f: y is wrong\n"), "00.f: the solution does not pass"),
    "solution named": (edit(4, source="def f(x):\n    return x"), "does not define f_solution"),
    "open solution": (edit(4, metadata={"tags": ["solution:00.f"]}), "00.f: the solution is not folded away"),
    "no alt": (
        lambda cells: cells[5]["outputs"][0]["data"].update({"text/html": "<img src='data:,'>"}),
        "cell 6: a picture whose text is ''",
    ),
    "no alt in text": (edit(0, source="![](a.png)"), "cell 1: a picture whose text is ''"),
    "bare picture": (
        lambda cells: cells[5]["outputs"][0]["data"].update({"image/png": "…"}),
        "cell 6: a picture that is not shown by",
    ),
    "percentage": (edit(0, source="It is right in 98 % of cases."), "cell 1: no cell prints the 98 in"),
    "decimal": (edit(0, source="The loss is $0.31$."), "cell 1: no cell prints the 0.31 in its text"),
    "in LaTeX": (edit(0, source="About $98\\,\\%$."), "cell 1: no cell prints the 98 in its text"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found(cells: list[Any], name: str) -> None:
    plant, says = FAULTS[name]
    plant(cells)
    assert any(says in fault for fault in faults_of(cells, {"00.f"})), faults_of(cells, {"00.f"})


@pytest.mark.parametrize(
    ("stored", "found", "same"),
    [
        ("97.5 % of 1,000", "97.4 % of 1,000", True),
        ("97.5 %", "91.5 %", False),
        ("0.6", "0.7", True),
        ("0.6", "0.8", False),
        ("error 2.1e-10", "error 8.7e-09", True),
        ("error 2.1e-10", "error 8.7e-03", False),
        ("1.2e+03", "1.3e+03", True),
        ("(3, 4)", "(3, 5)", False),
        ("1,000 rows", "1,100 rows", False),
        ("-1.5", "1.5", False),
        ("1 2", "1", False),
    ],
)
def test_numbers_are_compared_within_tolerance(cells: list[Any], stored: str, found: str, same: bool) -> None:
    now = copy.deepcopy(cells)
    prints(1, stored)(cells)
    prints(1, found)(now)
    assert (list(rules.changed_numbers(cells, now)) == []) == same


def test_times_are_not_compared(cells: list[Any]) -> None:
    now = copy.deepcopy(cells)
    prints(6, "99.9 s")(now)
    assert list(rules.changed_numbers(cells, now)) == []


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_run_prints_anew_in_order_and_stops_where_a_cell_fails(tmp_path: Path) -> None:
    made = [code("n = 6"), code("print(7 * n)", "41\n"), markdown("done")]
    [fault] = rules.changed_numbers(made, run(made, tmp_path))
    assert fault == "code cell 2: 41 is now 42"
    with pytest.raises(Exception, match="ZeroDivisionError"):
        run([code("1 / 0")], tmp_path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_students_endless_loop_is_stopped_in_a_real_notebook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = (
        "from tinynet.learn.exercise import Exercise\n"
        "from tinynet.learn.verdict import judge\n"
        "def f(x):\n"
        "    while True: pass\n"
        "print(judge(Exercise('00.f', 'Write f.', lambda f: f(1)), lambda: f, seconds=0.5))"
    )
    said = rules.text_of(run([code(cell)], tmp_path)[0])
    assert re.match(r"00\.f: it did not end within 0\.5 seconds\n", said)
    assert "in line 4 of the cell: while True: pass" in said
