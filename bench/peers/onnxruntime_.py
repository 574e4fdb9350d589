"""ONNX Runtime: inference only, from a graph written node by node."""

from __future__ import annotations

import numpy as np
import onnxruntime
from net import THREADS, Layer, Net, scaled
from onnx import TensorProto, helper, numpy_helper

DISTRIBUTIONS = ("onnxruntime", "onnx")
OPSET, IR = 17, 8
NODES = {  # kind: (operator, its attributes)
    "Dense": ("Gemm", lambda s: {"transB": 1}),
    "Conv2D": (
        "Conv",
        lambda s: {
            "auto_pad": {"valid": "VALID", "same": "SAME_UPPER"}[s.get("padding", "valid")],
            "strides": [s.get("stride", 1)] * 2,
        },
    ),
    "MaxPool2D": ("MaxPool", lambda s: {"kernel_shape": [2, 2], "strides": [2, 2]}),
    "AvgPool2D": ("AveragePool", lambda s: {"kernel_shape": [2, 2], "strides": [2, 2]}),
    "BatchNorm": ("BatchNormalization", lambda s: {"epsilon": 1e-5}),
    "Flatten": ("Flatten", lambda s: {}),
    "ReLU": ("Relu", lambda s: {}),
    "ELU": ("Elu", lambda s: {}),
    "Sigmoid": ("Sigmoid", lambda s: {}),
    "Tanh": ("Tanh", lambda s: {}),
}


class Peer:
    def __init__(self, net: Net, mode: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = THREADS
        model = graph(net).SerializeToString()
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def put(self, images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return scaled(images).transpose(0, 3, 1, 2), labels

    def infer(self, x: np.ndarray) -> np.ndarray:
        return self.session.run(None, {"x": x})[0]


def graph(net: Net):
    """The net for images (N, C, H, W)."""
    nodes, tensors, value = [], [], "x"
    for position, (layer, before) in enumerate(zip(net.layers, [None, *net.layers], strict=False)):
        if layer.kind not in NODES:  # Rescale was done beforehand, Dropout does nothing
            continue
        operator, attributes = NODES[layer.kind]
        weights = {f"{name}{position}": a for name, a in tensors_of(layer, before).items()}
        tensors += [numpy_helper.from_array(a, name) for name, a in weights.items()]
        made = f"y{position}"
        nodes.append(helper.make_node(operator, [value, *weights], [made], **attributes(layer.settings)))
        value = made
    height, width, channels = net.layers[0].input_shape
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", channels, height, width])
    y = helper.make_tensor_value_info(value, TensorProto.FLOAT, ["N", 10])
    whole = helper.make_graph(nodes, net.name, [x], [y], tensors)
    return helper.make_model(whole, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)


def tensors_of(layer: Layer, before: Layer | None) -> dict[str, np.ndarray]:
    """Its weights, and the running statistics of a batch normalisation that has seen nothing."""
    weights = layer.for_channels_first(before)
    if layer.kind != "BatchNorm":
        return weights
    ones = np.ones(layer.input_shape[-1], np.float32)
    return weights | {"mean": 0 * ones, "variance": ones}
