"""Open Inference Protocol v2: tensors in, tensors out, as JSON or with the binary tensor data extension.

The protocol: https://github.com/kserve/open-inference-protocol (inference_rest.md). The extension: the body
is JSON of the length that the header Inference-Header-Content-Length gives, then the tensors' bytes, row
major and little-endian.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from tinynet.serve.inputs import parse, pixels, settled
from tinynet.serve.limits import Refused, as_json
from tinynet.serve.models import LARGEST, Served
from tinynet.types import Array
from tinynet.version import VERSION

EXTENSION = "binary_tensor_data"
HEADER = "inference-header-content-length"
INPUT, OUTPUTS = "image", ("probabilities", "class")
DTYPES = {
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
}
"""The protocol's names of the kinds of numbers that pixels may come in."""


class Asked(NamedTuple):
    """An inference request that was understood."""

    id: str | None
    images: Array
    outputs: list[tuple[str, bool]]
    """The name of each output wanted, and whether as bytes."""


def server_metadata() -> dict[str, Any]:
    return {"name": "tinynet", "version": VERSION, "extensions": [EXTENSION]}


def model_metadata(served: Served) -> dict[str, Any]:
    return {
        "name": served.name,
        "platform": "tinynet",
        "inputs": [{"name": INPUT, "datatype": "UINT8", "shape": [-1, *served.shape]}],
        "outputs": [
            {"name": "probabilities", "datatype": _float(served), "shape": [-1, len(served.classes)]},
            {"name": "class", "datatype": "INT64", "shape": [-1]},
        ],
    }


def read_request(body: bytes, json_length: str | None, served: Served) -> Asked:
    """The request in a body, whose JSON part has `json_length` bytes (None: all). Refused with 400."""
    length = _length(json_length, len(body))
    table, binary = parse(body[:length]), body[length:]
    if not isinstance(table, dict):
        raise Refused(400, "an inference request is a JSON object")
    id_ = table.get("id")
    if not isinstance(id_, str | None):
        raise Refused(400, "id is a text")
    inputs = table.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise Refused(400, f"inputs is a list of one tensor, {INPUT!r}")
    images = _tensor(inputs[0], body[:length], binary, served)
    return Asked(id_, images, _outputs(table))


def reply(asked: Asked, probabilities: Array, served: Served) -> tuple[bytes, int | None]:
    """The body of the answer, and the length of its JSON part where bytes follow it."""
    tensors = {"probabilities": probabilities, "class": probabilities.argmax(axis=1).astype(np.int64)}
    datatypes = {"probabilities": _float(served), "class": "INT64"}
    outputs, binary = [], []
    for name, as_bytes in asked.outputs:
        tensor = tensors[name]
        output: dict[str, Any] = {"name": name, "datatype": datatypes[name], "shape": list(tensor.shape)}
        if as_bytes:
            binary.append(tensor.astype(tensor.dtype.newbyteorder("<"), copy=False).tobytes())
            output["parameters"] = {"binary_data_size": len(binary[-1])}
        else:
            output["data"] = tensor.ravel().tolist()
        outputs.append(output)
    table = {"model_name": served.name, "outputs": outputs}
    if asked.id is not None:
        table["id"] = asked.id
    text = as_json(table)
    return (text + b"".join(binary), len(text)) if binary else (text, None)


def _float(served: Served) -> str:
    return "FP64" if served.model.dtype == "float64" else "FP32"


def _length(json_length: str | None, whole: int) -> int:
    if json_length is None:
        return whole
    if not (json_length.isascii() and json_length.isdecimal() and int(json_length[:20]) <= whole):
        raise Refused(400, f"{HEADER} is the length of the JSON, at most that of the body, {whole:,}")
    return int(json_length)


def _tensor(table: dict[str, Any], text: bytes, binary: bytes, served: Served) -> Array:
    """The images (N, H, W, C) of the one input."""
    if table.get("name") != INPUT:
        raise Refused(400, f"the input is called {INPUT!r}")
    datatype, shape = table.get("datatype"), _shape(table.get("shape"))
    if not isinstance(datatype, str) or datatype not in DTYPES:
        raise Refused(400, f"the datatype is one of {', '.join(DTYPES)}")
    if tuple(shape[1:]) != served.shape or not 1 <= shape[0] <= LARGEST:
        wanted = ", ".join(map(str, served.shape))
        raise Refused(400, f"the shape is [N, {wanted}], with N from 1 to {LARGEST}")
    size = _parameters(table).get("binary_data_size")
    if size is None:
        return _from_data(table.get("data"), text, binary, shape, datatype)
    dtype = np.dtype(DTYPES[datatype]).newbyteorder("<")
    expected = math.prod(shape) * dtype.itemsize
    if "data" in table or not (size == len(binary) == expected) or isinstance(size, bool):
        raise Refused(
            400, f"{datatype} of shape {shape} is {expected:,} bytes after the JSON, and no data in it"
        )
    return settled(np.frombuffer(binary, dtype).reshape(shape))


def _from_data(data: Any, text: bytes, binary: bytes, shape: list[int], datatype: str) -> Array:
    if binary:
        raise Refused(400, "bytes follow the JSON, and the input does not give binary_data_size")
    if not isinstance(data, list):
        raise Refused(400, "data is a list of numbers")
    values = pixels(data, text)
    if values.size != math.prod(shape):
        raise Refused(400, f"data has {values.size:,} numbers, and shape {shape} has {math.prod(shape):,}")
    if values.dtype.kind == "f" and not datatype.startswith("FP"):
        raise Refused(400, f"{datatype} is of whole numbers")
    return (values.astype(np.float32) if datatype.startswith("FP") else values).reshape(shape)


def _shape(value: Any) -> list[int]:
    if not (isinstance(value, list) and value and all(type(each) is int for each in value)):
        raise Refused(400, "the shape is a list of whole numbers")
    return value


def _parameters(table: dict[str, Any]) -> dict[str, Any]:
    found = table.get("parameters", {})
    if not isinstance(found, dict):
        raise Refused(400, "parameters is an object")
    return found


def _outputs(table: dict[str, Any]) -> list[tuple[str, bool]]:
    default = _parameters(table).get("binary_data_output", False)
    wanted = table.get("outputs", [{"name": name} for name in OUTPUTS])
    if not isinstance(wanted, list) or not all(isinstance(each, dict) for each in wanted):
        raise Refused(400, "outputs is a list of objects")
    found = [(each.get("name"), _parameters(each).get("binary_data", default)) for each in wanted]
    names = [name for name, _ in found]
    if not names or any(names.count(name) > 1 or name not in OUTPUTS for name in names):
        raise Refused(400, f"outputs are some of {', '.join(OUTPUTS)}, each once")
    if not all(isinstance(binary, bool) for _, binary in found):
        raise Refused(400, "binary_data and binary_data_output are true or false")
    return found
