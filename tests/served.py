"""A service in a thread of this process, or in a process of its own, and what asks it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinynet import checkpoint, layers
from tinynet.losses import SoftmaxCrossEntropy
from tinynet.model import Sequential
from tinynet.serve import models
from tinynet.serve.app import application
from tinynet.serve.server import Server, bind
from tinynet.serve.service import Service

JSON = {"Content-Type": "application/json"}


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body, parse_constant=_no_constant)

    @property
    def error(self) -> str:
        """What a refusal says; it says nothing else."""
        assert self.json.keys() == {"error"}
        text: str = self.json["error"]
        assert "Traceback" not in text
        assert "\n" not in text
        return text


def _no_constant(name: str) -> float:
    raise AssertionError(f"{name} is no JSON")


class Client:
    """Asks one service; a new connection for each request."""

    def __init__(self, port: int) -> None:
        self.port = port

    def __call__(self, path: str, body: Any = None, method: str | None = None, **headers: str) -> Answer:
        sent = json.dumps(body).encode() if isinstance(body, dict | list) else body
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if sent is not None and "Content-Type" not in named:
            named |= JSON
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method or ("GET" if body is None else "POST"), path, sent, named)
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()


def digits_net(
    backend: str = "numpy", shape: tuple[int, int, int] = (28, 28, 1), classes: int = 10
) -> Sequential:
    """An untrained net of images, with a convolution."""
    stack = [
        *[layers.Rescale(), layers.Conv2D(2, 3), layers.ReLU(), layers.MaxPool2D(2)],
        *[layers.Flatten(), layers.Dense(classes)],
    ]
    return Sequential(stack, shape, backend=backend, seed=3)


def save(folder: Path, name: str = "net", **options: Any) -> Path:
    """The file of such a net."""
    net = digits_net(**options)
    path = folder / f"{name}.safetensors"
    names = [str(k) for k in range(net.output_shape[0])]
    checkpoint.save_model(path, net, SoftmaxCrossEntropy(), {"classes": names, "dataset": "sample"})
    return path


@contextmanager
def serving(*runs: object, **options: Any) -> Iterator[tuple[Client, Service]]:
    """A service of these files in a thread, ready."""
    service = Service(models.load([str(run) for run in runs], "numpy"))
    with bind("127.0.0.1", 0) as bound:
        server = Server(application(service, **options), service)
        thread = threading.Thread(target=server.run, args=([bound],))
        thread.start()
        try:
            assert service.engine.ready.wait(30)
            until(lambda: server.started)
            yield Client(bound.getsockname()[1]), service
        finally:
            server.end()
            thread.join(15)
            assert not thread.is_alive()


def until(true: Any, seconds: float = 30.0) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come in time"
        time.sleep(0.02)


class Process:
    """`tinynet serve` in a process of its own; ready."""

    def __init__(self, *arguments: object) -> None:
        command = [sys.executable, "-m", "tinynet", "serve", *map(str, arguments), "--port", "0"]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=dict(os.environ)
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert " at http://127.0.0.1:" in line, line + self.process.stdout.read()
        self.client = Client(int(line.split(" at http://127.0.0.1:")[1].split()[0]))
        until(self._is_ready)

    def _is_ready(self) -> bool:
        try:
            return self.client("/v2/health/ready").status == 200
        except ConnectionRefusedError:
            return False

    def memory(self, what: str = "VmRSS") -> float:
        """Resident memory in MB; VmHWM: the most there was since `forget_peak`."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(text.split(f"{what}:")[1].split()[0]) / 1024

    def forget_peak(self) -> None:
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")  # see proc(5)

    def end(self) -> tuple[int, str]:
        """SIGTERM; the exit code and what it said since."""
        self.process.send_signal(signal.SIGTERM)
        said, _ = self.process.communicate(timeout=20)
        return self.process.returncode, said

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


def digit() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A bar as an image of MNIST's size."""
    image = np.zeros((28, 28, 1), np.uint8)
    image[4:24, 12:16] = 255
    return image
