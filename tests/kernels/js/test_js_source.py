"""The JavaScript sources: what they hold, how they are packed, and what they leave in the global object."""

from __future__ import annotations

import re
from importlib import resources

import node
import pytest

from tinynet.kernels.js import source
from tinynet.layers import LAYERS


def test_every_file_is_listed() -> None:
    entries = resources.files("tinynet.kernels.js").iterdir()
    assert {each.name for each in entries if each.name.endswith(".js")} == set(source.FILES)


@pytest.mark.parametrize("file", source.FILES)
def test_each_function_has_a_comment_or_belongs_to_the_one_above(file: str) -> None:
    text = source.read(file)
    bare = re.findall(r"\n\n(tinynet\.\w+ = function)", text)
    assert bare == []
    assert max(map(len, text.splitlines())) <= 110


@pytest.mark.parametrize("name", LAYERS)
def test_each_layer_has_a_forward_and_a_backward_with_its_equation(name: str) -> None:
    functions = source.functions()
    for function in (functions[name.lower()], functions[f"{name.lower()}Backward"]):
        first = function.text.splitlines()[0]
        assert first.startswith("// ")
        assert "=" in first
        assert source.read(function.file).splitlines()[function.line - 1] == first
        assert function.text.endswith("\n};\n")


@node.NEEDS_NODE
def test_all_functions_are_found() -> None:
    code = (
        "return Object.keys(tinynet).filter((name) => typeof tinynet[name] === 'function' && name !== 'Net')"
    )
    assert set(node.run(code)) == set(source.functions())


@node.NEEDS_NODE
def test_the_scripts_add_nothing_else_to_the_global_object_and_may_run_twice() -> None:
    code = """
      const before = Object.keys(globalThis);
      for (let n = 0; n < 2; n++) (0, eval)(data);
      return [before, Object.keys(globalThis)];
    """
    before, after = node.run(code, source.script(), bare=True)
    assert before == after
    assert set(before) == {"atob", "data", "tinynet"}
