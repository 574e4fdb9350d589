"""Hosts, tokens, sizes, times and headers: who may ask, and how much."""

from __future__ import annotations

import logging
import socket
from pathlib import Path

import pytest
from served import Client, digit, save, serving, until

from tinynet.serve import limits
from tinynet.serve import service as service_module
from tinynet.serve.gate import HEADERS, Gate
from tinynet.serve.limits import MAX_BODY
from tinynet.serve.service import Service

BYTES = "application/octet-stream"


@pytest.mark.parametrize(
    ("host", "taken"),
    [
        ("localhost", True),
        ("LOCALHOST:8000", True),
        ("localhost.", True),
        ("127.0.0.1:8000", True),
        ("10.1.2.3", True),
        ("[::1]:8000", True),
        ("[fe80::1]", True),
        ("digits.example:443", True),
        ("evil.example", False),
        ("evil.example:8000", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("", False),
        ("[", False),
        ("\xff", False),
    ],
)
def test_a_name_must_be_known_and_a_number_is_enough(
    running: tuple[Client, Service], host: str, taken: bool
) -> None:
    async def nothing(*_: object) -> None:
        raise AssertionError("it was let in")

    assert Gate(nothing, running[1], ["Digits.example"]).takes_host(host) is taken
    assert Gate(nothing, running[1], ["*"]).takes_host(host)


def test_another_host_is_refused(ask: Client) -> None:
    answer = ask("/v2", Host="evil.example")
    assert answer.status == 421
    assert "this host name is not served here" in answer.error


def test_a_token_is_asked_of_all_but_probes(tmp_path: Path) -> None:
    with serving(save(tmp_path), token="a secret") as (ask, _):
        for path in ("/", "/docs", "/openapi.json", "/metrics", "/v1/model", "/v2", "/nowhere"):
            for given in ("", "Bearer", "Bearer a", "Bearer a secret!", "Basic a secret", "Bearer \xe9"):
                answer = ask(path, Authorization=given)
                assert (answer.status, answer.error) == (401, "a bearer token is needed")
                assert answer.headers["www-authenticate"] == "Bearer"
        assert ask("/v2/health/ready").status == ask("/v2/health/live").status == 200
        assert ask("/v2", Authorization="bearer a secret").status == 200
        for second in (b"Bearer a secret", b"Basic x"):
            lines = [b"GET /v2 HTTP/1.1", b"Host: localhost", b"Connection: close"]
            lines += [b"Authorization: Bearer a secret", b"Authorization: " + second, b"", b""]
            assert raw(ask.port, b"\r\n".join(lines)).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("path", ["/", "/v2/health/live", "/v2/health/ready", "/docs", "/nowhere"])
def test_head_is_answered_as_get_without_the_body(ask: Client, path: str) -> None:
    whole, head = ask(path), ask(path, method="HEAD")
    assert (head.status, head.body) == (whole.status, b"")
    assert {**head.headers, "date": ""} == {**whole.headers, "date": ""}


def test_every_answer_has_the_guarding_headers_and_allows_no_other_origin(ask: Client) -> None:
    for path in ("/", "/docs", "/v2", "/nowhere", "/v1/predict", "/openapi.json"):
        found = ask(path, Origin="https://evil.example")
        for name, value in HEADERS:
            assert found.headers[name.decode()] == value.decode()
        assert "frame-ancestors 'none'" in found.headers["content-security-policy"]
        assert not [name for name in found.headers if name.startswith("access-control")]
        assert "server" not in found.headers


def raw(port: int, *parts: bytes, wait: float = 10.0) -> bytes:
    """What comes back on one connection for these bytes, until it is closed."""
    with socket.create_connection(("127.0.0.1", port), timeout=wait) as connection:
        for part in parts:
            try:
                connection.sendall(part)
            except (BrokenPipeError, ConnectionResetError):
                break
        received = b""
        try:
            while more := connection.recv(65536):
                received += more
        except ConnectionResetError:
            pass
        return received


def head(path: str, *lines: str) -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: localhost", *lines, "", ""]).encode()


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/explain", "/v2/models/net/infer"])
def test_a_body_too_large_is_refused_with_and_without_its_length(
    running: tuple[Client, Service], path: str
) -> None:
    ask, service = running
    most = ask(path, b"x" * MAX_BODY, Content_Type=BYTES)
    assert most.status == 400
    declared = ask(path, b"x" * (MAX_BODY + 1), Content_Type=BYTES)
    assert (declared.status, declared.error) == (413, "a body has at most 1,048,576 bytes")
    head_only = raw(ask.port, head(path, f"Content-Type: {BYTES}", "Content-Length: 99999999999"))
    assert head_only.startswith(b"HTTP/1.1 413 ")
    chunks = [b"10000\r\n" + b"x" * 65536 + b"\r\n"] * 17 + [b"0\r\n\r\n"]
    chunked = head(path, f"Content-Type: {BYTES}", "Transfer-Encoding: chunked")
    assert raw(ask.port, chunked, *chunks).startswith(b"HTTP/1.1 413 ")
    assert service.held.total == service.waiting == 0


def test_a_body_that_does_not_come_is_not_waited_for(
    running: tuple[Client, Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask, service = running
    monkeypatch.setattr(limits, "BODY_SECONDS", 0.3)
    sent = head("/v1/predict", f"Content-Type: {BYTES}", "Content-Length: 784") + b"abc"
    answer = raw(ask.port, sent)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"the body did not come within 0.3 seconds" in answer
    assert ask("/v1/predict", digit().tobytes(), Content_Type=BYTES).status == 200
    assert service.held.total == service.waiting == 0


def test_a_client_that_goes_away_leaves_nothing(running: tuple[Client, Service]) -> None:
    ask, service = running
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", ask.port)) as connection:
            connection.sendall(head("/v1/predict", f"Content-Type: {BYTES}", "Content-Length: 784") + b"abc")
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", ask.port)) as connection:
            sent = head("/v1/predict", f"Content-Type: {BYTES}", "Content-Length: 784") + digit().tobytes()
            connection.sendall(sent)
    assert ask("/v1/predict", digit().tobytes(), Content_Type=BYTES).status == 200
    until(lambda: service.held.total == service.waiting == 0)


def test_a_full_queue_and_full_hands_are_told_with_when_to_come_back(
    running: tuple[Client, Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask, service = running
    with monkeypatch.context() as patch:
        patch.setattr(service_module, "MAX_WAITING", 0)
        full = ask("/v1/predict", digit().tobytes(), Content_Type=BYTES)
        assert (full.status, full.headers["retry-after"]) == (503, "1")
        assert "requests wait already" in full.error
    with monkeypatch.context() as patch:
        patch.setattr(limits, "HELD_BYTES", 100)
        held = ask("/v1/predict", digit().tobytes(), Content_Type=BYTES)
        assert (held.status, held.headers["retry-after"]) == (503, "1")
        assert "too much waits" in held.error
    with monkeypatch.context() as patch:
        patch.setattr(service.engine.ready, "is_set", lambda: False)
        cold = ask("/v1/predict", digit().tobytes(), Content_Type=BYTES)
        assert (cold.status, cold.headers["retry-after"]) == (503, "1")
        assert ask("/v2/health/ready").json == {"live": True, "ready": False}
        assert ask("/v2/health/ready").status == ask("/v2/models/net/ready").status == 503
        assert ask("/v2/health/live").status == 200
    assert ask("/v1/predict", digit().tobytes(), Content_Type=BYTES).status == 200


def test_a_failure_inside_is_told_without_what_was_sent(
    running: tuple[Client, Service], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ask, service = running

    def fail(images: object) -> None:
        raise ArithmeticError("the net failed")

    monkeypatch.setattr("tinynet.serve.models.predict", lambda *_: fail(None))
    with caplog.at_level(logging.INFO):
        answer = ask("/v1/predict", b"\x07secret!" * 98, Content_Type=BYTES)
        until(lambda: "POST /v1/predict failed" in caplog.text)
    assert (answer.status, answer.error) == (500, "the service failed; its log says why")
    assert "X-Content-Type-Options".lower() in answer.headers
    assert "the net failed" in caplog.text
    assert "secret" not in caplog.text
    assert service.held.total == service.waiting == 0
