"""`tinynet serve` in turn with FastAPI + ONNX Runtime: the same net, the same requests, the same machine.

    python bench/serving.py RUN [--seconds 2] [--rounds 3]

The other service is written as its users write one: a FastAPI route that decodes the picture and calls the
session, in FastAPI's thread pool, on the same uvicorn. Writes bench/results/serving.md.
"""

from __future__ import annotations

import asyncio
import datetime
import io
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np

from tinynet import checkpoint, machine
from tinynet.data import load
from tinynet.export.onnx import to_onnx
from tinynet.io.atomic import write_atomic
from tinynet.io.markdown import markdown_table

RESULTS = Path(__file__).parent / "results" / "serving.md"
CLIENTS = (1, 16, 256)
OTHER = """
import io
import sys

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from PIL import Image
from pydantic import BaseModel

session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
app = FastAPI()


class Pixels(BaseModel):
    pixels: list[list[float]]


def answer(image):
    (probabilities,) = session.run(None, {"image": image})
    row = probabilities[0]
    return {"label": int(row.argmax()), "probabilities": row.tolist()}


def picture(body):
    image = Image.open(io.BytesIO(body)).convert("L").resize((28, 28))
    return answer(np.asarray(image, np.float32)[None, :, :, None])


@app.post("/pixels")
def pixels(sent: Pixels):
    return answer(np.array(sent.pixels, np.float32)[None, :, :, None])


@app.post("/picture")
async def png(request: Request):
    return await run_in_threadpool(picture, await request.body())


@app.post("/bytes")
async def raw(request: Request):
    image = np.frombuffer(await request.body(), np.uint8).astype(np.float32).reshape(1, 28, 28, 1)
    return await run_in_threadpool(answer, image)


@app.get("/ready")
def ready():
    return {"ready": True}


uvicorn.run(app, port=int(sys.argv[2]), log_level="warning", access_log=False)
"""
"""The service that tinynet's is compared with."""


class Load(NamedTuple):
    """What one run of clients measured."""

    rate: float
    p50: float
    p99: float
    cpu: float
    """Seconds that the service computed for a request: what is left of a busy machine's noise is small."""
    others: int
    """Answers that were not 200."""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@contextmanager
def service(command: list[str], port: int, ready: str, **environment: str) -> Iterator[tuple[int, float]]:
    """A process that serves: its id, and the seconds until `ready` was answered with 200."""
    import http.client

    began = time.perf_counter()
    process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL)
    try:
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            try:
                connection.request("GET", ready)
                if connection.getresponse().status == 200:
                    break
            except OSError:
                if process.poll() is not None:
                    raise RuntimeError("the service did not start") from None
            finally:
                connection.close()
            time.sleep(0.01)
        yield process.pid, time.perf_counter() - began
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def memory(pid: int) -> float:
    """Resident memory in MB."""
    return int(Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0]) / 1024


def cpu_seconds(pid: int) -> float:
    """What a process has computed so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def load_with(pid: int, port: int, request: bytes, clients: int, seconds: float) -> Load:
    """So many clients, each on a connection of its own, that ask again as soon as they are answered."""
    times: list[float] = []
    others, clock = 0, time.perf_counter
    lines = [await asyncio.open_connection("127.0.0.1", port) for _ in range(clients)]
    start, before = clock(), cpu_seconds(pid)

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal others
        while (began := clock()) < start + seconds:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            times.append(clock() - began)
            others += not head.startswith(b"HTTP/1.1 200")
        writer.close()

    await asyncio.gather(*(client(*line) for line in lines))
    took = clock() - start
    times.sort()
    cpu = (cpu_seconds(pid) - before) / len(times)
    return Load(len(times) / took, times[len(times) // 2], times[int(len(times) * 0.99)], cpu, others)


def posted(path: str, media: str, body: bytes) -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: localhost",
        f"Content-Type: {media}",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def requests() -> dict[str, tuple[bytes, bytes]]:
    """By the kind of body: the request to tinynet, and that to the other service."""
    from PIL import Image

    image = load("sample").test.images[0]
    stream = io.BytesIO()
    Image.fromarray(image[..., 0]).save(stream, "PNG")
    bodies = {
        "pixels as JSON": (
            "application/json",
            "/pixels",
            json.dumps({"pixels": image[..., 0].tolist()}).encode(),
        ),
        "784 bytes": ("application/octet-stream", "/bytes", image.tobytes()),
        "PNG, 28 × 28": ("image/png", "/picture", stream.getvalue()),
    }
    return {
        kind: (posted("/v1/predict", media, body), posted(path, media, body))
        for kind, (media, path, body) in bodies.items()
    }


def check_same(ours: int, other: int, pair: tuple[bytes, bytes]) -> float:
    """The greatest difference between the probabilities that both answer."""

    def ask(port: int, request: bytes) -> Any:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(request.replace(b"Host:", b"Connection: close\r\nHost:", 1))
            received = b""
            while more := connection.recv(65536):
                received += more
        return json.loads(received.partition(b"\r\n\r\n")[2])

    mine = ask(ours, pair[0])["predictions"][0]["probabilities"]
    return float(np.abs(np.subtract(mine, ask(other, pair[1])["probabilities"])).max())


def median(values: list[float], show: Callable[[float], str]) -> str:
    """The median, and from the least to the greatest."""
    return f"{show(statistics.median(values))} ({show(min(values))} – {show(max(values))})"


@click.command()
@click.argument("run", type=click.Path(path_type=Path, exists=True))
@click.option("--seconds", default=2.0, show_default=True, help="Of each measurement.")
@click.option("--rounds", default=3, show_default=True, help="Measurements of each service, in turn.")
@click.option("--clients", multiple=True, type=int, default=CLIENTS, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS, show_default=True)
def main(run: Path, seconds: float, rounds: int, clients: tuple[int, ...], out: Path) -> None:
    """Measure RUN, a finished run of the recipe `cnn`, behind both services in turn."""
    ours, other = free_port(), free_port()
    mine = [sys.executable, "-m", "tinynet", "serve", str(run), "--port", str(ours)]
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        model, loss, _ = checkpoint.load_model(run, backend="numpy")
        (folder / "net.onnx").write_bytes(to_onnx(model, loss))
        (folder / "other.py").write_text(OTHER)
        theirs = [sys.executable, str(folder / "other.py"), str(folder / "net.onnx"), str(other)]
        starts = [
            *start_rows(mine, ours, folder),
            start_row("FastAPI + ONNX Runtime", theirs, other, "/ready"),
        ]
        rows = []
        with (
            service(mine, ours, "/v2/health/ready") as (my_pid, _),
            service(theirs, other, "/ready") as (their_pid, _),
        ):
            pairs = requests()
            apart = max(check_same(ours, other, pair) for pair in pairs.values())
            for kind, pair in pairs.items():
                for count in clients:
                    both = ((my_pid, ours, pair[0]), (their_pid, other, pair[1]))
                    rows.append(compare(kind, count, both, seconds, rounds))
                    click.echo(" | ".join(rows[-1]))
            after = (memory(my_pid), memory(their_pid))
    busy = os.getloadavg()[0]
    write(
        out,
        rows,
        starts,
        after,
        apart,
        busy,
        f"python bench/serving.py RUN --seconds {seconds:g} --rounds {rounds}",
    )
    click.echo(f"{out}")


def start_rows(command: list[str], port: int, folder: Path) -> Iterator[tuple[str, str, str]]:
    """tinynet's time to ready with an empty kernel cache, with a full one, and with NumPy alone."""
    ready = "/v2/health/ready"
    cache = {"NUMBA_CACHE_DIR": str(folder / "kernels")}
    yield start_row("tinynet, no compiled kernels yet", command, port, ready, times=1, **cache)
    yield start_row("tinynet, kernels compiled before", command, port, ready, **cache)
    yield start_row("tinynet `--backend numpy`", [*command, "--backend", "numpy"], port, ready)


def start_row(
    name: str, command: list[str], port: int, ready: str, times: int = 3, **environment: str
) -> tuple[str, str, str]:
    seconds, sizes = [], []
    for _ in range(times):
        with service(command, port, ready, **environment) as (pid, took):
            seconds.append(took)
            sizes.append(memory(pid))
    return name, median(seconds, "{:.1f} s".format), median(sizes, "{:.0f} MB".format)


def compare(
    kind: str, count: int, both: Sequence[tuple[int, int, bytes]], seconds: float, rounds: int
) -> list[str]:
    """A row of the table: both services in turn."""
    found: list[tuple[Load, Load]] = []
    for each in both:
        asyncio.run(load_with(*each, count, 0.3))
    for _ in range(rounds):
        first, second = (asyncio.run(load_with(*each, count, seconds)) for each in both)
        found.append((first, second))
    if refused := sum(load.others for pair_ in found for load in pair_):
        click.echo(f"{refused} answers were not 200")
    cells = [kind, f"{count}"]
    for name, show in (("rate", "{:,.0f}"), ("p50", "{:.1f}"), ("p99", "{:.1f}"), ("cpu", "{:.2f}")):
        scale = 1 if name == "rate" else 1000
        for which in (0, 1):
            values = [scale * float(getattr(each[which], name)) for each in found]
            cells.append(
                median(values, show.format) if name == "rate" else show.format(statistics.median(values))
            )
    ratios = [mine.rate / theirs.rate for mine, theirs in found]
    return [*cells, median(ratios, "{:.2f}".format)]


def write(
    out: Path,
    rows: list[list[str]],
    starts: list[tuple[str, str, str]],
    after: tuple[float, float],
    apart: float,
    busy: float,
    command: str,
) -> None:
    from importlib import metadata

    versions = ", ".join(
        f"{name} {metadata.version(name)}" for name in ("fastapi", "uvicorn", "onnxruntime", "numba", "numpy")
    )
    head = [
        *(
            "body",
            "clients",
            "requests / s, tinynet",
            "FastAPI + ONNX Runtime",
            "p50 ms, tinynet",
            "the other",
        ),
        *(
            "p99 ms, tinynet",
            "the other",
            *("CPU ms a request, tinynet", "the other"),
            "ratio of requests / s",
        ),
    ]
    text = [
        "# `tinynet serve` beside FastAPI + ONNX Runtime",
        f"Written by `{command}` on {datetime.date.today()}, on {machine.summary()}. RUN is a `cnn` of the"
        f" bundled sample. {versions}. The load average at the end was {busy:.1f}: clients, both services and"
        " whatever else ran there shared the cores.",
        "Both answer the same net on uvicorn. The other service is in `bench/serving.py`, written as users"
        " write theirs. Clients keep their connection and ask again once they are answered. A cell is a"
        " median of rounds in turn, with the least and the greatest. Probabilities differ by at most"
        f" {apart:.0e}.",
        markdown_table(head, rows),
        "Time from the start of the process to the first 200 of its readiness, and memory then:",
        markdown_table(["", "time to ready", "memory"], starts),
        f"Memory after all requests: tinynet {after[0]:.0f} MB, the other {after[1]:.0f} MB.",
    ]
    write_atomic(out, ("\n\n".join(text) + "\n").encode())


if __name__ == "__main__":
    main()
