"""The process: its port, its end under load, a thousand clients, and memory under bombs."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import socket
import struct
import sys
import time
import zlib
from collections import Counter
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from served import Process, digit, save, serving, until

from tinynet.errors import ConfigError
from tinynet.serve import connection
from tinynet.serve import server as server_module
from tinynet.serve.server import bind

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals and /proc")
linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads memory from /proc")
pytestmark = posix


def request(path: str, body: bytes, media: str = "application/octet-stream") -> bytes:
    lines = ["Host: localhost", f"Content-Type: {media}", f"Content-Length: {len(body)}"]
    return "\r\n".join([f"POST {path} HTTP/1.1", *lines, "", ""]).encode() + body


async def answered(reader: asyncio.StreamReader) -> tuple[int, bool]:
    """The status of one answer, read whole, and whether the connection ends with it."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = int(head.split("content-length:")[1].split("\r\n")[0])
    await reader.readexactly(length)
    return int(head.split()[1]), "connection: close" in head


def test_a_port_that_is_taken_or_nobodys_is_one_sentence() -> None:
    with bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} of 127"):
            bind("127.0.0.1", port)
    with pytest.raises(ConfigError, match="is no address of this machine"):
        bind("no.such.host.invalid", 0)
    with pytest.raises(ConfigError, match=r"port 80 of 192\.0\.2\.1 cannot be had"):
        bind("192.0.2.1", 80)


def test_sigterm_under_load_answers_every_accepted_request(tmp_path: Path) -> None:
    """Clients ask without pause, on connections that are kept; each request that was sent gets an answer."""
    with Process(save(tmp_path), "--backend", "numpy") as server:
        statuses: Counter[int] = Counter()
        unanswered: list[tuple[str, int, bool]] = []
        sent = request("/v1/predict", digit().tobytes())

        async def client() -> None:
            while True:
                try:
                    reader, writer = await asyncio.open_connection("127.0.0.1", server.client.port)
                except ConnectionError:
                    return
                ends, answers = False, 0
                try:
                    while not ends:
                        writer.write(sent)
                        status, ends = await answered(reader)
                        statuses[status] += 1
                        answers += 1
                except (ConnectionError, asyncio.IncompleteReadError) as error:
                    begun = bool(getattr(error, "partial", b""))
                    unanswered.append((repr(error), answers, begun))
                finally:
                    writer.close()

        async def load() -> float:
            clients = [asyncio.create_task(client()) for _ in range(24)]
            while statuses[200] < 300:
                await asyncio.sleep(0.02)
            loop = asyncio.get_running_loop()
            began = loop.time()
            server.process.send_signal(signal.SIGTERM)
            while server.client("/v2/health/ready").status == 200:
                await asyncio.sleep(0.01)
            assert server.client("/v2/health/live").status == 200
            before = statuses[200]
            await asyncio.to_thread(server.process.wait, 10)
            took = loop.time() - began
            await asyncio.gather(*clients)
            assert statuses[200] > before
            return took

        took = asyncio.run(load())
        said = server.process.communicate()[0]
        assert (server.process.returncode, said) == (0, "")
        assert took < 5
        assert {*statuses} == {200}
        # a new connection whose first request the process had not read when it closed: never accepted
        assert all(answers == 0 and not begun for _, answers, begun in unanswered), unanswered
        assert len(unanswered) <= 24


def slow_picture() -> bytes:
    """A PNG of some 35 kB that takes a tenth of a second to read."""
    rows = (b"\0" + b"\xff" * 8 * 2000) * 2000
    size = struct.pack(">IIBBBBB", 2000, 2000, 16, 6, 0, 0, 0)
    parts = [chunk(b"IHDR", size), chunk(b"IDAT", zlib.compress(rows, 9)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_sigterm_with_more_work_than_time_refuses_the_rest(tmp_path: Path) -> None:
    """Each of the clients gets an answer or 503, one reads nothing, and it ends in time, with one line."""
    sent = request("/v1/predict", slow_picture(), "image/png")

    async def client(port: int) -> tuple[int, bool]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(sent)
            return await answered(reader)
        finally:
            writer.close()

    async def load(server: Process) -> tuple[float, Counter[int]]:
        tasks = [asyncio.create_task(client(server.client.port)) for _ in range(100)]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        began = asyncio.get_running_loop().time()
        server.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(server.process.wait, 20)
        took = asyncio.get_running_loop().time() - began
        return took, Counter(status for status, _ in await asyncio.gather(*tasks))

    with Process(save(tmp_path), "--backend", "numpy") as server:
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect(("127.0.0.1", server.client.port))
            deaf.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 200)
            took, statuses = asyncio.run(load(server))
        said = server.process.communicate()[0]
        assert server.process.returncode == 0
    assert took < 5
    assert {*statuses} == {400, 503}  # a white picture is refused, once it is read
    assert said == f"at the end, requests refused with 503: {statuses[503]}; answers not read: 1\n"


def got(half: socket.socket) -> bytes:
    """Some bytes of an answer; there must be some."""
    received = half.recv(4096)
    assert received
    return received


def test_a_head_that_does_not_come_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.3)
    whole = b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with serving(save(tmp_path)) as (ask, _):
        for first in (b"", whole):  # at once, or after a request that was answered
            for part in (b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: loc"):
                if not part and first:
                    continue  # uvicorn's own limit for clients that stay
                with socket.create_connection(("127.0.0.1", ask.port), timeout=5) as half:
                    half.sendall(first)
                    while first and not got(half).endswith(b"}"):
                        pass
                    half.sendall(part)
                    with suppress(ConnectionResetError):
                        assert half.recv(4096) == b""
        with socket.create_connection(("127.0.0.1", ask.port), timeout=5) as slow:
            slow.sendall(request("/v1/predict", digit().tobytes())[:-10])
            time.sleep(0.6)  # a body has a limit of its own
            slow.sendall(digit().tobytes()[-10:])
            assert slow.recv(4096).startswith(b"HTTP/1.1 200")


def test_more_connections_than_there_are_files_for_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server_module, "raise_file_limit", lambda: 5)
    with serving(save(tmp_path)) as (ask, _), ExitStack() as open_:
        for _ in range(5):
            half = open_.enter_context(socket.create_connection(("127.0.0.1", ask.port), timeout=5))
            half.sendall(b"GET / HT")
        for _ in range(3):
            answer = ask("/v2/health/live")
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
            assert "too many connections" in answer.error
        assert [each.message for each in caplog.records] == ["5 connections: more are refused with 503"]
        open_.close()
        until(lambda: ask("/v2/health/live").status == 200)


def test_connections_leave_files_for_the_rest() -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        most = connection.raise_file_limit()
        now = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        assert now >= soft
        assert most <= connection.MOST
        assert most < now
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_ctrl_c_ends_it_at_once_and_a_request_in_work_is_answered(tmp_path: Path) -> None:
    with Process(save(tmp_path), "--backend", "numpy") as server:
        body = digit().tobytes()
        whole = request("/v1/predict", body)
        with socket.create_connection(("127.0.0.1", server.client.port), timeout=10) as half:
            half.sendall(whole[:-10])
            until(lambda: b"tinynet_requests" in server.client("/metrics").body)
            server.process.send_signal(signal.SIGINT)
            until(lambda: not reachable(server.client.port))
            half.sendall(whole[-10:])
            assert half.recv(4096).startswith(b"HTTP/1.1 200 OK")
        said, _ = server.process.communicate(timeout=10)
        assert (server.process.returncode, said) == (0, "")


def reachable(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def test_a_thousand_clients_at_once_are_each_answered(tmp_path: Path) -> None:
    with Process(save(tmp_path), "--backend", "numpy") as server:
        sent = request("/v1/predict", digit().tobytes())

        async def client() -> int:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.client.port)
            try:
                writer.write(sent)
                return (await answered(reader))[0]
            finally:
                writer.close()

        async def rush(count: int) -> Counter[int]:
            return Counter(await asyncio.gather(*(client() for _ in range(count))))

        statuses = asyncio.run(rush(min(1000, files_allowed() - 100)))
        assert {*statuses} <= {200, 503}
        assert statuses[200] >= 100
        assert (
            server.client("/v1/predict", digit().tobytes(), Content_Type="application/octet-stream").status
            == 200
        )
        assert server.end() == (0, "")


def files_allowed() -> int:
    """How many files this process may have open: each client is one."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(soft, 1200) if hard == resource.RLIM_INFINITY else max(soft, min(hard, 1200))
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bombs() -> dict[str, bytes]:
    """Files of at most 1 MiB that ask for far more."""
    head = b"\x89PNG\r\n\x1a\n"
    size = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    rows = chunk(b"IDAT", zlib.compress(bytes(2**27), 9))
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**20 - 1), 9))
    small = chunk(b"IHDR", struct.pack(">IIBBBBB", 28, 28, 8, 0, 0, 0, 0))
    image = chunk(b"IDAT", zlib.compress(bytes(28 * 29)))
    return {
        "pixels": head + chunk(b"IHDR", size) + rows,
        "more rows than it says": head + small + rows,
        "texts": head + small + text * 200 + image,
        "profile": head + small + chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(2**26), 9)) + image,
    }


def largest() -> dict[str, bytes]:
    """Files of as many pixels as are allowed."""
    found = {}
    levels = np.zeros((2000, 2000), np.uint16)
    levels[500:1500, 900:1100] = 50_000
    for name, picture, kind in [
        ("16 bits", Image.fromarray(levels), "PNG"),
        ("colours", Image.fromarray(np.repeat((levels > 0)[..., None] * np.uint8(255), 4, axis=2)), "PNG"),
        ("webp", Image.fromarray((levels > 0) * np.uint8(255)), "WEBP"),
        ("jpeg", Image.fromarray((levels > 0) * np.uint8(255)), "JPEG"),
    ]:
        stream = io.BytesIO()
        picture.save(stream, kind)
        found[name] = stream.getvalue()
    return found


@linux
def test_bombs_are_answered_in_bounded_memory(tmp_path: Path) -> None:
    with Process(save(tmp_path), "--backend", "numpy") as server:
        warm = io.BytesIO()
        Image.fromarray(np.pad(digit()[..., 0], 40)).save(warm, "PNG")
        for path in ("/v1/predict", "/v1/explain"):
            assert server.client(path, warm.getvalue(), Content_Type="image/png").status == 200
        server.forget_peak()
        before = server.memory()
        for name, body in bombs().items():
            assert len(body) <= 2**20
            for _ in range(3):
                answer = server.client("/v1/predict", body, Content_Type="image/png")
                assert answer.status in (200, 400), name
        nested = b'{"pixels": ' + b"[" * 2**19 + b"]" * 2**19 + b"}"
        numbers = b'{"pixels": [' + b"0," * (2**19 - 10) + b"0]}"
        for body in (nested[: 2**20], numbers):
            assert server.client("/v1/predict", body).status == 400
        assert server.memory("VmHWM") - before < 50
        for name, body in largest().items():
            for _ in range(3):
                answer = server.client("/v1/predict", body, Content_Type="image/png")
                assert answer.status == 200, name
        assert server.memory("VmHWM") - before < 100
        assert server.end() == (0, "")


def test_it_says_nothing_of_what_was_sent(tmp_path: Path) -> None:
    with Process(save(tmp_path), "--backend", "numpy") as server:
        server.client("/v1/predict", {"pixels": [[123456789]]})
        server.client("/v1/predict", b"not a picture 123456789", Content_Type="image/png")
        server.client("/secret-path-123456789")
        assert server.end() == (0, "")


def test_a_process_that_is_told_twice_does_not_wait(tmp_path: Path) -> None:
    with Process(save(tmp_path), "--backend", "numpy") as server:
        sent = request("/v1/predict", digit().tobytes())
        with socket.create_connection(("127.0.0.1", server.client.port)) as half:
            half.sendall(sent[:-10])
            until(lambda: server.client("/v2/health/live").status == 200)
            os.kill(server.process.pid, signal.SIGTERM)
            until(lambda: server.client("/v2/health/ready").status == 503)
            os.kill(server.process.pid, signal.SIGTERM)
            server.process.wait(2)
