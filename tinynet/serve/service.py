"""The service without HTTP: its models, its queue, and whether it takes requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from tinynet.serve import inputs
from tinynet.serve.inputs import Given
from tinynet.serve.limits import RETRY_AFTER, Held, Refused, Share, read_body
from tinynet.serve.metrics import Metrics
from tinynet.serve.models import Served
from tinynet.serve.queue import Engine, Work
from tinynet.types import Array

if TYPE_CHECKING:
    from starlette.requests import Request

Result = TypeVar("Result")

MAX_WAITING = 512
"""Requests in work at a time, whose body has come; one more is refused."""
SMALL = 2**14
"""JSON of so many bytes is read at once; what is larger, and pictures, by the thread that reads."""


class Service:
    """`start` it, ask it, `leave` when told to end, `stop` at the end.

    One thread computes (`queue`), one decodes pictures and large bodies: one at a time, so that no more
    memory is taken than one picture needs.
    """

    def __init__(self, models: Mapping[str, Served], on_failure: Callable[[], None] = lambda: None) -> None:
        self.models = dict(models)
        self.default = next(iter(self.models.values()))
        self.metrics = Metrics(lambda: self.waiting, lambda: self.is_ready)
        self.engine = Engine([*self.models.values()], self.metrics.batch, on_failure)
        self.held = Held()
        self.waiting = 0
        self.is_leaving = False
        self._reader = ThreadPoolExecutor(1, "reader")

    @property
    def is_ready(self) -> bool:
        """Whether kernels are compiled and the service is not about to end."""
        return self.engine.ready.is_set() and not self.is_leaving

    def start(self) -> None:
        self.engine.start()

    def leave(self) -> None:
        """Say "not ready" from now on; requests are answered all the same."""
        self.is_leaving = True

    def stop(self) -> None:
        self._reader.shutdown(cancel_futures=True)
        self.engine.stop()

    def check(self) -> None:
        """Get ready and stop; `engine.failure` is then what was in the way."""
        self.start()
        while not self.engine.ready.wait(0.1) and self.engine.failure is None:
            pass
        self.stop()

    def find(self, name: str | None) -> Served:
        """The model of a name; the first one without. Refused with 404 for another."""
        if name is None:
            return self.default
        if name not in self.models:
            raise Refused(404, f"there is no such model; there are: {', '.join(self.models)}")
        return self.models[name]

    @asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator[bytes]:
        """The body of a request, which is in work inside the block."""
        if not self.engine.ready.is_set():
            raise Refused(503, "kernels are being compiled; ask again", RETRY_AFTER)
        if request.headers.get("content-encoding", "").strip().lower() not in ("", "identity"):
            raise Refused(415, "a body is sent as it is, without Content-Encoding")
        with Share(self.held) as share:
            body = await read_body(request.scope, request.receive, share)
            if self.waiting >= MAX_WAITING:
                raise Refused(503, f"{MAX_WAITING} requests wait already; ask again", RETRY_AFTER)
            self.waiting += 1
            try:
                yield body
            finally:
                self.waiting -= 1

    async def read(self, media: str, body: bytes, served: Served) -> Given:
        """The images in a body."""
        if media == inputs.BYTES or (media == inputs.JSON and len(body) <= SMALL):
            return inputs.read(media, body, served)
        if media in inputs.FORMATS and (ready := inputs.as_it_is(body, served)):
            return ready
        return await self.aside(inputs.read, media, body, served)

    async def aside(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """The function's result, computed by the thread that reads."""
        return await asyncio.get_running_loop().run_in_executor(self._reader, function, *arguments)

    async def probabilities(self, served: Served, images: Array) -> Array:
        """(N, K) for images (N, H, W, C)."""
        found: Array = await self._compute("predict", served, images)
        self.metrics.answers(served.name, (served.classes[row.index(max(row))] for row in found.tolist()))
        return found

    async def explanation(self, served: Served, image: Array) -> dict[str, Any]:
        """See `Served.explain`."""
        found: dict[str, Any] = await self._compute("explain", served, image[None])
        return found

    async def _compute(self, work: Work, served: Served, images: Array) -> Any:
        return await self.engine.compute(work, served, images)
