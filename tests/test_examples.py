"""Every notebook in examples/ runs from top to bottom, and the README's program runs as it stands there."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tinynet import extras
from tinynet.backends.numpy_ import NumpyBackend
from tinynet.layers import dense

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
"""The Python that the README shows."""
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_shows_the_results_of_one_run(path: Path) -> None:
    """A reader sees what comes out without running it: so every cell was run, in order, and none failed."""
    cells = [cell for cell in json.loads(path.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output["output_type"] for cell in cells for output in cell["outputs"]]
    assert outputs
    assert "error" not in outputs


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the Jupyter packages
def test_notebook_runs(path: Path, tmp_path: Path) -> None:
    nbclient = pytest.importorskip("nbclient", reason=extras.install("notebooks"))
    nbformat = pytest.importorskip("nbformat", reason=extras.install("notebooks"))
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()


def test_the_program_in_the_readme_runs(tmp_path: Path) -> None:
    [program] = [block for block in BLOCKS if "import tinynet as tn" in block]
    program += "print((predicted == data.test.labels).mean(), model.predict(data.test.images[:1]).shape)\n"
    finished = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    accuracy, shape = finished.stdout.split(maxsplit=1)
    assert float(accuracy) > 0.9
    assert shape == "(1, 10)\n"


def test_the_readme_shows_dense_as_it_is() -> None:
    [shown] = [block for block in BLOCKS if "class Dense" in block]
    assert inspect.getsource(dense).endswith(shown)


def test_the_readme_shows_the_reference_backward_of_dense() -> None:
    [shown] = [block for block in BLOCKS if block.startswith("dW[...]")]
    assert textwrap.indent(shown, "        ") in inspect.getsource(NumpyBackend.dense_backward)


def test_the_readme_is_short_and_its_links_lead_somewhere() -> None:
    assert len(README.splitlines()) <= 140
    for text in (ROOT / "README.md", *(ROOT / "examples").glob("*.md")):
        links = re.findall(r"\]\(([^)#]+)\)", text.read_text("utf-8"))
        assert [link for link in links if not (text.parent / link).exists() and "://" not in link] == []
