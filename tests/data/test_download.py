"""tinynet.data.download: mirrors on loopback that work, fail, hang and lie."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest

from tinynet.data.download import FILES, MIRRORS, PAYLOAD_SHA256, cache_dir, download
from tinynet.data.idx import idx_sha256, read_idx, write_idx
from tinynet.errors import DataError

ARRAYS = {
    "train-images-idx3-ubyte": np.random.default_rng(1).integers(0, 256, (300, 28, 28), np.uint8),
    "train-labels-idx1-ubyte": np.arange(300, dtype=np.uint8) % 10,
    "t10k-images-idx3-ubyte": np.random.default_rng(2).integers(0, 256, (10, 28, 28), np.uint8),
    "t10k-labels-idx1-ubyte": np.arange(10, dtype=np.uint8),
}
SHORT = (0.5, 0.5)


@pytest.fixture(autouse=True)
def small_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The four files of a small data set in tmp_path/served, known to download() under the name mnist."""
    (tmp_path / "served").mkdir()
    for stem, array in ARRAYS.items():
        write_idx(tmp_path / "served" / f"{stem}.gz", array)
    monkeypatch.setitem(PAYLOAD_SHA256, "mnist", {stem: idx_sha256(a) for stem, a in ARRAYS.items()})
    for key in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(key, "127.0.0.1")


Reply: TypeAlias = Callable[[BaseHTTPRequestHandler, str], None]
"""Answers a request for a file of this name."""


@contextmanager
def serve(reply: Reply) -> Iterator[tuple[str, list[str]]]:
    """A mirror on loopback; reply(handler, file name) answers each request. Yields (address, names asked)."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path.rsplit("/", 1)[-1])
            reply(self, asked[-1])

        def log_message(self, *_: object) -> None:
            """Silence."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/mnist/", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def send(
    handler: BaseHTTPRequestHandler,
    body: bytes,
    *,
    status: int = 200,
    announce: bool = True,
    length: int | str | None = None,
) -> None:
    handler.send_response(status)
    if announce:
        handler.send_header("Content-Length", str(len(body) if length is None else length))
    handler.end_headers()
    handler.wfile.write(body)


@pytest.fixture
def good(tmp_path: Path) -> Reply:
    return lambda handler, name: send(handler, (tmp_path / "served" / name).read_bytes())


def check(folder: Path) -> None:
    """All four files are there, right, and alone."""
    assert sorted(path.name for path in folder.iterdir()) == sorted(f"{stem}.gz" for stem in FILES)
    for stem, array in ARRAYS.items():
        np.testing.assert_array_equal(read_idx(folder / f"{stem}.gz"), array)


def closed_port() -> str:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}/"


def test_the_files_come_whole_with_progress(tmp_path: Path, good: Reply) -> None:
    calls = []
    with serve(good) as (mirror, asked):
        download(
            "mnist",
            tmp_path / "new" / "cache",
            mirrors=[mirror],
            on_progress=lambda *call: calls.append(call),
        )
        check(tmp_path / "new" / "cache")
        download("mnist", tmp_path / "new" / "cache", mirrors=[mirror])
    assert asked == [f"{stem}.gz" for stem in FILES], "what is there is not fetched again"
    for name in asked:
        size = (tmp_path / "served" / name).stat().st_size
        received = [call[1] for call in calls if call[0] == name]
        assert received == sorted(received)
        assert received[-1] == size
        assert {call[2] for call in calls if call[0] == name} == {size}


def test_progress_without_an_announced_length(tmp_path: Path) -> None:
    calls = []
    with serve(
        lambda handler, name: send(handler, (tmp_path / "served" / name).read_bytes(), announce=False)
    ) as (mirror, _):
        download("mnist", tmp_path / "cache", mirrors=[mirror], on_progress=lambda *call: calls.append(call))
    check(tmp_path / "cache")
    assert {call[2] for call in calls} == {None}
    assert min(call[1] for call in calls) > 0


def hang(handler: BaseHTTPRequestHandler, name: str) -> None:
    time.sleep(1)


def half(handler: BaseHTTPRequestHandler, name: str) -> None:
    send(handler, b"\x1f\x8b half a file", length=10_000)


def endless(handler: BaseHTTPRequestHandler, name: str) -> None:
    handler.send_response(200)
    handler.end_headers()
    with suppress(OSError):  # the other side hangs up
        while True:
            handler.wfile.write(bytes(1 << 16))


BOMB = gzip.compress(bytes(1 << 26), 1)


FAULTS = {
    "endless": (endless, "it sends more than"),
    "a bomb": (lambda handler, name: send(handler, BOMB), "too long"),
    "an odd length": (lambda handler, name: send(handler, b"x", length="many"), "no sense"),
    "unavailable": (lambda handler, name: send(handler, b"busy", status=503), "HTTP status 503"),
    "not found": (lambda handler, name: send(handler, b"?", status=404), "HTTP status 404"),
    "hanging": (hang, "no bytes for 0.5 s"),
    "breaking off": (half, "broke off"),
    "an error page": (lambda handler, name: send(handler, b"<html>log in first</html>"), "other bytes"),
    "damaged gzip": (lambda handler, name: send(handler, gzip.compress(b"abc" * 99)[:-3]), "damaged gzip"),
    "another file": (lambda handler, name: send(handler, gzip.compress(b"abc" * 99)), "other bytes"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_mirror_is_passed_over_and_reported(tmp_path: Path, good: Reply, fault: Any) -> None:
    reply, reason = FAULTS[fault]
    with serve(reply) as (bad, asked_bad), serve(good) as (mirror, _):
        download("mnist", tmp_path / "cache", mirrors=[bad, mirror], timeout=SHORT)
        check(tmp_path / "cache")
        assert len(asked_bad) == 1, "the mirror that worked is asked first from then on"
        with pytest.raises(DataError, match=r"no mirror gave train-images-idx3-ubyte.gz") as error:
            download("mnist", tmp_path / "none", mirrors=[bad], timeout=SHORT)
    assert f"{bad}: " in str(error.value)
    assert reason in str(error.value)
    assert not list((tmp_path / "none").iterdir()), "no part of a file stays"


def test_all_mirrors_failing_names_each_in_a_line(tmp_path: Path) -> None:
    with serve(FAULTS["unavailable"][0]) as (busy, _):
        dead = closed_port()
        with pytest.raises(DataError) as error:
            download("mnist", tmp_path / "cache", mirrors=[busy, dead], timeout=SHORT)
    lines = str(error.value).splitlines()
    assert f"    {busy}: HTTP status 503" in lines
    assert f"    {dead}: no connection, or it broke off (ConnectionError)" in lines
    assert lines[-1].startswith("  fix: ")


def test_the_module_s_mirrors_are_used_by_default(
    tmp_path: Path, good: Reply, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(good) as (mirror, _):
        monkeypatch.setitem(MIRRORS, "mnist", (mirror,))
        download("mnist", tmp_path / "cache")
    check(tmp_path / "cache")


def test_a_damaged_file_is_replaced_only_when_asked(tmp_path: Path, good: Reply) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(b"precious")
    with serve(good) as (mirror, _):
        with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte.gz is not the file of mnist"):
            download("mnist", folder, mirrors=[mirror])
        assert (folder / "t10k-labels-idx1-ubyte.gz").read_bytes() == b"precious"
        download("mnist", folder, mirrors=[mirror], replace=True)
    check(folder)


def test_a_plain_file_that_is_there_is_kept(tmp_path: Path, good: Reply) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    write_idx(folder / FILES[0], ARRAYS[FILES[0]])
    with serve(good) as (mirror, asked):
        download("mnist", folder, mirrors=[mirror])
    assert f"{FILES[0]}.gz" not in asked


def test_downloads_at_the_same_time_do_no_harm(tmp_path: Path, good: Reply) -> None:
    folder, errors = tmp_path / "cache", []

    def work(mirror: str) -> None:
        try:
            download("mnist", folder, mirrors=[mirror], replace=True)
        except BaseException as error:
            errors.append(error)

    with serve(good) as (mirror, _):
        threads = [threading.Thread(target=work, args=(mirror,)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not errors
    check(folder)


def test_a_folder_that_cannot_be_made_or_written(
    tmp_path: Path, good: Reply, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    with serve(good) as (mirror, asked):
        with pytest.raises(DataError, match="cannot be made"):
            download("mnist", tmp_path / "file" / "cache", mirrors=[mirror])
        assert not asked

        def full(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("tinynet.io.atomic.os.fsync", full)
        with pytest.raises(DataError, match=r"cannot be written(.|\n)*No space left"):
            download("mnist", tmp_path / "cache", mirrors=[mirror])
    assert not list((tmp_path / "cache").iterdir())


def test_the_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYNET_CACHE", str(tmp_path / "mine"))
    assert cache_dir() == tmp_path / "mine"
    monkeypatch.delenv("TINYNET_CACHE")
    monkeypatch.setattr("platformdirs.user_cache_path", lambda app: tmp_path / "platform" / app)
    assert cache_dir() == tmp_path / "platform" / "tinynet"
