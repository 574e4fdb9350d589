"""The routes of the service, and what its OpenAPI document says of them.

Bodies are taken as bytes and checked by hand: to validate 784 numbers one by one takes longer than the net.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from tinynet.analysis.card import NOT_SURE
from tinynet.errors import TinynetError
from tinynet.serve import documents, inputs, protocol
from tinynet.serve.gate import FAILED, Gate
from tinynet.serve.inputs import Given
from tinynet.serve.limits import MAX_BODY, Refused, as_json
from tinynet.serve.models import LARGEST, Served
from tinynet.serve.service import MAX_WAITING, Service
from tinynet.types import Array
from tinynet.version import VERSION

STATUSES = {
    400: "The request is not understood; `error` says why.",
    401: "A bearer token is needed, where the service was started with one.",
    404: "No such model, or no page in this installation.",
    408: "The body did not come in time.",
    413: f"The body is larger than {MAX_BODY:,} bytes.",
    415: "Another content type.",
    421: "The header Host names another host.",
    500: "The service failed; its log says why.",
    503: f"Not ready yet, or {MAX_WAITING} requests wait already; Retry-After says when to ask again.",
}
OFTEN = ("/v1/predict",)
"""POST to these paths goes to its function without FastAPI in between, which takes longer than the net."""
POSTED = (400, 401, 404, 408, 413, 415, 421, 500, 503)


class Problem(BaseModel):
    error: str


class Prediction(BaseModel):
    label: str
    index: int
    """The class, counted from 0."""
    probability: float
    probabilities: list[float]
    sure: bool
    note: str | None


class Predictions(BaseModel):
    model: str
    classes: list[str]
    predictions: list[Prediction]
    fitted: str | None


class Top(BaseModel):
    index: int
    label: str
    probability: float
    logit: float


class GradCam(BaseModel):
    layer: str
    map: list[list[float]]
    place: list[float]


class Explanation(BaseModel):
    model: str
    top: list[Top]
    pixels: list[Any]
    saliency: list[list[float]]
    margin: list[list[float]]
    grad_cam: GradCam | None
    fitted: str | None


class Model(BaseModel):
    name: str
    classes: list[str]
    input_shape: list[int]
    layers: list[dict[str, Any]]
    parameters: int
    dtype: str
    backend: str
    weights_sha256: str
    dataset: str | None
    data_sha256: str | None
    test: dict[str, Any] | None
    models: list[str]


class Live(BaseModel):
    live: bool


class Ready(BaseModel):
    live: bool
    ready: bool


class ServerMetadata(BaseModel):
    name: str
    version: str
    extensions: list[str]


class Tensor(BaseModel):
    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    name: str
    platform: str
    inputs: list[Tensor]
    outputs: list[Tensor]


class ModelReady(BaseModel):
    name: str
    ready: bool


class OutputTensor(Tensor):
    data: list[float] | None = None
    parameters: dict[str, Any] | None = None


class Inference(BaseModel):
    model_name: str
    id: str | None = None
    outputs: list[OutputTensor]


BINARY = {"type": "string", "format": "binary"}
PARAMETERS = {"type": "object"}
POINT = {
    "type": "array",
    "items": {"type": "number", "minimum": -1e6, "maximum": 1e6},
    "minItems": 2,
    "maxItems": 2,
}
STROKES = {
    "type": "array",
    "minItems": 1,
    "description": "Strokes of points [x, y], y downwards, in any unit and at any place.",
    "items": {"type": "array", "items": POINT},
}


def _pixels(models: Iterable[Served]) -> dict[str, Any]:
    """One image or several. Shapes are told in words: a schema of rows of 28 keeps programs busy that make
    requests up from it."""
    shapes = " or ".join(" × ".join(map(str, each.shape[: 2 if each.is_grey else 3])) for each in models)
    return {
        "type": "array",
        "minItems": 1,
        "description": f"Numbers from 0 (ground) to 255 (ink), {shapes}; or up to {LARGEST} such images.",
    }


def _object(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "title": name,
        "required": [name],
        "properties": {name: schema},
        "additionalProperties": False,
    }


def _input_body(models: Iterable[Served]) -> dict[str, Any]:
    """What /v1/predict and /v1/explain take."""
    table = {
        "oneOf": [_object("pixels", _pixels(models)), _object("strokes", STROKES)],
        "example": {"strokes": [[[0, 0], [20, 0], [8, 40]]]},
    }
    media = {each: {"schema": BINARY} for each in (inputs.BYTES, *inputs.FORMATS)}
    return {"required": True, "content": {inputs.JSON: {"schema": table}, **media}}


def _inference_request(models: Iterable[Served]) -> dict[str, Any]:
    """The JSON part of an inference request."""
    count = {"type": "integer", "minimum": 1, "maximum": LARGEST}
    shapes = [
        {
            "type": "array",
            "prefixItems": [count, *({"const": size} for size in served.shape)],
            "minItems": 1 + len(served.shape),
            "maxItems": 1 + len(served.shape),
        }
        for served in models
    ]
    tensor = {
        "type": "object",
        "required": ["name", "shape", "datatype"],
        "properties": {
            "name": {"const": protocol.INPUT},
            "shape": {"anyOf": shapes},
            "datatype": {"enum": [*protocol.DTYPES]},
            "parameters": PARAMETERS,
            "data": {"type": "array"},
        },
    }
    output = {
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"enum": [*protocol.OUTPUTS]}, "parameters": PARAMETERS},
    }
    return {
        "type": "object",
        "title": "Inference request",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string"},
            "parameters": PARAMETERS,
            "inputs": {"type": "array", "minItems": 1, "maxItems": 1, "items": tensor},
            "outputs": {"type": "array", "minItems": 1, "items": output},
        },
    }


def _model_parameter(models: Iterable[str], name: str, place: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": place,
        "required": place == "path",
        "description": "Which model." if place == "path" else "Which model; the first one without.",
        "schema": {"enum": [*models]},
    }


def application(
    service: Service,
    *,
    hosts: Collection[str] = (),
    token: str | None = None,
    page: Callable[[Served], str] | None = None,
) -> Gate:
    """The service as an ASGI application.

    `hosts` are names that it may be called by besides localhost and numbers, "*" any; `token` is asked of
    everybody; `page` makes the page of a model (None: this installation has none).
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        service.stop()

    app = FastAPI(
        title="tinynet",
        version=VERSION,
        description="A trained net behind HTTP: it says what it sees in a picture, and why.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        separate_input_output_schemas=False,
    )
    _add_refusals(app)
    _add_pages(app, service, page)
    _add_own(app, service)
    _add_protocol(app, service)
    often = {route.path: route.endpoint for route in app.routes if isinstance(route, APIRoute)}
    return Gate(app, service, hosts, token, {path: often[path] for path in OFTEN})


def _add_refusals(app: FastAPI) -> None:
    async def refuse(request: Request, refused: Any) -> Response:
        return _json({"error": refused.sentence}, refused.status, refused.headers)

    async def unknown(request: Request, error: Any) -> Response:
        said = {404: "there is nothing at this path; /docs lists what there is", 405: "not by this method"}
        return _json({"error": said.get(error.status_code, error.detail)}, error.status_code, error.headers)

    async def failed(request: Request, error: Any) -> Response:
        return _json({"error": FAILED}, 500)  # `Gate` logs it

    app.add_exception_handler(Refused, refuse)
    app.add_exception_handler(Exception, failed)
    app.add_exception_handler(HTTPException, unknown)


def _add_pages(app: FastAPI, service: Service, page: Callable[[Served], str] | None) -> None:
    html = {"content": {"text/html": {"schema": {"type": "string"}}}}
    pages: dict[str, bytes] = {}

    @app.get("/", summary="The page", responses=_said(401, 404, 421, ok=html), response_class=Response)
    async def show_page(request: Request) -> Response:
        """Draw a digit and see the answer: one page, in which the net runs in the browser."""
        if page is None:
            raise Refused(404, "no page in this installation; /docs lists what else is here")
        served = service.default
        if served.name not in pages:
            try:
                pages[served.name] = (await service.aside(page, served)).encode()
            except TinynetError as error:  # such as a net of four channels
                raise Refused(404, f"there is no page of {served.name}: {inputs.explained(error)}") from error
        return documents.html(pages[served.name], documents.PAGE_POLICY)

    @app.get(
        "/docs",
        summary="This document as a page",
        responses=_said(401, 421, ok=html),
        response_class=Response,
    )
    async def show_docs(request: Request) -> Response:
        """What can be asked, and what the answers are."""
        return documents.html(documents.page(app.openapi()), documents.DOCS_POLICY)

    text = {"content": {"text/plain": {"schema": {"type": "string"}}}}

    @app.get("/metrics", summary="Counters", responses=_said(401, 421, ok=text), response_class=Response)
    async def show_metrics(request: Request) -> Response:
        """Requests, times, batches and answers, for Prometheus."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")


def _add_own(app: FastAPI, service: Service) -> None:
    query = {"parameters": [_model_parameter(service.models, "model", "query")]}
    body = _input_body(service.models.values())

    async def ask(request: Request) -> tuple[Served, str]:
        served = service.find(request.query_params.get("model"))
        media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media not in inputs.MEDIA:
            raise Refused(415, f"the content type is one of {', '.join(inputs.MEDIA)}")
        return served, media

    @app.post(
        "/v1/predict",
        summary="What the net sees",
        responses=_said(*POSTED, ok={"model": Predictions}),
        response_class=Response,
        openapi_extra={**query, "requestBody": body},
    )
    async def predict(request: Request) -> Response:
        """The class of one image or several, with its probability.

        A picture is read as `tinynet predict` reads it: the ground is found, the digit fitted as MNIST's are.
        """
        served, media = await ask(request)
        async with service.body(request) as sent:
            given = await service.read(media, sent, served)
            found = await service.probabilities(served, given.images)
        return _json(predictions(served, given, found))

    @app.post(
        "/v1/explain",
        summary="Why",
        responses=_said(*POSTED, ok={"model": Explanation}),
        response_class=Response,
        openapi_extra={**query, "requestBody": body},
    )
    async def explain(request: Request) -> Response:
        """For one image: the pixels that the net saw, its best two classes, the saliency of the first, what
        separates the two (`margin`: above 0 more ink favours the first, below 0 the second), Grad-CAM."""
        served, media = await ask(request)
        async with service.body(request) as sent:
            given = await service.read(media, sent, served)
            if len(given.images) != 1:
                raise Refused(400, f"one image is explained at a time, not {len(given.images)}")
            found = await service.explanation(served, given.images[0])
        return _json({**found, "fitted": given.fitted})

    @app.get(
        "/v1/model",
        summary="What net this is",
        responses=_said(401, 404, 421, ok={"model": Model}),
        response_class=Response,
        openapi_extra=query,
    )
    async def model(request: Request) -> Response:
        """Its layers, classes, data and weights' hash, and the figures of its run's report."""
        served = service.find(request.query_params.get("model"))
        return _json({**await service.aside(served.describe), "models": [*service.models]})


def _add_protocol(app: FastAPI, service: Service) -> None:
    path = {"parameters": [_model_parameter(service.models, "name", "path")]}

    @app.get("/v2", summary="Server metadata", responses=_said(401, 421, ok={"model": ServerMetadata}))
    async def metadata(request: Request) -> Response:
        """Open Inference Protocol v2: name, version and extensions."""
        return _json(protocol.server_metadata())

    @app.get("/v2/health/live", summary="Is it alive", responses=_said(421, ok={"model": Live}))
    async def live(request: Request) -> Response:
        """200 while the process answers."""
        return _json({"live": True})

    @app.get(
        "/v2/health/ready",
        summary="Is it ready",
        responses=_said(421, ok={"model": Ready}) | {503: {"model": Ready, "description": "Not now."}},
    )
    async def ready(request: Request) -> Response:
        """200 once every kernel is compiled, 503 before, and from SIGTERM on."""
        return _json({"live": True, "ready": service.is_ready}, 200 if service.is_ready else 503)

    @app.get(
        "/v2/models/{name}",
        summary="Model metadata",
        responses=_said(401, 404, 421, ok={"model": ModelMetadata}),
        openapi_extra=path,
    )
    async def model_metadata(request: Request) -> Response:
        """The tensors that a model takes and gives."""
        return _json(protocol.model_metadata(service.find(request.path_params["name"])))

    @app.get(
        "/v2/models/{name}/ready",
        summary="Is a model ready",
        responses=_said(401, 404, 421, ok={"model": ModelReady})
        | {503: {"model": ModelReady, "description": "Not now."}},
        openapi_extra=path,
    )
    async def model_ready(request: Request) -> Response:
        """200 once it is."""
        served = service.find(request.path_params["name"])
        return _json({"name": served.name, "ready": service.is_ready}, 200 if service.is_ready else 503)

    header = {
        "name": "Inference-Header-Content-Length",
        "in": "header",
        "schema": {"type": "integer", "minimum": 0},
    }
    as_bytes = {"model": Inference, "content": {inputs.BYTES: {"schema": BINARY}}}

    @app.post(
        "/v2/models/{name}/infer",
        summary="Inference",
        responses=_said(*POSTED, ok=as_bytes),
        openapi_extra={
            "parameters": [*path["parameters"], header],
            "requestBody": {
                "required": True,
                "content": {
                    inputs.JSON: {"schema": _inference_request(service.models.values())},
                    inputs.BYTES: {"schema": BINARY},
                },
            },
        },
    )
    async def infer(request: Request) -> Response:
        """Images as one tensor `image`; probabilities and class as tensors, as JSON or as bytes."""
        served = service.find(request.path_params["name"])
        media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media not in (inputs.JSON, inputs.BYTES):
            raise Refused(415, f"the content type is {inputs.JSON} or {inputs.BYTES}")
        async with service.body(request) as body:
            asked = protocol.read_request(body, request.headers.get(protocol.HEADER), served)
            found = await service.probabilities(served, asked.images)
        answer, length = protocol.reply(asked, found, served)
        if length is None:
            return Response(answer, media_type=inputs.JSON)
        return Response(answer, media_type=inputs.BYTES, headers={protocol.HEADER: str(length)})


def predictions(served: Served, given: Given, probabilities: Array) -> dict[str, Any]:
    """The reply of /v1/predict."""
    return {
        "model": served.name,
        "classes": served.classes,
        "predictions": [
            _prediction(served, row, _note(image, given.warning))
            for row, image in zip(probabilities.tolist(), given.images, strict=True)
        ],
        "fitted": given.fitted,
    }


def _prediction(served: Served, row: list[float], note: str | None) -> dict[str, Any]:
    best = row.index(max(row))  # here and below, as Python: NumPy would let the other threads in between
    rounded = [round(p, 7) for p in row]
    return {
        "label": served.classes[best],
        "index": best,
        "probability": rounded[best],
        "probabilities": rounded,
        "sure": note is None and rounded[best] >= NOT_SURE,
        "note": note,
    }


def _note(image: Array, warning: str | None) -> str | None:
    values = image.tobytes()
    first = values[: image.itemsize]
    return "blank: all pixels are the same" if values == first * image.size else warning


def _json(value: Any, status: int = 200, headers: Any = None) -> Response:
    return Response(as_json(value), status, headers, media_type="application/json")


def _said(*statuses: int, ok: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    """What a route may answer, for its documentation."""
    problems: dict[int | str, dict[str, Any]] = {
        status: {"model": Problem, "description": STATUSES[status]} for status in statuses
    }
    return {200: {"description": "The answer.", **ok}, **problems}
