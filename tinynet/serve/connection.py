"""Who may stay connected: clients that ask in time, and no more of them than the process has files for."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

log = logging.getLogger("tinynet.serve")

HEAD_SECONDS = 10.0
"""From the first byte of a request on, or from the connection on, its head may take so long."""
AT_ONCE = 16
"""Connections that are accepted before those accepted are looked at."""
SPARE_FILES = 8 * AT_ONCE
"""Files that connections leave to everything else: weights, kernels, pictures, and those being refused."""
MOST = 8192
"""Connections at most, however many files there may be."""
BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n"
    b"content-type: application/json\r\ncontent-length: 48\r\n\r\n"
    b'{"error":"too many connections; ask again soon"}'
)


def raise_file_limit() -> int:
    """Let the process have as many files as it may, up to what `MOST` connections need; how many it may have
    connections then."""
    if sys.platform == "win32":
        return MOST
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST + SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        except (OSError, ValueError):  # macOS has a second, lower limit
            soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if soft == resource.RLIM_INFINITY:
        return MOST
    return min(MOST, max(soft - SPARE_FILES, soft // 2))


class Door:
    """How many connections there may be. That there are too many, it says once, until that is over."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._said = False

    def takes(self, count: int) -> bool:
        """Whether the connection that makes it `count` may stay."""
        if count <= self.most:
            self._said = self._said and count > self.most // 2
            return True
        if not self._said:
            log.warning("%d connections: more are refused with 503", self.most)
            self._said = True
        return False


class Connection(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """uvicorn's connection, closed where the head of a request does not come in time."""

    def __init__(self, door: Door, **options: Any) -> None:
        super().__init__(**options)
        self._door = door
        self._late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        if self._door.takes(len(self.connections)):
            self._wait_for_head()
        else:
            transport.write(BUSY)
            transport.close()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self.is_between:
            self._wait_for_head()
        else:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    @property
    def is_between(self) -> bool:
        """Whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    @property
    def is_unread(self) -> bool:
        """Whether it waits for the client to read: an answer that has begun, or those before it."""
        return self.cycle is None or self.cycle.response_started or self.flow.write_paused

    def _wait_for_head(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(HEAD_SECONDS, self._close_if_late)

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _close_if_late(self) -> None:
        self._late = None
        if self.is_between:
            self.transport.abort()
