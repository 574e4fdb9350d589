"""learn.student: of a student's file, what the function needs is run, and nothing else."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import pytest

from tinynet.learn.exercise import Wrong
from tinynet.learn.student import load


def notebook(folder: Path, *cells: str) -> Path:
    path = folder / "mine.ipynb"
    made = [{"cell_type": "markdown", "source": "# text"}]
    made += [{"cell_type": "code", "source": textwrap.dedent(cell)} for cell in cells]
    path.write_text(json.dumps({"cells": made}))
    return path


def result(folder: Path, *cells: str) -> Any:
    """What f() returns, of a notebook with these cells."""
    return load(notebook(folder, *cells), "f")()


def test_imports_constants_and_other_functions_are_there(tmp_path: Path) -> None:
    cells = (
        "import math as m\nN: int = 3",
        "def g(x):\n    return x * N\n",
        "def f():\n    return g(m.floor(2.5))",
    )
    assert result(tmp_path, *cells) == 6


def test_nothing_else_is_run(tmp_path: Path) -> None:
    """Neither a training, nor a variable of the notebook that the function has as a local one."""
    assert result(
        tmp_path,
        "1 / 0",
        "x = 1 / 0",
        "check('00.f', f)",
        "def f():\n    x = [y for y in (1, 2)]\n    return x",
        "y = 1 / 0",
        "f = f_solution",
    ) == [1, 2]


def test_the_last_definition_counts_and_a_variable_of_its_name_does_not(tmp_path: Path) -> None:
    cells = (
        "def f():\n    return 1",
        "def f():\n    return 2",
        "def f_solution():\n    return 3",
        "f = f_solution",
    )
    assert result(tmp_path, *cells) == 2


def test_a_mistake_that_the_notebook_shows_below_the_solution_is_not_the_students(tmp_path: Path) -> None:
    cells = [f"def {name}():\n    return {n}" for n, name in enumerate(("f", "f", "f_solution", "f"), 1)]
    path = notebook(tmp_path, *cells)
    assert load(path, "f")() == 4
    made = json.loads(path.read_text())
    made["cells"][3]["metadata"] = {"tags": ["solution:00.f", 5]}
    path.write_text(json.dumps(made))
    assert load(path, "f")() == 2


def test_a_lambda_is_taken_where_there_is_no_def(tmp_path: Path) -> None:
    assert result(tmp_path, "f = lambda: 7") == 7


def test_a_recursive_function_and_a_class(tmp_path: Path) -> None:
    assert result(tmp_path, "def f(n=3):\n    return n and n + f(n - 1)") == 6
    cells = (
        "from __future__ import annotations\nfrom dataclasses import dataclass",
        "@dataclass\nclass A:\n    n: int = 5\n    def half(self):\n        return self.n / TWO",
        "TWO = 2",
        "def f():\n    return A().half()",
    )
    assert result(tmp_path, *cells) == 2.5


def test_a_table_that_is_filled_later_and_a_star_import(tmp_path: Path) -> None:
    assert result(tmp_path, "table = {}", "table['a'] = 4", "def f():\n    return table['a']") == 4
    assert result(tmp_path, "from math import *", "def f():\n    return sqrt(9)") == 3.0


def test_commands_of_the_notebook_itself_are_passed_over(tmp_path: Path) -> None:
    cell = "%matplotlib inline\n!pip list\nn = 4\n"
    assert result(tmp_path, cell, "def f():\n    return n % 3") == 1


def test_a_broken_cell_does_not_matter_to_a_function_in_another(tmp_path: Path) -> None:
    assert result(tmp_path, "def g(:", "def f():\n    return 1") == 1
    with pytest.raises(Wrong, match=r"a syntax error: .*\n  in line 2 of mine\.ipynb, cell 2: def f\(:"):
        load(notebook(tmp_path, "n = 1\ndef f(:"), "f")


def test_a_function_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(Wrong, match=r"there is no function f in mine\.ipynb\n  expected: def f\(\.\.\.\)"):
        load(notebook(tmp_path, "n = 1"), "f")


def test_an_exception_names_the_cell(tmp_path: Path) -> None:
    path = notebook(tmp_path, "\n\ndef f():\n    return 1 / 0")
    with pytest.raises(ZeroDivisionError) as caught:
        load(path, "f")()
    assert caught.traceback[-1].path == Path(f"{path}, cell 2") or "cell 2" in str(caught.traceback[-1].path)
    assert caught.traceback[-1].lineno == 3


def test_prints_and_a_main_block_of_a_program_are_not_run(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("print(1 / 0)\ndef f():\n    return 1\nif __name__ == '__main__':\n    f = 1 / 0\n")
    assert load(path, "f")() == 1
