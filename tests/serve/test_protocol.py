"""Open Inference Protocol v2: replies against a schema written from the protocol's text, and bad requests."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import numpy as np
import pytest
from served import Answer, Client, digit

from tinynet.runs.predictions import predict
from tinynet.serve.models import Served
from tinynet.types import Array

TEXT = {"type": "string"}
DATATYPES = {
    "enum": [
        *("BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"),
        *("FP16", "FP32", "FP64", "BYTES"),
    ]
}
FLAG = {"type": "boolean"}


def table(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    """An object of exactly these fields."""
    return {
        "type": "object",
        "properties": {**required, **optional},
        "required": [*required],
        "additionalProperties": False,
    }


def listed(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


SHAPE = listed({"type": "integer", "minimum": -1})
TENSOR_METADATA = table({"name": TEXT, "datatype": DATATYPES, "shape": SHAPE})
PARAMETERS = {
    "type": "object",
    "additionalProperties": {"anyOf": [TEXT, FLAG, {"type": "number"}]},
}
SCHEMAS = {
    "server": table({"name": TEXT, "version": TEXT, "extensions": listed(TEXT)}),
    "model": table(
        {
            "name": TEXT,
            "platform": TEXT,
            "inputs": listed(TENSOR_METADATA),
            "outputs": listed(TENSOR_METADATA),
        },
        versions=listed(TEXT),
    ),
    "live": table({"live": FLAG}),
    "ready": table({"live": FLAG}, ready=FLAG),
    "model ready": table({"name": TEXT, "ready": FLAG}),
    "error": table({"error": TEXT}),
    "inference": table(
        {
            "model_name": TEXT,
            "outputs": listed(
                table(
                    {
                        "name": TEXT,
                        "shape": listed({"type": "integer", "minimum": 0}),
                        "datatype": DATATYPES,
                    },
                    parameters=PARAMETERS,
                    data=listed({"anyOf": [{"type": "number"}, TEXT, FLAG]}),
                )
            ),
        },
        model_version=TEXT,
        id=TEXT,
        parameters=PARAMETERS,
    ),
}
"""The replies, as the protocol's text has them."""


def valid(answer: Answer, kind: str, status: int = 200) -> Any:
    """The reply, once it fits the protocol."""
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/json"
    jsonschema.validate(answer.json, SCHEMAS[kind])
    return answer.json


def tensor(images: Array, datatype: str = "UINT8", **more: Any) -> dict[str, Any]:
    return {
        "name": "image",
        "shape": [*images.shape],
        "datatype": datatype,
        "data": images.ravel().tolist(),
    } | more


def some_images(count: int = 3) -> Array:
    return np.random.default_rng(7).integers(0, 256, (count, 28, 28, 1), np.uint8)


def test_metadata_and_health(ask: Client) -> None:
    assert valid(ask("/v2"), "server")["extensions"] == ["binary_tensor_data"]
    assert valid(ask("/v2/health/live"), "live") == {"live": True}
    assert valid(ask("/v2/health/ready"), "ready")["ready"] is True
    assert valid(ask("/v2/models/net/ready"), "model ready") == {"name": "net", "ready": True}
    found = valid(ask("/v2/models/net"), "model")
    assert found["inputs"] == [{"name": "image", "datatype": "UINT8", "shape": [-1, 28, 28, 1]}]
    for path in ("/v2/models/none", "/v2/models/none/ready"):
        assert "there is no such model" in valid(ask(path), "error", 404)["error"]


@pytest.mark.parametrize("datatype", ["UINT8", "INT64", "UINT16", "FP16", "FP32", "FP64"])
def test_images_as_json_or_bytes_get_the_nets_answer(ask: Client, served: Served, datatype: str) -> None:
    images = some_images()
    expected = predict(served.model, served.loss, images).probabilities
    found = valid(ask("/v2/models/net/infer", {"inputs": [tensor(images, datatype)], "id": "a"}), "inference")
    assert (found["id"], found["model_name"]) == ("a", "net")
    probabilities, classes = found["outputs"]
    assert (probabilities["shape"], probabilities["datatype"]) == ([3, 10], "FP32")
    assert np.allclose(np.reshape(probabilities["data"], (3, 10)), expected, atol=1e-6)
    assert (classes["name"], classes["datatype"], classes["shape"]) == ("class", "INT64", [3])
    assert classes["data"] == expected.argmax(axis=1).tolist()

    numbers = {"UINT8": "<u1", "INT64": "<i8", "UINT16": "<u2", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8"}
    sent = images.astype(numbers[datatype]).tobytes()
    given = tensor(images, datatype, parameters={"binary_data_size": len(sent)})
    del given["data"]
    wanted = [
        {"name": "class", "parameters": {"binary_data": False}},
        {"name": "probabilities", "parameters": {"binary_data": True}},
    ]
    answer = infer_bytes(ask, {"inputs": [given], "outputs": wanted}, sent)
    assert answer.headers["content-type"] == "application/octet-stream"
    length = int(answer.headers["inference-header-content-length"])
    head = json.loads(answer.body[:length])
    jsonschema.validate(head, SCHEMAS["inference"])
    assert "id" not in head
    assert head["outputs"][1]["parameters"] == {"binary_data_size": 120}
    assert np.allclose(np.frombuffer(answer.body[length:], "<f4").reshape(3, 10), expected, atol=1e-6)
    assert head["outputs"][0]["data"] == classes["data"]


def infer_bytes(ask: Client, table: dict[str, Any], binary: bytes, length: object = None) -> Answer:
    head = json.dumps(table).encode()
    return ask(
        "/v2/models/net/infer",
        head + binary,
        Content_Type="application/octet-stream",
        Inference_Header_Content_Length=str(len(head) if length is None else length),
    )


def test_all_outputs_as_bytes(ask: Client) -> None:
    table = {"inputs": [tensor(some_images(2))], "parameters": {"binary_data_output": True}}
    answer = ask("/v2/models/net/infer", table)
    length = int(answer.headers["inference-header-content-length"])
    sizes = [each["parameters"]["binary_data_size"] for each in json.loads(answer.body[:length])["outputs"]]
    assert sizes == [80, 16]
    assert len(answer.body) == length + 96


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ([], "an inference request is a JSON object"),
        ({}, "inputs is a list of one tensor, 'image'"),
        ({"inputs": []}, "inputs is a list of one tensor"),
        ({"inputs": [1]}, "inputs is a list of one tensor"),
        ({"inputs": [tensor(digit()[None])] * 2}, "inputs is a list of one tensor"),
        ({"inputs": [tensor(digit()[None])], "id": 7}, "id is a text"),
        ({"inputs": [tensor(digit()[None], name="x")]}, "the input is called 'image'"),
        ({"inputs": [tensor(digit()[None], "BOOL")]}, "the datatype is one of UINT8"),
        ({"inputs": [tensor(digit()[None], "BYTES")]}, "the datatype is one of UINT8"),
        ({"inputs": [{**tensor(digit()[None]), "datatype": []}]}, "the datatype is one of UINT8"),
        ({"inputs": [tensor(digit())]}, "the shape is [N, 28, 28, 1]"),
        ({"inputs": [tensor(digit()[None], shape="x")]}, "the shape is a list of whole numbers"),
        ({"inputs": [tensor(digit()[None], shape=[1.0, 28, 28, 1])]}, "the shape is a list of whole numbers"),
        (
            {"inputs": [tensor(digit()[None], shape=[True, 28, 28, 1])]},
            "the shape is a list of whole numbers",
        ),
        ({"inputs": [tensor(digit()[None], shape=[-1, 28, 28, 1])]}, "with N from 1 to 64"),
        ({"inputs": [tensor(digit()[None], shape=[2, 28, 28, 1])]}, "data has 784 numbers"),
        ({"inputs": [tensor(digit()[None], shape=[2**70, 28, 28, 1])]}, "with N from 1 to 64"),
        ({"inputs": [tensor(digit()[None], data=[0.5] * 784)]}, "UINT8 is of whole numbers"),
        ({"inputs": [tensor(digit()[None], data=["a"] * 784)]}, "pixels are numbers from 0 to 255"),
        ({"inputs": [tensor(digit()[None], "FP32", data=[-1.5] * 784)]}, "pixels are numbers from 0 to 255"),
        ({"inputs": [tensor(digit()[None], data=None)]}, "data is a list of numbers"),
        ({"inputs": [tensor(digit()[None], parameters=3)]}, "parameters is an object"),
        (
            {"inputs": [tensor(digit()[None], parameters={"binary_data_size": 784})]},
            "784 bytes after the JSON",
        ),
        ({"inputs": [tensor(digit()[None])], "outputs": 3}, "outputs is a list of objects"),
        ({"inputs": [tensor(digit()[None])], "outputs": []}, "outputs are some of probabilities, class"),
        ({"inputs": [tensor(digit()[None])], "outputs": [{"name": "x"}]}, "outputs are some of"),
        ({"inputs": [tensor(digit()[None])], "outputs": [{"name": []}]}, "outputs are some of"),
        ({"inputs": [tensor(digit()[None])], "outputs": [{"name": "class"}] * 2}, "each once"),
        (
            {"inputs": [tensor(digit()[None])], "parameters": {"binary_data_output": 1}},
            "binary_data and binary_data_output are true or false",
        ),
    ],
)
def test_a_request_that_is_none(ask: Client, table: Any, said: str) -> None:
    answer = ask("/v2/models/net/infer", json.dumps(table).encode())
    assert said in valid(answer, "error", 400)["error"]


def test_bytes_that_do_not_fit(ask: Client) -> None:
    image = digit()[None]
    given = tensor(image, parameters={"binary_data_size": 784})
    del given["data"]
    for table, binary, length, said in [
        ({"inputs": [given]}, image.tobytes()[:-1], None, "784 bytes after the JSON"),
        ({"inputs": [given]}, image.tobytes() + b"x", None, "784 bytes after the JSON"),
        ({"inputs": [tensor(image)]}, b"x", None, "does not give binary_data_size"),
        ({"inputs": [given]}, image.tobytes(), 10**6, "the length of the JSON"),
        ({"inputs": [given]}, image.tobytes(), -1, "the length of the JSON"),
        ({"inputs": [given]}, image.tobytes(), "9" * 5000, "the length of the JSON"),
        ({"inputs": [given]}, image.tobytes(), 3, "the body is no JSON"),
    ]:
        assert said in valid(infer_bytes(ask, table, binary, length), "error", 400)["error"]
    nans = np.full((1, 28, 28, 1), np.nan, "<f4")
    given = tensor(nans, "FP32", parameters={"binary_data_size": nans.nbytes})
    del given["data"]
    answer = infer_bytes(ask, {"inputs": [given]}, nans.tobytes())
    assert "pixels are numbers from 0 to 255" in valid(answer, "error", 400)["error"]
    assert "no such model" in ask("/v2/models/none/infer", {"inputs": []}).error
