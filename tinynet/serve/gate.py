"""Who may ask, and what goes with every answer: the host, the token, and headers that deny by default.

Bodies, paths and tokens are never logged.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import TYPE_CHECKING

from starlette.requests import Request

from tinynet.serve.limits import RETRY_AFTER, Refused, as_json

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from tinynet.serve.service import Service

log = logging.getLogger("tinynet.serve")

ENDED = "the service ends, and had no time left for this; ask again"
FAILED = "the service failed; its log says why"
OPEN_TO_ALL = ("/v2/health/live", "/v2/health/ready")
"""Paths that ask for no token: those who watch over a service have none."""
LOOPBACK = ("localhost", "localhost.localdomain")
CSP = b"content-security-policy"
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)


class Gate:
    """What every request goes through first, and every answer last."""

    def __init__(
        self,
        app: ASGIApp,
        service: Service,
        hosts: Collection[str] = (),
        token: str | None = None,
        direct: Mapping[str, Callable[[Request], Awaitable[Response]]] | None = None,
    ) -> None:
        self.app, self.service, self.direct = app, service, direct or {}
        self.hosts = {name.lower() for name in (*LOOPBACK, *hosts)}
        self.token = token.encode() if token else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._answer(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self.app(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        began, status = time.perf_counter(), 0
        if scope["method"] == "HEAD":  # answered as GET is; uvicorn leaves the body out
            scope = {**scope, "method": "GET"}

        async def send_guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = self._guarded(list(message.get("headers", ())))
            await send(message)

        try:
            refusal = self.refusal(scope)
            if refusal is not None:
                raise refusal
            function = self.direct.get(scope["path"]) if scope["method"] == "POST" else None
            if function is None:
                await self.app(scope, receive, send_guarded)
            else:
                response = await function(Request(scope, receive))
                await response(scope, receive, send_guarded)
        except Refused as refused:
            await send_problem(send_guarded, refused)
        except asyncio.CancelledError:
            if not self.service.is_leaving:
                raise
            if not status:
                await send_problem(send_guarded, Refused(503, ENDED, RETRY_AFTER))
        except Exception:
            log.exception("%s %s failed", scope["method"], self._route(scope))
            if not status:
                await send_problem(send_guarded, Refused(500, FAILED))
        finally:
            self.service.metrics.request(self._route(scope), status, time.perf_counter() - began)

    def _guarded(self, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        headers.extend(HEADERS)
        if all(name != CSP for name, _ in headers):
            headers.append((CSP, b"default-src 'none'; frame-ancestors 'none'"))
        if self.service.is_leaving:  # a client that would ask again finds another server in time
            headers.append((b"connection", b"close"))
        return headers

    def refusal(self, scope: Scope) -> Refused | None:
        """Why this request is not listened to: another host is meant, or the token is missing."""
        host, authorizations = b"", list[bytes]()
        for name, value in scope["headers"]:
            if name == b"host":
                host = value
            elif name == b"authorization":
                authorizations.append(value)
        if not self.takes_host(host.decode("latin-1")):
            return Refused(421, "this host name is not served here; --allow-host NAME lets it in")
        if self.token and scope["path"] not in OPEN_TO_ALL and not self._knows(authorizations):
            return Refused(401, "a bearer token is needed", {"www-authenticate": "Bearer"})
        return None

    def takes_host(self, host: str) -> bool:
        """Whether the header Host names this service.

        A page of a foreign site can make a browser ask 127.0.0.1 by a name of that site's (DNS rebinding),
        but not by a number: so any address of numbers is taken, and names only if they are known.
        """
        name = host.lower()
        name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
        if "*" in self.hosts or name.rstrip(".") in self.hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _route(self, scope: Scope) -> str:
        """The route that took a request, by its pattern: what was really asked for is not kept."""
        if scope["method"] == "POST" and scope["path"] in self.direct:
            return str(scope["path"])
        return str(getattr(scope.get("route"), "path", "other"))

    def _knows(self, authorizations: list[bytes]) -> bool:
        if len(authorizations) != 1:  # two would be read otherwise by whatever stands before the service
            return False
        scheme, _, given = authorizations[0].partition(b" ")
        assert self.token is not None
        return hmac.compare_digest(given.strip(), self.token) and scheme.lower() == b"bearer"


async def send_problem(send: Send, refused: Refused) -> None:
    """Answer with a status and {"error": sentence}."""
    body = as_json({"error": refused.sentence})
    headers = {"content-type": "application/json", "content-length": str(len(body)), **refused.headers}
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": refused.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
