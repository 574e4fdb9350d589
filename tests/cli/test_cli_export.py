"""tinynet export: one HTML file of a run, or of the net that comes with tinynet."""

from __future__ import annotations

import base64
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from commands import Command, Trained

from tinynet import checkpoint, layers
from tinynet.cli.page import changed
from tinynet.data import load
from tinynet.layers import Conv2D, Dense, Flatten, GlobalAveragePool, ReLU, Rescale
from tinynet.losses import CrossEntropy, Loss, MeanSquaredError, SoftmaxCrossEntropy
from tinynet.model import Sequential
from tinynet.page import default
from tinynet.types import Array, Shape


def embedded(page: Path) -> dict[str, Any]:
    """The table of the net in a page."""
    found = re.search(
        r'<script type="application/json" id="model">(.*?)</script>', page.read_text(), re.DOTALL
    )
    assert found
    table: dict[str, Any] = json.loads(found[1])
    return table


def numbers(tensor: Mapping[str, Any]) -> Array:
    values = np.frombuffer(base64.b64decode(tensor["data"]), np.dtype(tensor["dtype"]).newbyteorder("<"))
    return values.reshape(tensor["shape"]).astype(np.float32)


def test_the_net_that_comes_with_tinynet(tinynet: Command, tmp_path: Path) -> None:
    out = tmp_path / "digits.html"
    said = tinynet("export", "--to", "html", "-o", out)
    assert re.search(r"digits.html: 0.\d\d MB, weights in 16 bits. The rounding changes the answer for", said)
    assert "of 10,000 test images" in said
    table = embedded(out)
    assert table["hash"] == checkpoint.weights_sha256(default.load("numpy").model)
    assert table["classes"] == list("0123456789")
    assert table["loss"]["type"] == "SoftmaxCrossEntropy"
    text = out.read_text()
    assert "Whose handwriting" in text
    assert "99." in table["about"]["test images right"]


def test_a_runs_page_has_its_weights_and_its_card(tinynet: Command, trained: Trained, tmp_path: Path) -> None:
    out = tmp_path / "run.html"
    said = tinynet("export", trained.folder, "-o", out, "--float32")
    assert "weights in 32 bits. Its answers are the net's own." in said
    model = checkpoint.load_model(trained.folder, backend="numpy").model
    table = embedded(out)
    for name, values in model.store.values.views.items():
        assert np.array_equal(numbers(table["weights"][name]), values)
    assert "By stroke thickness" in out.read_text()


def test_the_rounding_that_is_counted_is_that_of_the_page(
    tinynet: Command, trained: Trained, tmp_path: Path
) -> None:
    out = tmp_path / "run.html"
    said = tinynet("export", trained.folder, "-o", out)
    found = re.search(r"changes the answer for (\d+) of 1,000 test images", said)
    assert found
    loaded = checkpoint.load_model(trained.folder, backend="numpy")
    rounded = checkpoint.load_model(trained.folder, backend="numpy").model
    images = load("sample").test.images
    assert changed(loaded, rounded, images) == (int(found[1]), 1000)
    table = embedded(out)
    for name, values in rounded.store.values.views.items():
        assert np.array_equal(numbers(table["weights"][name]), values)
    W = rounded.store.values.views["dense_1.W"]
    assert not np.array_equal(W, loaded.model.store.values.views["dense_1.W"])


def test_a_change_is_counted() -> None:
    """Two classes whose scores differ by less than float16 can tell."""
    model, loss = (
        Sequential([Rescale(), Flatten(), Dense(2)], (1, 1, 1), backend="numpy"),
        SoftmaxCrossEntropy(),
    )
    twin = Sequential([Rescale(), Flatten(), Dense(2)], (1, 1, 1), backend="numpy")
    for each in (model, twin):
        each.store.values.views["dense_1.W"][...] = [[1.0, 1.0001]]
        each.store.values.views["dense_1.b"][...] = 0
    loss.start(model)
    images = np.array([0, 255, 128], np.uint8).reshape(3, 1, 1, 1)
    assert changed(checkpoint.Loaded(model, loss, {}), twin, images) == (2, 3)


def test_data_that_are_not_found(tinynet: Command, trained: Trained, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(trained.folder, folder)
    config = json.loads((folder / "config.json").read_text())
    config["dataset"] = str(tmp_path / "gone.csv")
    (folder / "config.json").write_text(json.dumps(config))
    out = tmp_path / "run.html"
    said = tinynet("export", folder, "-o", out)
    assert "NOTE: nothing is measured for the card: the data that the run" in said
    assert "How many answers the rounding changes is not known" in said
    text = out.read_text()
    assert "1,000 test images are right" in text
    assert "By stroke thickness" not in text


class Own(ReLU):
    """A layer of one's own."""


@pytest.mark.parametrize(
    ("net", "loss", "said"),
    [
        ([Rescale(), Flatten(), Own(), Dense(2)], SoftmaxCrossEntropy(), "the page cannot compute own_1"),
        ([Rescale(), Conv2D(2)], SoftmaxCrossEntropy(), "this model is no classifier"),
        ([Rescale(), Flatten(), Dense(2)], MeanSquaredError(), "has no class probabilities"),
    ],
)
def test_a_net_that_the_page_cannot_show_is_refused_by_name(
    tinynet: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    net: list[layers.Layer],
    loss: SoftmaxCrossEntropy | MeanSquaredError,
    said: str,
) -> None:
    monkeypatch.setitem(layers.LAYERS, "Own", Own)
    file, out = tmp_path / "net.safetensors", tmp_path / "net.html"
    checkpoint.save_model(file, Sequential(net, (4, 4, 1), backend="numpy"), loss)
    out.write_text("before")
    assert said in tinynet("export", file, "-o", out, code=1)
    assert out.read_text() == "before"


def test_a_net_without_pictures_and_one_of_nan(tinynet: Command, tmp_path: Path) -> None:
    file = tmp_path / "net.safetensors"
    checkpoint.save_model(file, Sequential([Flatten(), Dense(2)], (4, 4, 1), backend="numpy"))
    assert "put Rescale() first" in tinynet("export", file, code=1)  # it takes no bytes
    checkpoint.save_model(file, Sequential([Dense(2)], (4,), backend="numpy"))
    assert "the page shows nets that see pictures" in tinynet("export", file, code=1)
    model = Sequential([Rescale(), Flatten(), Dense(2)], (4, 4, 1), backend="numpy")
    model.store.values.flat[:] = np.nan
    checkpoint.save_model(file, model)
    assert "does not give probabilities" in tinynet("export", file, code=1)


@pytest.mark.parametrize("kind", ["html", "onnx", "c"])
@pytest.mark.parametrize("loss", [SoftmaxCrossEntropy(), CrossEntropy()])
def test_a_softmax_over_a_single_output_is_refused(
    tinynet: Command, tmp_path: Path, kind: str, loss: Loss
) -> None:
    file, out = tmp_path / "net.safetensors", tmp_path / "out"
    checkpoint.save_model(
        file, Sequential([Rescale(), Flatten(), Dense(1)], (28, 28, 1), backend="numpy"), loss
    )
    said = tinynet("export", file, "--to", kind, "-o", out, "--dataset", "sample", code=1)
    assert "makes no probabilities of a single output" in said
    assert "fix: save the model with the loss it was trained with" in said
    assert not out.exists()


def test_a_net_for_coloured_pictures_of_other_classes(tinynet: Command, tmp_path: Path) -> None:
    file, out = tmp_path / "net.safetensors", tmp_path / "net.html"
    net = [Rescale(), Conv2D(4), ReLU(), GlobalAveragePool(), Dense(2)]
    model = Sequential(net, (8, 8, 3), backend="numpy")
    checkpoint.save_model(file, model, about={"classes": ["cat", "dog"]})
    assert "NOTE: nothing is measured" in tinynet("export", file, "-o", out, "--dataset", "sample")
    assert embedded(out)["classes"] == ["cat", "dog"]


@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 3), (20, 30, 1)])
def test_a_net_of_another_size_is_not_measured_on_mnist(
    tinynet: Command, tmp_path: Path, shape: Shape
) -> None:
    file, out = tmp_path / "net.safetensors", tmp_path / "net.html"
    model = Sequential([Rescale(), Flatten(), Dense(10)], shape, backend="numpy")
    checkpoint.save_model(file, model, about={"classes": list("0123456789"), "dataset": "sample"})
    said = tinynet("export", file, "-o", out)
    assert "NOTE: nothing is measured for the card: sample is not for this net" in said
    assert embedded(out)["draws"] is (shape == (8, 8, 1))


def test_a_run_that_is_not_finished_and_a_place_that_cannot_be_written(
    tinynet: Command, trained: Trained, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(trained.folder, folder)
    (folder / "report.json").unlink()
    tinynet("export", folder, "-o", tmp_path / "a.html")
    text = (tmp_path / "a.html").read_text()
    assert "<dt>training</dt><dd>stopped before its end</dd>" in text
    assert "Its training was stopped" in text
    assert "make the folder first" in tinynet("export", "-o", tmp_path / "no" / "a.html", code=2)


def test_plain_arrays_are_those_of_the_net_and_its_statistics(
    tinynet: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = tinynet("export", "--to", "npz")
    with np.load("net.npz", allow_pickle=False) as file:
        assert json.loads(str(file["net"]))["classes"] == list("0123456789")
        assert any(name.endswith(".variance") for name in file.files)
        assert f"{len(file.files) - 1} tensors by name" in said


def test_other_formats_and_options_that_are_not_theirs(
    tinynet: Command, trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model, loss, _ = checkpoint.load_model(trained.folder, backend="numpy")
    said = tinynet("export", trained.folder, "--to", "onnx")
    assert "net.onnx: 0.03 MB, opset 17. Input `image`: float32 (batch, 28, 28, 1)" in said
    session = onnxruntime.InferenceSession("net.onnx", providers=["CPUExecutionProvider"])
    pixels = load("sample").test.images[:7]
    [found] = session.run(None, {"image": pixels.astype(np.float32)})
    expected = loss.probabilities(model.predict(pixels))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert session.get_modelmeta().custom_metadata_map["dataset"] == "sample"
    assert "Output `outputs`" in tinynet("export", trained.folder, "--to", "onnx", "--logits")
    assert "--logits is for --to onnx, not for --to html" in tinynet("export", "--logits", code=2)


def test_the_net_itself_is_not_written_over(
    tinynet: Command, trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = tmp_path / "net.npz"
    shutil.copy(trained.folder / "model.safetensors", net)
    (tmp_path / "link").symlink_to(net)
    before = net.read_bytes()
    for out in (net, tmp_path / "link"):
        assert "is read, too" in tinynet("export", net, "--to", "npz", "-o", out, code=2)
    monkeypatch.chdir(tmp_path)
    assert "net.npz is the net itself" in tinynet("export", net, "--to", "npz", code=2)
    assert net.read_bytes() == before


def test_the_ending_of_the_file_says_the_format(
    tinynet: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tinynet("export", "-o", "net.ONNX")
    onnxruntime.InferenceSession("net.ONNX", providers=["CPUExecutionProvider"])
    tinynet("export", "-o", "net.npz")
    with np.load("net.npz", allow_pickle=False) as file:
        assert "net" in file
    tinynet("export", "-o", "net.h")
    assert Path("net.h").read_text().startswith("/* A neural network in C99")
    tinynet("export", "--to", "npz", "-o", "plain")
    assert Path("plain").is_file()


@pytest.mark.parametrize(
    ("asked", "out", "said"),
    [
        (("--to", "html"), "net.onnx", "for --to html: end it in .html, or say --to onnx"),
        (("--to", "onnx"), "a.txt", "for --to onnx: end it in .onnx."),
        ((), "a.txt", "of no format: end it in .html, .onnx, .npz, .h"),
    ],
)
def test_an_ending_of_something_else_is_refused(
    asked: tuple[str, ...], out: str, said: str, tinynet: Command, tmp_path: Path
) -> None:
    (tmp_path / out).write_bytes(b"precious")
    assert said in " ".join(tinynet("export", *asked, "-o", tmp_path / out, code=2).split())
    assert (tmp_path / out).read_bytes() == b"precious"
