"""The layout of the tests: where those of a source file are, and what they may touch.

The tests of tinynet/a/b.py are in tests/a/test_b.py, or in tests/a/test_a_b.py where another folder has a
test_b.py: pytest wants each name once. Those of kernels/a/b.py are in tests/kernels/a/.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent

TESTED_BY = {
    "tinynet/__main__.py": ("cli/test_cli_main.py", "two lines, run by every test that starts a process"),
    "tinynet/types.py": ("test_imports.py", "names for type checkers: nothing runs"),
    "tinynet/advice.py": ("test_training_again.py", "what a Trainer says before it begins"),
    "tinynet/version.py": ("test_extras.py", "one constant, compared with the metadata"),
    "tinynet/blocks.py": ("analysis/test_gradients.py", "after each block a gradient is checked"),
    "tinynet/backends/*.py": ("backends/test_parity.py", "every operation against the reference's"),
    "tinynet/backends/cpu_convolution/*.py": ("backends/test_parity.py", "ways to compute one of these"),
    "tinynet/benchmark/net.py": ("benchmark/test_tinynet_.py", "what a worker is told of a net"),
    "tinynet/cli/command.py": ("cli/test_cli_main.py", "every command's options, given twice"),
    "tinynet/cli/comparing.py": ("cli/test_cli_classical.py", "the comparison that two commands show"),
    "tinynet/cli/progress.py": ("cli/test_cli_train.py", "what commands show, read off what they say"),
    "tinynet/cli/folders.py": ("cli/test_cli_doctor.py", "folders and the kernel cache"),
    "tinynet/cli/options.py": ("cli/test_cli_main.py", "every command's options and examples"),
    "tinynet/cli/theme.py": ("cli/test_cli_read.py", "the colours of the code that it shows"),
    "tinynet/cli/plan.py": ("cli/test_cli_train.py", "options that change a recipe"),
    "tinynet/cli/process.py": ("cli/test_cli_train.py", "exit codes and the command line in a report"),
    "tinynet/cli/import_.py": ("cli/test_cli_import.py", "a name that Python keeps for itself"),
    "tinynet/foreign/net.py": ("foreign/test_foreign_onnx.py", "what all readers fill"),
    "tinynet/cli/page.py": ("cli/test_cli_export.py", "what export --to html writes"),
    "tinynet/cli/answers.py": ("cli/test_cli_predict.py", "what predict and ensemble say of files"),
    "tinynet/export/calls.py": ("export/test_c.py", "compiled, every call of every layer"),
    "tinynet/export/integers.py": ("export/test_c.py", "the bits of the compiled net"),
    "tinynet/data/images.py": ("cli/test_cli_predict.py", "the files that predict reads"),
    "tinynet/data/pictures/*.py": ("data/test_pictures.py", "steps of one way, from a picture to a digit"),
    "tinynet/experiments/classical/nets.py": ("cli/test_cli_classical.py", "needs whole runs"),
    "tinynet/experiments/systems.py": (
        "experiments/test_reproduce.py",
        "others' figures, and recipes",
    ),
    "tinynet/experiments/tuning/report.py": ("cli/test_cli_tune.py", "needs a whole search"),
    "tinynet/layers/fusion.py": ("backends/test_parity.py", "a fused net against the reference"),
    "tinynet/layers/stack.py": ("test_model.py", "a model is such a stack"),
    "tinynet/losses/*.py": ("losses/test_cross_entropy.py", "what all of them have in common"),
    "tinynet/learn/*.py": ("learn/test_ladder.py", "right and wrong answers to every exercise"),
    "tinynet/learn/drawings/*.py": ("learn/test_notebooks.py", "drawn by the notebooks that tests run"),
    "tinynet/learn/trial.py": ("cli/test_cli_learn.py", "a process of its own for each exercise"),
    "tinynet/plots/reading.py": ("cli/test_cli_predict.py", "what predict draws of those steps"),
    "tinynet/runs/audit.py": ("cli/test_cli_audit.py", "needs whole runs"),
    "tinynet/runs/provenance.py": ("cli/test_cli_finetune.py", "needs runs that began with others"),
    "tinynet/runs/run.py": ("cli/test_cli_train.py", "needs whole runs"),
    "tinynet/serve/connection.py": ("serve/test_server.py", "half heads, and more clients than files"),
    "tinynet/serve/documents.py": ("serve/test_app.py", "the pages that the routes send"),
    "tinynet/serve/gate.py": ("serve/test_limits.py", "who may ask, beside how much may be asked"),
    "tinynet/serve/metrics.py": ("serve/test_app.py", "what /metrics shows after requests"),
    "tinynet/serve/service.py": ("serve/test_limits.py", "what holds requests back"),
    "kernels/cpu/*.py": ("backends/test_parity.py", "each kernel is the inside of an operation"),
    "kernels/cpu/cache.py": ("kernels/cpu/test_jit.py", "the files of the cache that jit names"),
    "kernels/cpu/crew.py": ("threads/test_crew.py", "the compiled half of threads/crew.py"),
    "kernels/cpu/winograd.py": (
        "backends/cpu_convolution/test_winograd.py",
        "with its driver, of the same name",
    ),
    "kernels/cuda/cublas.py": ("kernels/cuda/test_device.py", "products, on what stands for a device"),
}
"""Source files (or globs) without a test file of their name: which tests they have instead, and why."""

PROTOCOL = {"_replace", "_fields", "_asdict", "_repr_html_", "_exit"}
"""Public in spite of the underscore: methods of named tuples, what a notebook calls, and `os._exit`."""
PRIVATE = {
    ("backends/test_cuda_status.py", "_obj"): "ctypes shows what byref() points to under no other name",
    ("cli/test_cli_warmup.py", "_force_terminal"): "rich takes it at a console's making alone",
    (
        "foreign/test_foreign_onnx.py",
        "_NodeTestCases",
    ): "asking by name makes those of all operators",
    ("kernels/cpu/test_jit.py", "_open_for_write"): "the moment at which Numba's cache can be overtaken",
    ("test_process_safety.py", "_thread"): "only interrupt_main() interrupts the main thread",
}
"""Private names that tests touch, and why there is no other way."""


def sources() -> list[str]:
    paths = [path for root in ("tinynet", "kernels") for path in (ROOT / root).rglob("*.py")]
    return sorted(path.relative_to(ROOT).as_posix() for path in paths if path.name != "__init__.py")


def own_tests(source: str) -> list[str]:
    """The test files that the rule gives to a source file, as far as they exist."""
    path = Path(source)
    folder = path.parent if path.parts[0] == "kernels" else path.parent.relative_to("tinynet")
    names = (f"test_{path.stem}.py", f"test_{folder.name}_{path.stem}.py")
    return [place.as_posix() for name in names if (TESTS / (place := folder / name)).exists()]


@pytest.mark.parametrize("source", sources())
def test_a_source_file_has_a_test_file_of_its_name_or_is_in_the_table(source: str) -> None:
    assert own_tests(source) or any(Path(source).match(pattern) for pattern in TESTED_BY)


@pytest.mark.parametrize("pattern", TESTED_BY)
def test_a_row_of_the_table_is_needed_and_names_a_file(pattern: str) -> None:
    covered = [source for source in sources() if Path(source).match(pattern) and not own_tests(source)]
    assert covered, "all of these have a test file of their name"
    assert (TESTS / TESTED_BY[pattern][0]).exists()


def test_each_name_of_a_test_file_is_there_once() -> None:
    names = Counter(path.name for path in TESTS.rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []


def test_names_of_tests_are_the_same_in_every_process(request: pytest.FixtureRequest) -> None:
    """An object's address in a name would differ: processes that share out the tests would disagree."""
    names = [item.nodeid for item in request.session.items]
    assert [name for name in names if re.search(" at 0x[0-9a-f]{6}", name)] == []


def private_names(tree: ast.AST) -> Iterator[str]:
    """Private names of others that a test reads, sets, patches or imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            mine = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            names = [] if mine else [node.attr]
        elif isinstance(node, ast.Import | ast.ImportFrom):
            origin = (node.module or "") if isinstance(node, ast.ImportFrom) else ""
            names = [part for alias in node.names for part in f"{origin}.{alias.name}".split(".")]
        elif isinstance(node, ast.Call) and "attr" in ast.unparse(node.func):  # setattr, getattr, hasattr
            texts = [each.value for each in node.args if isinstance(each, ast.Constant)]
            names = [part for text in texts if isinstance(text, str) for part in text.split(".")]
        else:
            continue
        yield from (name for name in names if name.startswith("_") and not name.startswith("__"))


def test_tests_use_public_names_or_say_why_not() -> None:
    found = {
        (path.relative_to(TESTS).as_posix(), name)
        for path in TESTS.rglob("*.py")
        for name in private_names(ast.parse(path.read_text("utf-8")))
    }
    assert {place for place in found if place[1] not in PROTOCOL} == PRIVATE.keys()


def folder_of(package: str, elsewhere: dict[str, str]) -> str:
    """Where a package lies, from the longest name in `elsewhere` that its own begins with."""
    root = max((name for name in elsewhere if f"{package}.".startswith(f"{name}.")), key=len)
    return package.replace(root, elsewhere[root], 1).replace(".", "/")


def test_every_folder_of_code_is_in_the_package() -> None:
    """A folder that pyproject.toml forgets works in a checkout, and is missing from the wheel."""
    said = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    elsewhere = said["package-dir"]
    packaged = {folder_of(name, elsewhere) for name in said["packages"]}
    roots = {folder.split("/")[0] for folder in elsewhere.values()}
    folders = {path.parent for name in roots for path in (ROOT / name).rglob("__init__.py")}
    assert {folder.relative_to(ROOT).as_posix() for folder in folders} == packaged
