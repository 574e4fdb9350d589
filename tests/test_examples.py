"""The README's program runs as it stands there, and its links lead somewhere."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import textwrap
from pathlib import Path

from tinynet.backends.numpy_ import NumpyBackend
from tinynet.layers import dense

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
"""The Python that the README shows."""


def test_the_program_in_the_readme_runs(tmp_path: Path) -> None:
    [program] = [block for block in BLOCKS if "import tinynet as tn" in block]
    program += "print(model.predict(data.test.images[:1]).shape)\n"
    finished = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    accuracy, shape = finished.stdout.split("\n", maxsplit=1)
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


def test_every_feature_names_tests_that_there_are() -> None:
    rows = [
        line
        for line in (ROOT / "examples" / "features.md").read_text("utf-8").splitlines()
        if "`tests/" in line
    ]
    assert len(rows) > 15
    for row in rows:
        for path, name in re.findall(r"`(tests/[\w./]+)(?:::(\w+))?`", row):
            assert (ROOT / path).exists(), path
            assert not name or f"def {name}(" in (ROOT / path).read_text("utf-8"), name
