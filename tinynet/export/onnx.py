"""A net as an ONNX graph, which ONNX Runtime and many other programs compute.

A graph has channels first, (N, C, H, W), and tinynet has them last. So images are transposed once, where the
graph begins; kernels are stored as (F, C, KH, KW); and instead of the values that a Flatten gives, the rows
of the Dense after it change their order. Dropout is gone; Rescale and the probabilities are in the graph.

(Specification: ONNX operators, opset 17; GELU is of opset 20.)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from tinynet import extras, layers
from tinynet.checkpoint import weights_sha256
from tinynet.errors import ConfigError
from tinynet.layers import Layer
from tinynet.layers.stack import walk
from tinynet.losses import BinaryCrossEntropy, CrossEntropy, Loss, SoftmaxCrossEntropy, check_several
from tinynet.model import Sequential
from tinynet.types import Array
from tinynet.version import VERSION

IMAGE, VALUES = "image", "input"
"""The name of the input, by what it is."""
STAMP, GELU_STAMP = (17, 8), (20, 9)
"""(opset, IR): the lowest that have what a graph needs, as runtimes refuse those they do not know yet."""
PIXELS = "raw pixels, 0 to 255, channels last: the graph scales and transposes them itself"
TO_FIRST, TO_LAST = [0, 3, 1, 2], [0, 2, 3, 1]


def to_onnx(
    model: Sequential,
    loss: Loss | None = None,
    *,
    classes: Sequence[str] = (),
    logits: bool = False,
    about: Mapping[str, Any] | None = None,
) -> bytes:
    """The file's bytes: input float32 (batch, *input_shape) as the model takes it, any batch. It is called
    `image`, or `input` where samples are no images.

    The output is `probabilities` (batch, K), as `loss` makes them of the model's outputs; with `logits`, or
    without a loss that has probabilities, `outputs`, as the model gives them. Weights are float32. Names of
    classes, the hash of the weights and how pixels are scaled stand in the graph's metadata, with `about`.

    Raises ConfigError without the extra `onnx`, for a layer that is not one of tinynet's own, and
    for softmax over a single output.
    """
    extras.load("onnx")
    import onnx

    check_layers(model)
    graph = Graph(model)
    last = graph.value
    if not logits:
        graph.add_probabilities(loss)
    name = "outputs" if graph.value == last else "probabilities"
    opset, ir = GELU_STAMP if any(node.op_type == "Gelu" for node in graph.nodes) else STAMP
    graph.nodes[-1].output[0] = name
    made = onnx.helper.make_graph(
        graph.nodes,
        "tinynet",
        [_described(input_of(model), model.input_shape)],
        [_described(name, graph.output_shape)],
        graph.weights,
    )
    file = onnx.helper.make_model(
        made,
        opset_imports=[onnx.helper.make_opsetid("", opset)],
        ir_version=ir,
        producer_name="tinynet",
        producer_version=VERSION,
    )
    facts = {
        "classes": json.dumps(list(classes)),
        "weights_sha256": weights_sha256(model),
        **({"preprocessing": PIXELS} if input_of(model) == IMAGE else {}),
        **{
            key: value if isinstance(value, str) else json.dumps(value)
            for key, value in (about or {}).items()
        },
    }
    onnx.helper.set_model_props(file, facts)
    onnx.checker.check_model(file, full_check=True)
    data: bytes = file.SerializeToString()
    return data


def input_of(model: Sequential) -> str:
    """The name of the graph's input."""
    return IMAGE if len(model.input_shape) == 3 else VALUES


def check_layers(model: Sequential) -> None:
    """Raise ConfigError, with its name, for a layer that ONNX has no operators for here."""
    for layer in walk(model.layers):
        if type(layer) not in OPERATORS:
            raise ConfigError(
                f"an ONNX graph cannot say what layer {layer.name} computes",
                expected=f"layers of tinynet: {', '.join(kind.__name__ for kind in OPERATORS)}",
                received=type(layer).__name__,
                fix="export a net without it",
            )


def _described(name: str, shape: Sequence[int]) -> Any:
    from onnx import TensorProto, helper

    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])


class Graph:
    """Nodes and weights, added layer by layer; `value` names the latest result.

    `first`     whether that result is images with channels first
    `order`     for flat values that are not in tinynet's order: where each of them stands in that order
    """

    def __init__(self, model: Sequential) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self.value, self.first = input_of(model), False
        self.order: Array | None = None
        self.model, self.output_shape = model, tuple(model.output_shape)
        self.add_layers(model.layers)
        self.prefix = "last"
        self.to_channels_last()
        if not self.nodes:
            self.add("Identity")

    def add_layers(self, layers: Sequence[Layer]) -> None:
        for position, layer in enumerate(layers):
            self.rest, self.prefix = layers[position + 1 :], layer.name
            OPERATORS[type(layer)](self, layer)

    def add(self, operator: str, *weights: str, **attributes: Any) -> None:
        """A node that takes the latest result and weights."""
        from onnx import helper

        result = f"{self.prefix}/{operator}_{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(operator, [self.value, *weights], [result], name=result, **attributes)
        )
        self.value = result

    def keep(self, name: str, values: Any, dtype: type = np.float32) -> str:
        """Weights of the layer under way, by a name for the nodes."""
        from onnx import numpy_helper

        full = f"{self.prefix}.{name}"
        array: Array = np.ascontiguousarray(self.model.backend.to_host(values), dtype)
        self.weights.append(numpy_helper.from_array(array, full))
        return full

    def to_channels_first(self) -> None:
        if not self.first:
            self.add("Transpose", perm=TO_FIRST)
            self.first = True

    def to_channels_last(self) -> None:
        if self.first:
            self.add("Transpose", perm=TO_LAST)
            self.first = False

    def add_probabilities(self, loss: Loss | None) -> None:
        """What the loss makes of the model's outputs; nothing for one without probabilities."""
        self.prefix = "loss"
        check_several(loss, self.output_shape)
        if isinstance(loss, SoftmaxCrossEntropy):
            self.add("Softmax", axis=-1)
        elif isinstance(loss, CrossEntropy):
            self.add("Max", self.keep("floor", np.finfo(np.float32).tiny))
            raised = self.value
            self.add("ReduceSum", self.keep("axes", [-1], np.int64))
            total, self.value = self.value, raised
            self.add("Div", total)
        elif isinstance(loss, BinaryCrossEntropy):
            self.add("Sigmoid")
            if self.output_shape == (1,):  # the probabilities of no and yes
                self.output_shape = (2,)
                yes = self.value
                self.add("Neg")
                self.add("Add", self.keep("one", np.float32(1)))
                self.add("Concat", yes, axis=-1)


def _rescale(graph: Graph, layer: Any) -> None:
    graph.add("Mul", graph.keep("scale", np.float32(layer.scale)))
    if layer.offset:
        graph.add("Add", graph.keep("offset", np.float32(layer.offset)))


def _dense(graph: Graph, layer: Any) -> None:
    W, graph.order = _in_order(layer.params.W, graph.order), None
    if len(layer.input_shape) == 1:
        graph.add("Gemm", graph.keep("W", W), graph.keep("b", layer.params.b))
    else:
        graph.to_channels_last()
        graph.add("MatMul", graph.keep("W", W))
        graph.add("Add", graph.keep("b", layer.params.b))


def _in_order(values: Array, order: Array | None) -> Array:
    return values if order is None else values[order]


def _convolution(graph: Graph, layer: Any) -> None:
    graph.to_channels_first()
    W = graph.keep("W", layer.params.W.transpose(3, 2, 0, 1))
    graph.add("Conv", W, graph.keep("b", layer.params.b), **_window(layer.geometry))


def _depthwise(graph: Graph, layer: Any) -> None:
    graph.to_channels_first()
    W = graph.keep("W", layer.params.W.transpose(3, 2, 0, 1))
    groups = layer.input_shape[2]
    graph.add("Conv", W, graph.keep("b", layer.params.b), group=groups, **_window(layer.geometry))


def _residual(graph: Graph, layer: Any) -> None:
    """Both branches begin with the same values, and end with channels in the same place."""
    if len(layer.input_shape) == 3:
        graph.to_channels_first()
    x, first = graph.value, graph.first
    graph.add_layers(layer.layers)
    f, f_first = graph.value, graph.first
    graph.value, graph.first = x, first
    graph.add_layers(layer.skip)
    graph.prefix = layer.name
    if f_first != graph.first:
        graph.to_channels_last()
        s, graph.value, graph.first = graph.value, f, f_first
        graph.to_channels_last()
        f, graph.value = graph.value, s
    graph.add("Add", f)


def _window(geometry: Any) -> dict[str, Any]:
    (top, bottom), (left, right) = geometry.padding
    return {
        "kernel_shape": [*geometry.size],
        "strides": [*geometry.stride],
        "pads": [top, left, bottom, right],
    }


def _max_pool(graph: Graph, layer: Any) -> None:
    graph.to_channels_first()
    graph.add("MaxPool", **_window(layer.geometry))


def _average_pool(graph: Graph, layer: Any) -> None:
    graph.to_channels_first()
    graph.add("AveragePool", count_include_pad=0, **_window(layer.geometry))


def _global_average_pool(graph: Graph, layer: Any) -> None:
    graph.to_channels_first()
    graph.add("GlobalAveragePool")
    graph.add("Flatten")
    graph.first = False


def _batch_norm(graph: Graph, layer: Any) -> None:
    if len(layer.input_shape) == 3:
        graph.to_channels_first()
    p, running = layer.params, layer.state
    channels = {"gamma": p.gamma, "beta": p.beta, "mean": running.mean, "variance": running.variance}
    kept = [graph.keep(name, _in_order(values, graph.order)) for name, values in channels.items()]
    graph.add("BatchNormalization", *kept, epsilon=layer.epsilon)


def _flatten(graph: Graph, layer: Any) -> None:
    """Without a Transpose, if the rows of a Dense can be reordered instead."""
    after = next((each for each in graph.rest if not isinstance(each, KEEPS_ORDER)), None)
    if graph.first and isinstance(after, layers.Dense):
        height, width, channels = layer.input_shape
        places = np.arange(height * width * channels).reshape(height, width, channels)
        graph.order, graph.first = places.transpose(2, 0, 1).reshape(-1), False
    graph.to_channels_last()
    graph.add("Flatten")


def _reshape(graph: Graph, layer: Any) -> None:
    graph.to_channels_last()
    graph.add("Reshape", graph.keep("shape", [-1, *layer.shape], np.int64))


def _softmax(graph: Graph, layer: Any) -> None:
    graph.add("Softmax", axis=1 if graph.first else -1)


Add: TypeAlias = Callable[[Graph, Any], None]


def _plain(operator: str, **settings: str) -> Add:
    """An operator of one name, whose attributes are settings of the layer."""

    def add(graph: Graph, layer: Any) -> None:
        graph.add(operator, **{name: getattr(layer, setting) for name, setting in settings.items()})

    return add


OPERATORS: dict[type[Layer], Add] = {
    layers.Dense: _dense,
    layers.Conv2D: _convolution,
    layers.DepthwiseConv2D: _depthwise,
    layers.Residual: _residual,
    layers.MaxPool2D: _max_pool,
    layers.AvgPool2D: _average_pool,
    layers.GlobalAveragePool: _global_average_pool,
    layers.BatchNorm: _batch_norm,
    layers.Dropout: lambda graph, layer: None,
    layers.Flatten: _flatten,
    layers.Reshape: _reshape,
    layers.Rescale: _rescale,
    layers.ReLU: _plain("Relu"),
    layers.LeakyReLU: _plain("LeakyRelu", alpha="slope"),
    layers.ELU: _plain("Elu", alpha="alpha"),
    layers.GELU: lambda graph, layer: graph.add("Gelu", approximate=layer.approximate),
    layers.Sigmoid: _plain("Sigmoid"),
    layers.Tanh: _plain("Tanh"),
    layers.Softmax: _softmax,
}
"""How a layer of each kind is added to a graph."""
KEEPS_ORDER = (
    layers.BatchNorm,
    layers.Dropout,
    layers.Flatten,
    layers.Rescale,
    layers.ReLU,
    layers.LeakyReLU,
    layers.ELU,
    layers.GELU,
    layers.Sigmoid,
    layers.Tanh,
    layers.Softmax,
)
"""Layers after a Flatten that compute the same whatever order its values are in."""
