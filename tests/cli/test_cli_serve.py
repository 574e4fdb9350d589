"""tinynet serve: what it says when it starts, and when it cannot."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from commands import Command, Trained
from served import Process, digit, save

from tinynet import checkpoint, layers
from tinynet.cli import serve
from tinynet.losses import Loss, MeanSquaredError, SoftmaxCrossEntropy
from tinynet.model import Sequential
from tinynet.serve.models import load
from tinynet.serve.server import bind

posix = pytest.mark.skipif(sys.platform == "win32", reason="is ended by SIGTERM")


@posix
def test_a_run_is_served_with_its_page_until_it_is_told_to_end(trained: Trained) -> None:
    with Process(trained.folder, "--backend", "numpy") as server:
        found = server.client("/v1/predict", {"pixels": digit()[..., 0].tolist()}).json
        assert found["model"] == "run"
        page = server.client("/")
        assert page.headers["content-type"].startswith("text/html")
        assert b"test images right" in page.body
        assert server.end() == (0, "")


@posix
def test_a_token_from_a_file_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a secret\n")
    with Process(save(tmp_path), "--backend", "numpy", "--token-file", tmp_path / "token") as server:
        assert server.client("/v2").status == 401
        assert server.client("/v2", Authorization="Bearer a secret").status == 200


@posix
def test_a_net_of_colours_says_what_it_takes(tmp_path: Path) -> None:
    colour = save(tmp_path, shape=(6, 6, 3), classes=2)
    with Process(colour, "--backend", "numpy") as server:
        assert server.client("/v1/model").json["classes"] == ["0", "1"]
        server.process.terminate()
        assert server.process.stdout is not None
        assert (
            "net takes 6 × 6 × 3 pixels in colour: no pictures and no strokes."
            in server.process.stdout.read()
        )


def test_what_cannot_be_served_is_one_sentence(tinynet: Command, tmp_path: Path) -> None:
    net = save(tmp_path)
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        said = tinynet("serve", net, "--port", port, code=1)
        assert f"Error: port {port} of 127.0.0.1 cannot be had" in said
        assert "fix: choose another --port; 0 takes any that is free" in said
    assert "is not the folder of a run" in tinynet("serve", tmp_path, "--port", 0, code=1)
    twice = tinynet("serve", net, net, "--port", 0, code=1)
    assert "two models are called 'net'" in twice
    vectors = Sequential([layers.Dense(3)], (2,), backend="numpy")
    checkpoint.save_model(tmp_path / "v.safetensors", vectors, SoftmaxCrossEntropy())
    assert "cannot be served" in tinynet("serve", tmp_path / "v.safetensors", "--port", 0, code=1)
    (tmp_path / "empty").touch()
    said = tinynet("serve", net, "--token-file", tmp_path / "empty", "--port", 0, code=1)
    assert "holds no token" in said
    (tmp_path / "odd").write_text("schlüssel", "utf-8")
    assert "one line of printable ASCII" in tinynet("serve", net, "--token-file", tmp_path / "odd", code=1)
    for held in (b"\xff\xfe", b"x" * 5000, b"two\nlines"):
        (tmp_path / "odd").write_bytes(held)
        said = tinynet("serve", net, "--token-file", tmp_path / "odd", code=1)
        assert "one line of printable ASCII, of at most 4,096 characters" in said


@pytest.mark.parametrize("held", ["", " ", "\n"])
def test_an_empty_token_in_the_environment_is_none(
    tinynet: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: str
) -> None:
    monkeypatch.setenv("TINYNET_SERVE_TOKEN", held)
    assert "TINYNET_SERVE_TOKEN holds no token" in tinynet("serve", save(tmp_path), "--port", 0, code=1)


@pytest.mark.parametrize(
    ("net", "loss", "said"),
    [
        ([layers.Flatten(), layers.Dense(3)], SoftmaxCrossEntropy(), "put Rescale() first"),
        ([layers.Rescale(), layers.Flatten(), layers.Dense(3)], MeanSquaredError(), "no class probabilities"),
    ],
)
def test_a_net_that_gives_no_probabilities_is_named_before_an_address_is(
    tinynet: Command, tmp_path: Path, net: list[layers.Layer], loss: Loss, said: str
) -> None:
    file = tmp_path / "odd.safetensors"
    checkpoint.save_model(file, Sequential(net, (4, 4, 1), backend="numpy"), loss)
    printed = tinynet("serve", save(tmp_path), file, "--port", 0, code=1)
    assert f"{file} cannot be served: " in printed
    assert said in printed
    assert "http://" not in printed


@pytest.mark.skipif(sys.platform != "linux", reason="names that are no UTF-8 are Linux's alone")
def test_a_name_that_is_no_utf_8_needs_one_of_yours(tinynet: Command, tmp_path: Path) -> None:
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.safetensors")
    save(tmp_path).rename(odd)
    assert "tinynet serve NAME=RUN" in tinynet("serve", odd, "--port", 0, code=1)
    assert [*load([f"net={odd}"], "numpy")] == ["net"]


def test_a_net_of_nan_does_not_become_ready(tinynet: Command, tmp_path: Path) -> None:
    found = load([str(save(tmp_path))], "numpy")["net"]
    found.model.unpack()
    found.model.store.values.flat[:] = float("nan")
    checkpoint.save_model(tmp_path / "nan.safetensors", found.model, found.loss, found.about)
    for options in ((), ("--check",)):
        asked = ("serve", tmp_path / "nan.safetensors", "--backend", "numpy", "--port", 0, *options)
        assert "the model does not give probabilities" in tinynet(*asked, code=1)


def test_a_check_gets_ready_and_ends(tinynet: Command, tmp_path: Path) -> None:
    said = tinynet("serve", save(tmp_path), "--backend", "numpy", "--port", 0, "--check")
    assert said.endswith("Ready.")


def test_without_its_extra_it_says_what_to_install(
    tinynet: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    said = tinynet("serve", save(tmp_path), code=1)
    assert "the service needs fastapi, uvicorn, prometheus-client" in said
    assert "[serve]" in said


@posix
def test_a_run_that_is_not_finished_is_served_as_it_was_last_saved(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    for name in ("last.safetensors", "config.json"):
        (tmp_path / "run" / name).write_bytes((trained.folder / name).read_bytes())
    command = [
        sys.executable,
        "-m",
        "tinynet",
        "serve",
        str(tmp_path / "run"),
        "--port",
        "0",
        "--backend",
        "numpy",
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert "run at http://127.0.0.1:" in process.stdout.readline()
        process.terminate()
        assert "is not finished: its model is as it was last saved" in process.stderr.read()


def test_other_machines_are_let_in_only_when_asked() -> None:
    options = {option.name: option.default for option in serve.command.params}
    assert options["host"] == "127.0.0.1"
