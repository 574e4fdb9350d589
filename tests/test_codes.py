"""What `tinynet read` shows: all the code of each layer, loss and optimiser, as it stands in the sources."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest
from operations import CASES

from tinynet import codes
from tinynet.errors import ConfigError
from tinynet.gradcheck import cases

ROOT = Path(__file__).resolve().parent.parent
ALL = [name for names in codes.names().values() for name in names]
ON_BACKENDS = [name for name in ALL if codes.read(name).operations]
ARRAYS_ALONE = {"GlobalAveragePool", "Flatten", "Reshape", "MeanSquaredError", "BinaryCrossEntropy"}
"""These call no operation of a backend: their own lines run on every kind of array."""


def files(name: str, backend: str) -> set[str]:
    return {code.file for code in codes.read(name).backends[backend]}


def test_all_but_a_few_have_codes_of_their_own_on_every_backend() -> None:
    assert set(ALL) - set(ON_BACKENDS) - set(codes.names()["schedule"]) == ARRAYS_ALONE


@pytest.mark.parametrize("name", ON_BACKENDS)
def test_every_operation_has_its_numpy_numba_and_cuda_code(name: str) -> None:
    found = codes.read(name)
    assert files(name, "numpy") == {"tinynet/backends/numpy_.py"}
    assert any(file.startswith("kernels/cpu/") for file in files(name, "numba"))
    assert any(file.endswith(".cu") for file in files(name, "cuda"))
    for backend, pieces in found.backends.items():
        methods = [re.search(r"^def (\w+)\(", code.text, re.MULTILINE) for code in pieces]
        defined = {method[1] for method in methods if method}
        inherited = set(found.inherited) if backend == "numba" else set()
        assert set(found.operations) - inherited <= defined


@pytest.mark.parametrize("name", ALL)
def test_what_is_shown_stands_in_that_file_at_that_line(name: str) -> None:
    found = codes.read(name)
    assert found.text
    assert found.own
    on_backends = (code for pieces in found.backends.values() for code in pieces)
    for code in [*found.own, *on_backends, *found.javascript]:
        lines = (ROOT / code.file).read_text("utf-8").splitlines(keepends=True)
        assert code.text
        there = "".join(lines[code.line - 1 :][: code.text.count("\n")])
        assert textwrap.dedent(there) == code.text


@pytest.mark.parametrize(
    ("name", "backend", "expected"),
    [
        ("Conv2D", "numpy", ["def im2col", "def col2im", "def column_sums"]),
        ("GELU", "numpy", ["GELU_CUBIC = 0.044715\n"]),
        ("Conv2D", "numba", ["def transform_input(", "def convolve(", "def im2col(", "def pack_rotated("]),
        ("Conv2D", "numba", ["evaluate_input, evaluate_kernel,", "def transform(matrix)", "BT = np.array("]),
        ("Dense", "numba", ["def product(", "def _definition(", "def pack_transposed(", "product_tile = "]),
        ("Sigmoid", "numba", ["def exp(", "ROUNDER = "]),
        ("SoftmaxCrossEntropy", "numba", ["def mean("]),
        ("Conv2D", "cuda", ["void im2col(", "void col2im(", "void add_bias(", "int first_window("]),
        (
            "Conv2D",
            "cuda",
            ["conv2d(int size", "tensor_conv2d_backward(int size", "struct TensorTile : Tile<", "mma.sync"],
        ),
        (
            "Conv2D",
            "cuda",
            ["// Multiplies a tile, `empty` as yet", "struct Counter {\n    int high, middle, low;\n};\n"],
        ),
        ("GELU", "cuda", ["Real gelu_t(", "Real normal_below("]),
        ("Adam", "cuda", ["// m ← m + (1-β₁)(g - m)", "void adam("]),
        ("BatchNorm", "cuda", ["void batch_statistics(", "struct Moments {", "void normalize_backward("]),
    ],
)
def test_what_an_operation_calls_is_shown_too(name: str, backend: str, expected: list[str]) -> None:
    shown = "".join(code.text for code in codes.read(name).backends[backend])
    assert [part for part in expected if part not in shown] == []


def test_a_cuda_function_ends_where_its_block_does() -> None:
    [code] = [each for each in codes.read("ReLU").backends["cuda"] if "void relu(" in each.text]
    assert code.text.startswith("// y = max(x, 0)")
    assert code.text.endswith(": x[i];\n}\n")


@pytest.mark.parametrize("name", codes.names()["layer"])
def test_each_layer_has_its_forward_and_its_backward_in_javascript(name: str) -> None:
    files = [code.file for code in codes.read(name).javascript]
    assert list(dict.fromkeys(files)) == ["kernels/js/layers.js", "kernels/js/backward.js"]
    shown = "".join(code.text for code in codes.read(name).javascript)
    for function in (name.lower(), f"{name.lower()}Backward"):
        assert re.search(rf"^// .*=.*$(?:\n//.*)*\ntinynet\.{function} = function ", shown, re.MULTILINE)


def test_what_a_function_in_javascript_calls_is_shown_too() -> None:
    shown = "".join(code.text for code in codes.read("Conv2D").javascript)
    called = ["everyWindow", "gather", "product", "span", "productBackward", "scatter"]
    assert [name for name in called if f"tinynet.{name} = function" not in shown] == []
    assert all(not codes.read(name).javascript for name in ALL if codes.read(name).kind != "layer")


@pytest.mark.parametrize("name", ALL)
def test_the_proofs_are_tests_that_exist(name: str) -> None:
    found = codes.read(name)
    commands = [proof.command for proof in found.proofs]
    assert commands
    if found.kind in ("layer", "loss"):
        assert f"tinynet gradcheck --layer {name}" in commands
    if found.kind == "layer":
        assert any("test_js_layers.py" in command and name in command for command in commands)
        assert name in cases.NAMES
    for file in re.findall(r"tests/\S+\.py", " ".join(commands)):
        assert (ROOT / file).exists()
    for operation in found.operations:
        parity = [command for command in commands if "agrees_with_the_reference" in command]
        assert len(parity) == 2
        named = [case for case in CASES if operation.startswith(case)]
        assert any(case in parity[0] and case in parity[1] for case in named)


def test_capital_letters_and_hyphens_do_not_count() -> None:
    assert codes.read("softmax-cross_entropy").name == "SoftmaxCrossEntropy"
    assert codes.read("conv2d") == codes.read("Conv2D")


def test_an_unknown_name() -> None:
    with pytest.raises(ConfigError, match="did you mean 'BatchNorm'"):
        codes.read("batchnrm")
    with pytest.raises(ConfigError, match="expected: Dense, Conv2D, "):
        codes.read("nosuch")
