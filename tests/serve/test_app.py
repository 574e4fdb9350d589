"""The interface of the service: what is asked, what is answered, and that all of it is documented."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from commands import call
from PIL import Image
from served import Client, digit, digits_net, save, serving

from tinynet import checkpoint
from tinynet.analysis.gradients import margin_gradient, saliency
from tinynet.losses import SoftmaxCrossEntropy
from tinynet.runs.predictions import predict
from tinynet.serve.models import Served


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def photo() -> Image.Image:
    """A dark bar on light paper."""
    canvas = np.full((120, 90), 240, np.uint8)
    canvas[20:100, 40:50] = 10
    return Image.fromarray(canvas)


def test_pixels_and_bytes_get_the_nets_own_answer(ask: Client, served: Served) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28, 1), np.uint8)
    expected = predict(served.model, served.loss, images).probabilities
    flat = ask("/v1/predict", images.tobytes(), Content_Type="application/octet-stream")
    nested = ask("/v1/predict", {"pixels": images[..., 0].tolist()})
    with_channel = ask("/v1/predict", {"pixels": images.tolist()})
    floats = ask("/v1/predict", {"pixels": (images[..., 0] + 0.0).tolist()})
    for answer in (flat, nested, with_channel, floats):
        assert answer.status == 200
        found = answer.json
        assert (found["model"], len(found["predictions"]), found["fitted"]) == ("net", 5, None)
        rows = [each["probabilities"] for each in found["predictions"]]
        assert np.abs(np.array(rows) - expected).max() < 1e-6
        assert [each["index"] for each in found["predictions"]] == expected.argmax(axis=1).tolist()
    one = ask("/v1/predict", {"pixels": images[0, ..., 0].tolist()}).json["predictions"]
    assert [each["probability"] for each in one] == pytest.approx([expected[0].max()], abs=1e-6)


@pytest.mark.parametrize(("kind", "media"), [("PNG", "png"), ("JPEG", "jpeg"), ("WEBP", "webp")])
def test_a_picture_gets_the_answer_of_tinynet_predict(
    ask: Client, files: list[Path], tmp_path: Path, kind: str, media: str
) -> None:
    path = tmp_path / f"one.{media}"
    path.write_bytes(encoded(photo(), kind))
    out = tmp_path / "out.csv"
    call("predict", files[0], path, "--top", "10", "--backend", "numpy", "--out", out)
    line = out.read_text().splitlines()[1].split(",")
    expected = dict(zip(line[2:22:2], map(float, line[3:22:2]), strict=True))
    answer = ask("/v1/predict", path.read_bytes(), Content_Type=f"image/{media}").json
    (found,) = answer["predictions"]
    assert found["label"] == line[2]
    assert dict(zip(answer["classes"], found["probabilities"], strict=True)) == pytest.approx(
        expected, abs=1e-5
    )
    assert answer["fitted"].startswith("inverted, cropped from 120 x 90")


def test_an_answer_that_is_none_is_not_sure(ask: Client) -> None:
    blank = ask("/v1/predict", {"pixels": np.zeros((28, 28), int).tolist()}).json["predictions"][0]
    assert (blank["sure"], blank["note"]) == (False, "blank: all pixels are the same")
    two = np.full((120, 200), 240, np.uint8)
    two[20:100, 40:50] = two[20:100, 140:150] = 10
    (found,) = ask("/v1/predict", encoded(Image.fromarray(two), "PNG"), Content_Type="image/png").json[
        "predictions"
    ]
    assert (found["sure"], found["note"]) == (False, "several digits: 2 separate shapes")


def test_a_net_with_a_clear_opinion_is_sure(tmp_path: Path) -> None:
    net = digits_net()
    net.store.values.views["dense_1.b"][3] = 20
    checkpoint.save_model(
        tmp_path / "net.safetensors", net, SoftmaxCrossEntropy(), {"classes": list("abcdefghij")}
    )
    with serving(tmp_path / "net.safetensors") as (ask, service):
        (found,) = ask("/v1/predict", {"pixels": digit()[..., 0].tolist()}).json["predictions"]
        assert (found["label"], found["index"], found["sure"], found["note"]) == ("d", 3, True, None)
        assert b'tinynet_answers_total{label="d",model="net"} 1.0' in ask("/metrics").body
        assert service.waiting == service.held.total == 0


def test_an_explanation_has_maps_of_the_image(ask: Client, served: Served) -> None:
    found = ask("/v1/explain", digit().tobytes(), Content_Type="application/octet-stream").json
    assert found["pixels"] == digit()[..., 0].tolist()
    assert np.array(found["saliency"]).shape == np.array(found["margin"]).shape == (28, 28)
    assert np.array(found["grad_cam"]["map"]).shape == (26, 26)
    assert found["grad_cam"]["layer"] == "relu_1"
    first, second = found["top"]
    assert first["logit"] >= second["logit"]
    probabilities = predict(served.model, served.loss, digit()[None]).probabilities[0]
    assert first["probability"] == pytest.approx(probabilities.max(), abs=1e-6)
    assert first["index"] == probabilities.argmax()
    margin = margin_gradient(served.model, digit(), first["index"], second["index"])
    assert np.allclose(found["margin"], margin, atol=1e-7)
    assert np.allclose(found["saliency"], saliency(served.model, digit(), first["index"]), atol=1e-7)
    two = ask("/v1/explain", np.stack([digit()] * 2).tobytes(), Content_Type="application/octet-stream")
    assert (two.status, two.error) == (400, "one image is explained at a time, not 2")


def test_models_are_found_by_name(ask: Client) -> None:
    net = ask("/v1/model").json
    assert (net["name"], net["models"], net["input_shape"]) == ("net", ["net", "colour"], [28, 28, 1])
    assert (net["test"], net["dataset"], len(net["weights_sha256"])) == (None, "sample", 64)
    assert ask("/v1/model?model=colour").json["classes"] == ["0", "1", "2"]
    other = ask("/v1/model?model=none")
    assert (other.status, other.error) == (404, "there is no such model; there are: net, colour")
    colour = ask("/v1/predict?model=colour", {"pixels": np.zeros((6, 6, 3)).tolist()}).json
    assert colour["model"] == "colour"
    assert len(colour["predictions"][0]["probabilities"]) == 3
    seen = ask("/v1/explain?model=colour", {"pixels": np.zeros((6, 6, 3), int).tolist()}).json
    assert np.array(seen["pixels"]).shape == (6, 6, 3)


def test_a_finished_run_tells_its_figures(trained_run: Path) -> None:
    with serving(f"mine={trained_run}") as (ask, _):
        found = ask("/v1/model").json
        assert found["name"] == "mine"
        assert found["test"]["samples"] == 1000
        assert found["test"]["interval"][0] < found["test"]["accuracy"] < found["test"]["interval"][1]
        assert found["data_sha256"]


@pytest.fixture(scope="module")
def trained_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    toml = folder / "tiny.toml"
    toml.write_text(
        'layers = [ { type = "Rescale" }, { type = "Flatten" }, { type = "Dense", units = 10 } ]\n'
        "[training]\nepochs = 1\nbatch_size = 50\nsamples = 200\nvalidation = 0.2\n"
    )
    call("train", toml, "--dataset", "sample", "--backend", "numpy", "--out", folder / "run")
    return folder / "run"


def test_the_page_is_at_the_root_or_clearly_missing(ask: Client, files: list[Path]) -> None:
    page = ask("/")
    assert (page.status, page.body) == (200, b"<p>the page of net</p>")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    with serving(files[0]) as (bare, _):
        missing = bare("/")
        assert (missing.status, missing.error) == (
            404,
            "no page in this installation; /docs lists what else is here",
        )


def test_the_documentation_needs_nothing_from_outside(ask: Client) -> None:
    docs = ask("/docs")
    text = docs.body.decode()
    assert docs.status == 200
    assert "<script" not in text
    assert "http://127.0.0.1:8000" in text  # in the example alone
    assert not [word for word in ("src=", "url(", "@import", "https://", "cdn") if word in text]
    for path, methods in ask("/openapi.json").json["paths"].items():
        assert all(f"<b>{method.upper()}</b> {path}</h2>" in text for method in methods)


def test_every_answer_is_documented_and_fits_its_schema(ask: Client) -> None:
    document = ask("/openapi.json").json
    image = {"pixels": digit()[..., 0].tolist()}
    tensor = {"name": "image", "shape": [1, 28, 28, 1], "datatype": "UINT8", "data": digit().ravel().tolist()}
    asked: list[tuple[str, str, Callable[[], Any]]] = [
        ("/v1/predict", "post", lambda: ask("/v1/predict", image)),
        ("/v1/explain", "post", lambda: ask("/v1/explain", image)),
        ("/v1/model", "get", lambda: ask("/v1/model")),
        ("/v2", "get", lambda: ask("/v2")),
        ("/v2/health/live", "get", lambda: ask("/v2/health/live")),
        ("/v2/health/ready", "get", lambda: ask("/v2/health/ready")),
        ("/v2/models/{name}", "get", lambda: ask("/v2/models/net")),
        ("/v2/models/{name}/ready", "get", lambda: ask("/v2/models/net/ready")),
        ("/v2/models/{name}/infer", "post", lambda: ask("/v2/models/net/infer", {"inputs": [tensor]})),
    ]
    assert {path for path, _, _ in asked} == document["paths"].keys() - {"/", "/docs", "/metrics"}
    for path, method, send in asked:
        answer = send()
        assert answer.status == 200, path
        operation = document["paths"][path][method]
        schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
        jsonschema.validate(answer.json, {**schema, "components": document["components"]})
        if body := operation.get("requestBody"):
            asks = body["content"]["application/json"]["schema"]
            sent = {"inputs": [tensor]} if "infer" in path else image
            jsonschema.validate(sent, asks)


def test_an_unknown_path_and_a_wrong_method_are_told(ask: Client) -> None:
    nowhere = ask("/v3")
    assert (nowhere.status, nowhere.error) == (
        404,
        "there is nothing at this path; /docs lists what there is",
    )
    wrong = ask("/v1/predict")
    assert (wrong.status, wrong.headers["allow"], wrong.error) == (405, "POST", "not by this method")


def test_metrics_count_without_labels_from_outside(ask: Client) -> None:
    ask("/a-path-of-my-own")
    ask("/v2/models/none")
    text = ask("/metrics").body.decode()
    assert "a-path-of-my-own" not in text
    assert "none" not in text
    assert 'tinynet_requests_total{path="/v2/models/{name}",status="404"}' in text
    assert 'tinynet_requests_total{path="other",status="404"}' in text
    assert "tinynet_ready 1.0" in text


def test_a_net_without_convolutions_has_no_grad_cam(trained_run: Path) -> None:
    with serving(trained_run) as (ask, _):
        assert ask("/v1/explain", {"pixels": digit()[..., 0].tolist()}).json["grad_cam"] is None


def test_every_name_of_several_files_is_used(tmp_path: Path) -> None:
    first, second = save(tmp_path, "a"), save(tmp_path, "b c")
    with serving(first, second) as (ask, _):
        assert ask("/v2/models/b%20c/ready").json == {"name": "b c", "ready": True}
