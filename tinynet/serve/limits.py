"""How much may be asked: the size of a body, the time it may take, and how many are held at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.types import Receive, Scope

MAX_BODY = 2**20
BODY_SECONDS = 10.0
"""A body that is not there by then is not waited for."""
HELD_BYTES = 32 * MAX_BODY
"""Of all bodies together that are held at a time."""
LINGER_BYTES, LINGER_SECONDS = 8 * MAX_BODY, 1.0
"""So much more of a body that is refused is read and forgotten: who still writes reads no answer."""
RETRY_AFTER = {"retry-after": "1"}
CLOSE = {"connection": "close"}


class Refused(Exception):
    """An answer other than the one asked for: a status of HTTP's and a sentence."""

    def __init__(self, status: int, sentence: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.headers = status, sentence, dict(headers or {})


class Held:
    """The bytes of all bodies that are held now."""

    def __init__(self) -> None:
        self.total = 0


class Share:
    """One request's part of them, given back at the end of the block."""

    def __init__(self, held: Held) -> None:
        self._held, self._taken = held, 0

    def __enter__(self) -> Share:
        return self

    def __exit__(self, *exception: object) -> None:
        self._held.total -= self._taken

    def take(self, count: int) -> None:
        """Hold `count` bytes more. Refused where all have too many."""
        if self._held.total + count > HELD_BYTES:
            raise Refused(503, "too much waits to be computed; ask again", RETRY_AFTER | CLOSE)
        self._held.total += count
        self._taken += count


async def read_body(scope: Scope, receive: Receive, share: Share) -> bytes:
    """The body of a request. Refused where it is too large, too slow or cut off, or too much is held."""
    declared = dict(scope["headers"]).get(b"content-length", b"0")
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            if int(declared) > MAX_BODY:
                await _linger(receive)
                raise _too_large()
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Refused(400, "the body ended before it was whole", CLOSE)
                chunk = message.get("body", b"")
                size += len(chunk)
                if size > MAX_BODY:
                    chunks.clear()
                    await _linger(receive)
                    raise _too_large()
                share.take(len(chunk))
                chunks.append(chunk)
                if not message.get("more_body"):
                    return b"".join(chunks)
    except TimeoutError as error:
        raise Refused(408, f"the body did not come within {BODY_SECONDS:g} seconds", CLOSE) from error


def _too_large() -> Refused:
    return Refused(413, f"a body has at most {MAX_BODY:,} bytes", CLOSE)


async def _linger(receive: Receive) -> None:
    """Read on, and forget it, until the body ends or is clearly endless."""
    dropped = 0
    try:
        async with asyncio.timeout(LINGER_SECONDS):
            while dropped < LINGER_BYTES:
                message = await receive()
                dropped += len(message.get("body", b""))
                if not message.get("more_body"):
                    return
    except TimeoutError:
        return


def as_json(value: Any) -> bytes:
    """JSON without spaces. ValueError for NaN and infinities, which JSON does not have."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()
