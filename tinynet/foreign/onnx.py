"""A net out of an ONNX graph: a chain of layers that tinynet has, and blocks with a shortcut.

A graph has channels first; the model has them last, and so have its inputs: (H, W, C). Kernels, and the rows
of a dense layer after a flatten, are put in that order.
"""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from tinynet import extras, layers
from tinynet.errors import ConfigError, DataError, TinynetError
from tinynet.foreign.net import Read
from tinynet.io.reading import read_regular
from tinynet.printable import counted
from tinynet.types import Array, Shape

MAX_BYTES = 2**29
"""Of a file: the largest nets that would train here have a tenth of that."""
TO_FIRST, TO_LAST = [0, 3, 1, 2], [0, 2, 3, 1]
ON_IMAGES = ("Conv", "MaxPool", "AveragePool", "GlobalAveragePool", "ReduceMean", "BatchNormalization")
PASSED_BY = ("Identity", "Dropout", "Cast")
"""Operators that do nothing in inference, or only say of what type the numbers are."""


def read_onnx(path: Path) -> tuple[Read, Shape]:
    """The layers and weights in an ONNX file, and the shape of a sample.

    Raises DataError for a file that is no ONNX, ConfigError without the extra `onnx` and for anything that
    tinynet has no layer for, with its name. External data is never read.
    """
    extras.load("onnx")
    import onnx

    try:
        model = onnx.load_from_string(read_regular(path, MAX_BYTES))
        _check_whole(path, model.graph)
        onnx.checker.check_model(model)
        model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except TinynetError:
        raise
    except Exception as error:  # of protobuf and of the checker, each with classes of its own
        raise _damaged(path, error) from error
    chain = Chain(str(path), model)
    return chain.read()


def _check_whole(path: Path, graph: Any) -> None:
    """Refuse tensors that lie in another file, before anything looks for it."""
    attributes = (attribute for node in graph.node for attribute in node.attribute)
    tensors = (*graph.initializer, *(attribute.t for attribute in attributes if attribute.HasField("t")))
    for tensor in tensors:
        if tensor.external_data or tensor.data_location:
            raise ConfigError(
                f"{path}: the weights {tensor.name} lie in another file",
                expected="weights inside the file",
                received="external data, which is never read",
                fix="save the net as one file",
            )


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{path} cannot be read as ONNX",
        expected="a whole .onnx file, with its weights inside",
        received=" ".join(str(error).split())[:200],
    )


class Block(NamedTuple):
    """Two branches, each a path, from one value to the node that adds them."""

    start: str
    branches: list[list[Any]]


class Chain:
    """Follows a graph from its input to its output.

    `first`    whether the value at hand is images with channels first
    `order`    after a flatten of such images: where tinynet's values stand among the graph's
    `means`    whether it is the mean of each channel, still with two axes of length 1
    """

    def __init__(self, source: str, model: Any) -> None:
        from onnx import numpy_helper

        graph = model.graph
        self.net = Read(source)
        self.constants: dict[str, Array] = {}
        for tensor in graph.initializer:
            self.constants[tensor.name] = numpy_helper.to_array(tensor)
        for node in graph.node:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self.constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        nodes = [node for node in graph.node if node.op_type != "Constant"]
        self.makers = {name: node for node in nodes for name in node.output}
        self.waiting: deque[Any] = deque()
        self.inputs = [each for each in graph.input if each.name not in self.constants]
        self.outputs = [each.name for each in graph.output]
        described = (*graph.input, *graph.value_info, *graph.output)
        self.shapes = {each.name: _dims(each) for each in described}
        self.metadata = {each.key: each.value for each in model.metadata_props}
        self.first = self.means = False
        self.order: Array | None = None

    def read(self) -> tuple[Read, Shape]:
        if len(self.inputs) != 1 or len(self.outputs) != 1:
            names = [each.name for each in self.inputs], self.outputs
            raise self.net.refuse("a graph with several inputs or outputs", "one of each", names)
        name = self.inputs[0].name
        shape = self.shapes[name][1:]
        if not shape or any(size is None for size in shape):
            raise self.net.refuse(
                "the size of its input is not known", "sizes for all axes but the batch", self.shapes[name]
            )
        self.end = self._yes(self.outputs[0])
        self.first = len(shape) == 3 and self._begins_with_images(name)
        sample = (*shape[1:], shape[0]) if self.first else tuple(shape)
        self.follow(self.path(self.end, name))
        if self.order is not None:
            raise self.net.refuse(
                "the graph ends in images with channels first in a row", "a Gemm behind them", self.outputs[0]
            )
        known = json.loads(self.metadata.get("classes") or "[]")
        self.net.classes = [str(each) for each in known] if isinstance(known, list) else []
        return self.net, tuple(int(size or 0) for size in sample)

    def _yes(self, end: str) -> str:
        """The end; of the probabilities [1 - p, p] of no and yes, as our own files have, the sigmoid p."""
        concat = self.makers.get(end)
        if concat is None or concat.op_type != "Concat" or len(concat.input) != 2:
            return end
        no, yes = concat.input
        sigmoid, add = self.makers.get(yes), self.makers.get(no)
        if sigmoid is None or add is None or (sigmoid.op_type, add.op_type) != ("Sigmoid", "Add"):
            return end
        negative, one = self.makers.get(add.input[0]), self.constants.get(add.input[1])
        if negative is None or (negative.op_type, negative.input[0]) != ("Neg", yes):
            return end
        is_rest = one is not None and one.size == 1 and one.item() == 1
        return yes if is_rest and self.shapes[yes][1:] == [1] else end

    def _begins_with_images(self, name: str) -> bool:
        """Whether the first node that asks for an order of axes takes images with channels first.

        A flatten asks for none: 1 or 3 in front, and not at the end, are channels.
        """
        channels, last = self.shapes[name][1], self.shapes[name][3]
        for node in self.path(self.end, name):
            if isinstance(node, Block):
                return True
            if node.op_type in ("Flatten", "Reshape") and len(self.shapes.get(node.output[0], ())) == 2:
                return channels in (1, 3) and last not in (1, 3)
            if node.op_type in ON_IMAGES or node.op_type in ("Transpose", "Flatten", "Reshape"):
                return node.op_type in ON_IMAGES
        return False

    def path(self, end: str, start: str) -> list[Any]:
        """The nodes from one value to another; in place of an Add of two branches, a `Block`."""
        found: list[Any] = []
        while end != start:
            node, given = self.makers.get(end), self.given(end)
            if node is None or len(given) not in (1, 2) or (len(given) == 2 and node.op_type != "Add"):
                raise self.net.refuse(
                    f"{f'{node.op_type} {node.name}' if node else end} computes with "
                    f"{counted(len(given), 'value')}",
                    "a chain of layers, and blocks whose two branches are added",
                    ", ".join(given) or "none",
                )
            if len(given) == 1:
                found.append(node)
                end = given[0]
            else:
                fork = self.fork(*given)
                found.append(Block(fork, [self.path(each, fork) for each in given]))
                end = fork
        return found[::-1]

    def given(self, value: str) -> list[str]:
        """The values, other than weights, that the node computes with which makes this one."""
        node = self.makers.get(value)
        return [name for name in node.input if name and name not in self.constants] if node else []

    def fork(self, left: str, right: str) -> str:
        """Where two branches begin."""
        before, value = {left}, left
        while given := self.given(value):
            value = given[0] if len(given) == 1 else self.fork(*given[:2])
            before.add(value)
        value = right
        while value not in before:
            if not (given := self.given(value)):
                raise self.net.refuse("two branches do not begin at one value", left, right)
            value = given[0] if len(given) == 1 else self.fork(*given[:2])
        return value

    def follow(self, path: Sequence[Any]) -> None:
        """Read the nodes of a path, which begins with the value at hand."""
        outer, self.waiting = self.waiting, deque(path)
        while self.waiting:
            node = self.waiting.popleft()
            if isinstance(node, Block):
                self.block(node)
            elif node.op_type not in PASSED_BY:
                read = OPERATORS.get(node.op_type)
                if read is None or node.domain not in ("", "ai.onnx"):
                    name = node.name or node.output[0]
                    raise self.net.refuse(
                        f"tinynet has no layer for the operator {node.op_type} ({name})",
                        ", ".join(sorted((*OPERATORS, *PASSED_BY))),
                        f"{node.domain or 'ai.onnx'}.{node.op_type}",
                    )
                [value] = self.given(node.output[0])
                read(self, node, value)
        self.waiting = outer

    def block(self, block: Block) -> None:
        """Two branches that are added: a Residual."""
        outer, state = self.net, (self.first, self.order, self.means)
        parts: list[Read] = []
        ends = []
        for path in block.branches:
            self.net = Read(outer.source)
            self.first, self.order, self.means = state
            self.follow(path)
            parts.append(self.net)
            ends.append((self.first, self.order is None, self.means))
        self.net = outer
        f, s = sorted(parts, key=lambda part: -len(part.layers))
        if ends[0] != ends[1] or not f.layers:
            raise self.net.refuse(
                f"the branches from {block.start} are no block", "two alike in shape, with layers", ends
            )
        weights: dict[str, Array] = {}
        used: dict[str, int] = {}
        for part in (f, s):
            for layer, own in zip(part.layers, part.weights, strict=True):
                kind = type(layer).__name__.lower()
                used[kind] = used.get(kind, 0) + 1
                weights |= {f"{kind}_{used[kind]}.{name}": values for name, values in own.items()}
        self.net.add(layers.Residual(f.layers, s.layers), weights)

    def constant(self, node: Any, place: int) -> Array | None:
        """The weights at that input of a node; None where it has none."""
        if place >= len(node.input) or not node.input[place]:
            return None
        name = node.input[place]
        if name not in self.constants:
            raise self.net.refuse(
                f"{node.op_type} {node.name} computes with two values that vary", "weights", name
            )
        array = self.constants[name]
        if array.dtype.kind not in "fiu":
            raise self.net.refuse(f"the weights {name} are no numbers tinynet has", "floats", array.dtype)
        return array

    def required(self, node: Any, place: int) -> Array:
        found = self.constant(node, place)
        if found is None:
            raise self.net.refuse(f"{node.op_type} {node.name} has no weights", "weights", "none")
        return found

    def expect(self, node: Any, settings: dict[str, Any], **allowed: Sequence[Any]) -> None:
        """Refuse attributes other than these, by name."""
        for name, values in allowed.items():
            if name in settings and settings[name] not in values:
                raise self.net.refuse(
                    f"{node.op_type} {node.name} with {name} = {settings[name]}",
                    " or ".join(map(str, values)),
                    settings[name],
                )

    def images(self, node: Any, value: str) -> None:
        if not self.first or self.means:
            raise self.net.refuse(
                f"{node.op_type} {node.name} gets no images with channels first",
                "(N, C, H, W)",
                self.shapes.get(value),
            )


def _dims(described: Any) -> list[int | None]:
    dims = described.type.tensor_type.shape.dim
    return [each.dim_value if each.HasField("dim_value") else None for each in dims]


def _attributes(node: Any) -> dict[str, Any]:
    from onnx import helper

    found = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in found.items()}


Reader: TypeAlias = Callable[[Chain, Any, str], None]
"""Reads a node that takes a value."""


def _window(chain: Chain, node: Any, settings: dict[str, Any], size: Sequence[int]) -> dict[str, Any]:
    """Kernel, stride and padding of a node for images of two axes."""
    if len(size) != 2:
        raise chain.net.refuse(f"{node.op_type} {node.name} of {len(size)} axes", "images of two axes", size)
    chain.expect(
        node, settings, dilations=([1, 1],), ceil_mode=(0,), storage_order=(0,),
        auto_pad=("NOTSET", "VALID", "SAME_UPPER"),
    )  # fmt: skip
    top, left, bottom, right = settings.get("pads") or [0, 0, 0, 0]
    same = settings.get("auto_pad") == "SAME_UPPER"
    return {
        "stride": tuple(settings.get("strides") or (1, 1)),
        "padding": "same" if same else ((top, bottom), (left, right)),
    }


def _convolution(chain: Chain, node: Any, value: str) -> None:
    chain.images(node, value)
    settings, W = _attributes(node), chain.required(node, 1)
    window = _window(chain, node, settings, W.shape[2:])
    chain.expect(node, settings, kernel_shape=([*W.shape[2:]],))
    b = chain.constant(node, 2)
    kernel = W.transpose(2, 3, 1, 0)
    filters, channels, group = W.shape[0], chain.shapes[value][1], settings.get("group", 1)
    weights = {"W": kernel, "b": np.zeros(filters) if b is None else b}
    size = (W.shape[2], W.shape[3])
    if group == 1:
        chain.net.add(layers.Conv2D(filters, size, **window), weights)
    elif group == channels and W.shape[1] == 1:
        made = layers.DepthwiseConv2D(size, multiplier=filters // group, **window)
        chain.net.add(made, weights)
    else:
        raise chain.net.refuse(
            f"Conv {node.name} with group = {group}", f"1, or {channels} with a kernel a channel", group
        )


def _max_pool(chain: Chain, node: Any, value: str) -> None:
    _pool(chain, node, value, layers.MaxPool2D)


def _average_pool(chain: Chain, node: Any, value: str) -> None:
    settings = _attributes(node)
    if any(settings.get("pads") or ()) or settings.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        chain.expect(node, settings, count_include_pad=(0,))
    _pool(chain, node, value, layers.AvgPool2D)


def _pool(chain: Chain, node: Any, value: str, kind: type) -> None:
    chain.images(node, value)
    if len(node.output) > 1:
        raise chain.net.refuse(f"{node.op_type} {node.name} with the places of the largest", "one output", 2)
    settings = _attributes(node)
    size = settings["kernel_shape"]
    window = _window(chain, node, settings, size)
    chain.net.add(kind(tuple(size), **window))


def _global_average_pool(chain: Chain, node: Any, value: str) -> None:
    chain.images(node, value)
    chain.net.add(layers.GlobalAveragePool())
    chain.means, chain.first = True, False


def _mean(chain: Chain, node: Any, value: str) -> None:
    chain.images(node, value)
    settings = _attributes(node)
    axes = settings.get("axes") or (chain.required(node, 1).tolist() if len(node.input) > 1 else None)
    if axes is None or sorted(axis % 4 for axis in axes) != [2, 3]:
        raise chain.net.refuse(f"ReduceMean {node.name} over axes {axes}", "the two axes of images", axes)
    chain.net.add(layers.GlobalAveragePool())
    chain.means, chain.first = bool(settings.get("keepdims", 1)), False


def _batch_norm(chain: Chain, node: Any, value: str) -> None:
    settings = _attributes(node)
    chain.expect(node, settings, training_mode=(0,), spatial=(1,))
    names = ("gamma", "beta", "mean", "variance")
    weights = {name: chain.required(node, place) for place, name in enumerate(names, 1)}
    if chain.order is not None:
        weights = {name: values[chain.order] for name, values in weights.items()}
    elif (
        len(chain.shapes[value]) not in (2, 4)
        or chain.means
        or (len(chain.shapes[value]) == 4) != chain.first
    ):
        raise chain.net.refuse(
            f"{node.op_type} {node.name} of another shape", "(N, C) or (N, C, H, W)", value
        )
    chain.net.add(layers.BatchNorm(epsilon=settings.get("epsilon", 1e-5)), weights)


def _gemm(chain: Chain, node: Any, value: str) -> None:
    settings = _attributes(node)
    chain.expect(node, settings, transA=(0,))
    W = chain.required(node, 1) * np.float32(settings.get("alpha", 1.0))
    bias = chain.constant(node, 2)
    W = W.T if settings.get("transB") else W
    b = np.zeros(W.shape[1]) if bias is None else bias * np.float32(settings.get("beta", 1.0))
    _add_dense(chain, node, W, np.broadcast_to(b.reshape(-1), W.shape[1]) if b.size in (1, W.shape[1]) else b)


def _matmul(chain: Chain, node: Any, value: str) -> None:
    """With the addition behind it, if that adds a bias."""
    if node.input[0] != value:
        raise chain.net.refuse(f"MatMul {node.name} of weights with a value", "a value with weights", value)
    W = chain.required(node, 1)
    if W.ndim != 2:
        raise chain.net.refuse(f"MatMul {node.name} with weights {W.shape}", "(I, O)", W.shape)
    after = chain.waiting[0] if chain.waiting else None
    b: Array = np.zeros(W.shape[1])
    if after is not None and not isinstance(after, Block) and after.op_type == "Add":
        [added] = [chain.constants[name] for name in after.input if name in chain.constants]
        if added.size == W.shape[1] == added.shape[-1]:
            b = added.reshape(-1)
            chain.waiting.popleft()
    _add_dense(chain, node, W, b)


def _add_dense(chain: Chain, node: Any, W: Array, b: Array) -> None:
    if chain.first or chain.means or b.shape != W.shape[1:]:
        raise chain.net.refuse(
            f"{node.op_type} {node.name} gets images, or a bias of another shape", "flat values", b.shape
        )
    chain.net.add(layers.Dense(W.shape[1]), {"W": W if chain.order is None else W[chain.order], "b": b})
    chain.order = None


def _flatten(chain: Chain, node: Any, value: str) -> None:
    chain.expect(node, _attributes(node), axis=(1,))
    _make_flat(chain, value)


def _make_flat(chain: Chain, value: str) -> None:
    shape = chain.shapes[value][1:]
    if chain.means:
        chain.means = False
    elif chain.first:
        channels, height, width = (int(size or 0) for size in shape)
        places = np.arange(channels * height * width).reshape(channels, height, width)
        chain.order, chain.first = places.transpose(1, 2, 0).reshape(-1), False
        chain.net.add(layers.Flatten())
    elif len(shape) != 1:
        chain.net.add(layers.Flatten())


def _reshape(chain: Chain, node: Any, value: str) -> None:
    sizes = chain.required(node, 1).tolist()
    before, after = chain.shapes[value][1:], chain.shapes[node.output[0]][1:]
    count = math.prod(int(size or 0) for size in before)
    if len(sizes) == 2 and (sizes[1] in (-1, count) or after == [count]):
        _make_flat(chain, value)
        return
    if chain.first or chain.means or chain.order is not None or None in after or len(sizes) < 2:
        raise chain.net.refuse(
            f"Reshape {node.name} of images with channels first to {sizes}", "(N, all values)", sizes
        )
    chain.net.add(layers.Reshape(tuple(int(size or 0) for size in after)))


def _squeeze(chain: Chain, node: Any, value: str) -> None:
    if not chain.means:
        raise chain.net.refuse(f"Squeeze {node.name}", "the means of channels before it", value)
    chain.means = False


def _transpose(chain: Chain, node: Any, value: str) -> None:
    perm = _attributes(node).get("perm")
    if perm not in ((TO_LAST,) if chain.first else (TO_FIRST,)) or chain.means:
        raise chain.net.refuse(f"Transpose {node.name} by {perm}", f"{TO_FIRST} or {TO_LAST}", perm)
    chain.first = not chain.first


def _scalar(chain: Chain, node: Any, value: str) -> None:
    """x · a, x / a, x + a, x - a for a number a: a Rescale."""
    place = 1 if node.input[0] == value else 0
    number = chain.required(node, place)
    if number.size != 1 or (place == 0 and node.op_type in ("Sub", "Div")):
        raise chain.net.refuse(
            f"{node.op_type} {node.name} with weights of shape {number.shape}",
            "a single number behind the value",
            number.shape,
        )
    a = float(number.reshape(()))
    scale, offset = {"Mul": (a, 0.0), "Div": (1 / a, 0.0), "Add": (1.0, a), "Sub": (1.0, -a)}[node.op_type]
    last = chain.net.layers[-1] if chain.net.layers else None
    if isinstance(last, layers.Rescale):
        chain.net.layers.pop()
        chain.net.weights.pop()
        scale, offset = last.scale * scale, last.offset * scale + offset
    chain.net.add(layers.Rescale(scale, offset))


def _softmax(chain: Chain, node: Any, value: str) -> None:
    axes = len(chain.shapes[value])
    wanted = 1 if chain.first else axes - 1
    axis = _attributes(node).get("axis", -1 if axes > 2 else wanted) % axes
    if axis != wanted or chain.means:
        raise chain.net.refuse(
            f"Softmax {node.name} along axis {axis}", f"along the channels, {wanted}", axis
        )
    chain.net.add(layers.Softmax())


def _activation(make: Callable[[dict[str, Any]], layers.Layer]) -> Reader:
    def read(chain: Chain, node: Any, value: str) -> None:
        chain.net.add(make(_attributes(node)))

    return read


OPERATORS: dict[str, Reader] = {
    "Conv": _convolution,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "GlobalAveragePool": _global_average_pool,
    "ReduceMean": _mean,
    "BatchNormalization": _batch_norm,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Mul": _scalar,
    "Div": _scalar,
    "Add": _scalar,
    "Sub": _scalar,
    "Softmax": _softmax,
    "Relu": _activation(lambda settings: layers.ReLU()),
    "LeakyRelu": _activation(lambda settings: layers.LeakyReLU(settings.get("alpha", 0.01))),
    "Elu": _activation(lambda settings: layers.ELU(settings.get("alpha", 1.0))),
    "Gelu": _activation(lambda settings: layers.GELU(settings.get("approximate", "none"))),
    "Sigmoid": _activation(lambda settings: layers.Sigmoid()),
    "Tanh": _activation(lambda settings: layers.Tanh()),
}
"""How a node of each operator is read."""
