"""The process: a socket of its own, uvicorn on it, and an end in order."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import time
from functools import partial
from types import FrameType

import uvicorn

from tinynet.errors import ConfigError
from tinynet.serve.connection import AT_ONCE, Connection, Door, raise_file_limit
from tinynet.serve.gate import Gate
from tinynet.serve.service import Service

NOTICE_SECONDS = 1.0
"""From SIGTERM on so long new requests are still answered, while readiness is denied and connections close
after each answer: those who send requests learn of it, and nobody finds a closed door."""
GRACE_SECONDS = 2.0
"""Then what is being answered may take so long; what is not answered by then is refused with 503."""
LAST_SECONDS = 1
"""And so long may it take to send these refusals."""
BACKLOG = 2048
"""Connections that wait to be accepted."""

log = logging.getLogger("tinynet.serve")


def bind(host: str, port: int) -> socket.socket:
    """A socket that has the port, 0 for any. ConfigError where it is taken or not ours to take."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError(f"--host {host} is no address of this machine", received=error.strerror) from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        raise ConfigError(
            f"port {port} of {host} cannot be had",
            received=error.strerror,
            fix="choose another --port; 0 takes any that is free",
        ) from error
    return bound


class Server(uvicorn.Server):
    """uvicorn that gives notice: SIGTERM makes the service not ready at once, and ends it a second later.

    Ctrl-C ends it at once, and a second signal without waiting for answers; the exit code is 0.
    """

    def __init__(self, app: Gate, service: Service) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                ws="none",
                lifespan="on",
                timeout_graceful_shutdown=int(GRACE_SECONDS) + LAST_SECONDS,
                http=partial(Connection, Door(raise_file_limit())),  # type: ignore[arg-type]
                backlog=AT_ONCE,
            )
        )
        self.service = service
        self._ends_at = 0.0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        again = self.service.is_leaving
        self.service.leave()
        if again:
            self.should_exit = self.force_exit = True
        elif sig == signal.SIGTERM and self.service.engine.ready.is_set():
            self._ends_at = time.monotonic() + NOTICE_SECONDS
        else:
            self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        if self._ends_at and time.monotonic() >= self._ends_at:
            self.should_exit = True
        return await super().on_tick(counter)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for each in sockets or []:
            each.listen(BACKLOG)  # uvicorn made it as short as what it accepts at a time

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().call_later(GRACE_SECONDS, self._give_up)
        await super().shutdown(sockets)

    def _give_up(self) -> None:
        """Refuse what is not answered yet, and let go of clients that do not read their answers."""
        connections: list[Connection] = [*self.server_state.connections]  # type: ignore[list-item]
        unread = [each for each in connections if each.is_unread]
        for each in unread:
            each.transport.abort()
        for task in self.server_state.tasks:
            task.cancel()
        if connections:
            late = len(connections) - len(unread)
            log.warning("at the end, requests refused with 503: %d; answers not read: %d", late, len(unread))

    def end(self) -> None:
        """End, from any thread."""
        self.should_exit = True
