"""ONNX in: our own files there and back, the node tests of the onnx package, and what is refused by name."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.case import node as package

from tinynet import layers as L
from tinynet.errors import ConfigError, DataError, TinynetError
from tinynet.export.onnx import to_onnx
from tinynet.foreign.onnx import read_onnx
from tinynet.layers import Layer
from tinynet.losses import BinaryCrossEntropy, SoftmaxCrossEntropy
from tinynet.model import Sequential
from tinynet.rng import Key, normal, uniform
from tinynet.runs import recipe
from tinynet.types import Array, Shape

RECIPES = [
    (name, reference)
    for reference in (False, True)
    for name in recipe.names(reference=reference)
    if isinstance(recipe.load(name, reference=reference).training.loss, SoftmaxCrossEntropy)
]


def settled(layers: list[Layer], shape: Shape) -> Sequential:
    model = Sequential(layers, shape, backend="numpy", seed=1)
    for number, (name, view) in enumerate({**model.store.values.views, **model.store.state.views}.items()):
        random = normal(Key(2, number), view.shape)
        view[...] = np.exp(random / 2) if name.endswith("variance") else view + random / 3
    return model


def back(data: bytes, path: Path) -> Sequential:
    path.write_bytes(data)
    net, shape = read_onnx(path)
    return net.build(shape)[0]


@pytest.mark.parametrize(("name", "reference"), RECIPES)
def test_every_recipe_comes_back(name: str, reference: bool, tmp_path: Path) -> None:
    plan = recipe.load(name, reference=reference)
    model = plan.build_model(backend="numpy", seed=3)
    x = (uniform(Key(6, 0), (3, *model.input_shape)) * 256).astype(np.uint8)
    found = back(to_onnx(model, plan.training.loss), tmp_path / "net.onnx")
    assert found.input_shape == model.input_shape
    np.testing.assert_allclose(found.predict(x), model.predict(x), rtol=1e-5, atol=1e-5)


def test_a_single_logit_comes_back(tmp_path: Path) -> None:
    """The two probabilities that our own files end in are no layer: they are the loss's."""
    model = settled([L.Conv2D(2, 3), L.ReLU(), L.Flatten(), L.Dense(1)], (6, 6, 1))
    (tmp_path / "net.onnx").write_bytes(to_onnx(model, BinaryCrossEntropy(), classes=["no", "yes"]))
    net, shape = read_onnx(tmp_path / "net.onnx")
    found, loss = net.build(shape)
    assert (type(loss), net.classes) == (BinaryCrossEntropy, ["no", "yes"])
    x = normal(Key(6, 0), (3, 6, 6, 1)).astype(np.float32)
    np.testing.assert_allclose(found.predict(x), model.predict(x), rtol=1e-5, atol=1e-5)
    (tmp_path / "tags.onnx").write_bytes(
        to_onnx(settled([L.Dense(2)], (3,)), BinaryCrossEntropy())  # several answers: no such end
    )
    net, shape = read_onnx(tmp_path / "tags.onnx")
    assert [type(layer).__name__ for layer in net.layers] == ["Dense", "Sigmoid"]


def pool_of_many() -> list[Layer]:
    images = [L.Rescale(0.5, 1.0), L.Conv2D(5, 3, padding="same"), L.BatchNorm(), L.LeakyReLU(0.2)]
    small = [L.MaxPool2D(), L.DepthwiseConv2D(3, multiplier=2), L.ELU(0.7)]
    return [*images, *small, L.Flatten(), L.BatchNorm(), L.Dense(6), L.GELU(), L.Dense(3)]


def windows() -> list[Layer]:
    first = L.Conv2D(4, (2, 3), (1, 2), ((1, 0), (2, 1)))
    return [first, L.AvgPool2D(2, 2, "same"), L.GlobalAveragePool(), L.Dense(2)]


def blocks() -> list[Layer]:
    plain = [L.Conv2D(2, 3, padding="same"), L.BatchNorm(), L.ReLU(), L.Conv2D(2, 3, padding="same")]
    nested = [L.Conv2D(6, 3, 2, "same"), L.ReLU(), L.Residual([L.Conv2D(6, 1)])]
    return [L.Residual(plain), L.ReLU(), L.Residual(nested), L.Flatten(), L.Dense(3)]


def flat() -> list[Layer]:
    return [L.Flatten(), L.Dense(8), L.Tanh(), L.Residual([L.Dense(8), L.ReLU()]), L.Dense(3), L.Sigmoid()]


@pytest.mark.parametrize("make", [pool_of_many, windows, blocks, flat])
def test_nets_come_back(make: Callable[[], list[Layer]], tmp_path: Path) -> None:
    model = settled(make(), (8, 7, 2))
    x = normal(Key(5, 1), (3, 8, 7, 2)).astype(np.float32)
    found = back(to_onnx(model), tmp_path / "net.onnx")
    np.testing.assert_allclose(found.predict(x), model.predict(x), rtol=1e-5, atol=1e-5)


def test_classes_come_back_and_a_softmax_goes_into_the_loss(tmp_path: Path) -> None:
    model, loss = settled([L.Dense(3)], (4,)), SoftmaxCrossEntropy()
    (tmp_path / "net.onnx").write_bytes(to_onnx(model, loss, classes=["a", "b", "c"]))
    net, shape = read_onnx(tmp_path / "net.onnx")
    found, own = net.build(shape)
    assert net.classes == ["a", "b", "c"]
    assert [type(layer).__name__ for layer in found.layers] == ["Dense"]
    assert isinstance(own, SoftmaxCrossEntropy)


# --- the node tests of the onnx package ---------------------------------------------------------------------


IMAGES = {
    "averagepool": "AveragePool",
    "batch_normalization": "BatchNormalization",
    "conv": "Conv",
    "globalaveragepool": "GlobalAveragePool",
    "maxpool": "MaxPool",
    "reducemean": "ReduceMean",
}
"""Where the package has the tests of our operators on images, with channels first."""
VALUES = {
    "add": "Add",
    "div": "Div",
    "elu": "Elu",
    "flatten": "Flatten",
    "gelu": "Gelu",
    "gemm": "Gemm",
    "leakyrelu": "LeakyRelu",
    "matmul": "MatMul",
    "mul": "Mul",
    "relu": "Relu",
    "reshape": "Reshape",
    "sigmoid": "Sigmoid",
    "softmax": "Softmax",
    "squeeze": "Squeeze",
    "sub": "Sub",
    "tanh": "Tanh",
    "transpose": "Transpose",
}
"""And the others."""


def cases(module: str) -> list[Any]:
    """Those of the module's operator, whose first input is a batch of float32."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the package's own arithmetic
        importlib.import_module(f"onnx.backend.test.case.node.{module}")
    kind = (IMAGES | VALUES)[module]
    return [
        case
        for case in package._NodeTestCases
        if {node.op_type for node in case.model.graph.node} == {kind}
        and case.model.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT
        and len(case.model.graph.input[0].type.tensor_type.shape.dim) > 1
    ]


NOT_OURS = {
    "add": "of two values",
    "sub": "of two values",
    "mul": "of two values",
    "div": "of two values",
    "averagepool_1d": "no images",
    "averagepool_3d": "no images",
    "averagepool_2d_ceil": "windows beyond the edge",
    "averagepool_2d_dilations": "dilated windows",
    "averagepool_2d_pads_count_include_pad": "padding in the mean",
    "averagepool_2d_precomputed_pads_count_include_pad": "padding in the mean",
    "averagepool_2d_same_lower": "padding that is larger on top",
    "batchnorm_epsilon_training": "training",
    "batchnorm_example_training": "training",
    "conv_with_autopad_same": "padding that is larger on top",
    "gemm_default_matrix_bias": "another bias for each sample",
    "matmul_bcast": "weights of four axes",
    "maxpool_1d": "no images",
    "maxpool_3d": "no images",
    "maxpool_2d_ceil": "windows beyond the edge",
    "maxpool_2d_dilations": "dilated windows",
    "maxpool_2d_same_lower": "padding that is larger on top",
    "maxpool_with_argmax": "two outputs",
    "matmul_1d": "of vectors",
    "matmul_3d": "of two values",
    "matmul_4d": "of two values",
    "gemm_transposeA": "a transposed batch",
    "gemm_all_attributes": "a transposed batch",
    "flatten": "along another axis, or ends in images",
    "reshape": "of another batch",
    "reduce_mean": "not of the channels of images",
    "softmax_axis": "along another axis",
    "softmax_": "along another axis",
    "squeeze": "no means before it",
    "transpose": "of other axes",
}
"""By the beginnings of their names: what tinynet has no layer for, and why. These are refused."""


@pytest.mark.parametrize("module", [*IMAGES, *VALUES])
def test_the_node_tests_of_the_onnx_package(module: str, tmp_path: Path) -> None:
    """Each is computed as the package says, or refused as the table says. Inputs but one become weights."""
    computed = 0
    for case in cases(module):
        inputs, [expected, *_] = case.data_sets[0]
        model = onnx.ModelProto()
        model.CopyFrom(case.model)
        for given, values in zip(list(model.graph.input)[1:], inputs[1:], strict=True):
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(values), given.name))
        del model.graph.input[1:]
        (tmp_path / "node.onnx").write_bytes(model.SerializeToString())
        x = np.asarray(inputs[0])
        found = computed_by_ours(tmp_path / "node.onnx", x, module in IMAGES)
        if isinstance(found, TinynetError):
            name = case.name.removeprefix("test_")
            assert any(name.startswith(each) for each in NOT_OURS), f"{name}: {found}"
            continue
        if module == "globalaveragepool":  # the model drops the two axes of length 1
            expected = expected.reshape(found.shape)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5, err_msg=case.name)
        computed += 1
    assert computed >= COMPUTED.get(module, 1)


COMPUTED = {"conv": 5, "averagepool": 4, "maxpool": 4, "gemm": 6, "add": 0, "div": 0, "mul": 0, "sub": 0} | {
    **dict.fromkeys(("globalaveragepool", "squeeze", "transpose", "reshape", "reducemean"), 0)
}
"""At least so many of a module's tests are computed; all of ours that nobody refuses would be."""


def computed_by_ours(path: Path, x: Array, images: bool) -> Array | TinynetError:
    """What the net in a file makes of x; the error where it is refused."""
    try:
        net, shape = read_onnx(path)
        ours = net.build(shape)[0]
    except TinynetError as error:
        return error
    found = ours.predict(x.transpose(0, 2, 3, 1) if images else x)
    return found.transpose(0, 3, 1, 2) if images and found.ndim == 4 else found


# --- what is refused ----------------------------------------------------------------------------------------


def graph(*nodes: onnx.NodeProto, shape: tuple[Any, ...] = ("N", 4), **weights: Array) -> bytes:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ("N", "K"))
    tensors = [numpy_helper.from_array(values, name) for name, values in weights.items()]
    made = helper.make_graph(nodes, "g", [x], [y], tensors)
    return bytes(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString())


W = np.ones((4, 2), np.float32)
REFUSED = {
    "operator": (graph(helper.make_node("Sin", ["x"], ["y"], name="wave")), "the operator Sin \\(wave\\)"),
    "two values": (
        graph(helper.make_node("Mul", ["x", "x"], ["y"], name="square")),
        "Mul square computes with 2",
    ),
    "bias": (
        graph(helper.make_node("Gemm", ["x", "W", "b"], ["y"]), W=W, b=np.ones((3, 2), np.float32)),
        "bias of another shape",
    ),
    "size": (
        graph(helper.make_node("Relu", ["x"], ["y"]), shape=("N", "M")),
        "size of its input is not known",
    ),
    "texts": (
        graph(helper.make_node("MatMul", ["x", "W"], ["y"]), W=W.astype(bool)),
        "cannot be read|no numbers",
    ),
    "kernel": (
        graph(
            helper.make_node("Conv", ["x", "K"], ["c"], name="first", kernel_shape=[2, 2]),
            helper.make_node("Flatten", ["c"], ["y"]),
            shape=("N", 1, 8, 8),
            K=np.ones((4, 1, 3, 3), np.float32),
        ),
        r"Conv first with kernel_shape = \[2, 2\]",
    ),
    "NaN": (graph(helper.make_node("MatMul", ["x", "W"], ["y"]), W=W * np.nan), "not finite"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_tinynet_does_not_have_is_refused_by_name(name: str, tmp_path: Path) -> None:
    data, says = REFUSED[name]
    with pytest.raises(TinynetError, match=says):
        back(data, tmp_path / "net.onnx")


def test_weights_in_another_file_are_never_read(tmp_path: Path) -> None:
    model = onnx.load_from_string(graph(helper.make_node("MatMul", ["x", "W"], ["y"]), W=W))
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "secret"
    (tmp_path / "secret").write_bytes(W.tobytes())
    with pytest.raises(TinynetError, match=r"secret|another file|external"):
        back(model.SerializeToString(), tmp_path / "net.onnx")


def test_a_constant_in_another_file_is_never_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").write_bytes(W.tobytes())
    constant = helper.make_node("Constant", [], ["w"], value=onnx.numpy_helper.from_array(W, "w"))
    model = onnx.load_from_string(graph(constant, helper.make_node("MatMul", ["x", "w"], ["y"])))
    tensor = model.graph.node[0].attribute[0].t
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    place = tensor.external_data.add()
    place.key, place.value = "location", "secret"
    with pytest.raises(ConfigError, match="weights w lie in another file"):
        back(model.SerializeToString(), tmp_path / "net.onnx")


@pytest.mark.parametrize(("shape", "wanted"), [((3, 2, 2), (2, 2, 3)), ((2, 2, 3), (2, 2, 3))])
def test_a_flatten_at_the_entry_has_channels_where_there_are_1_or_3(
    shape: Shape, wanted: Shape, tmp_path: Path
) -> None:
    nodes = [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("MatMul", ["f", "w"], ["y"])]
    w = normal(Key(5, 0), (12, 2)).astype(np.float32)
    model = back(graph(*nodes, shape=("N", *shape), w=w), tmp_path / "net.onnx")
    assert model.input_shape == wanted
    x = normal(Key(5, 1), (2, *shape)).astype(np.float32)
    given = x if shape == wanted else np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    np.testing.assert_allclose(model.predict(given), x.reshape(2, -1) @ w, rtol=1e-4)


@pytest.mark.parametrize("data", [b"", b"no onnx", graph(helper.make_node("Relu", ["x"], ["y"]))[:40]])
def test_a_file_that_is_none(data: bytes, tmp_path: Path) -> None:
    with pytest.raises((DataError, ConfigError)):
        back(data, tmp_path / "net.onnx")
    with pytest.raises(DataError, match="cannot be read as ONNX"):
        read_onnx(tmp_path / "gone.onnx")
