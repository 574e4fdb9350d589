"""One thread that computes, and the bounded queue that it drains.

All requests that wait when the thread gets free go through the net together, at most `LARGEST` images. There
is no timer: to wait for more would only add to the time of those that are there.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from queue import SimpleQueue
from typing import Any, Literal, TypeAlias

import numpy as np

from tinynet.serve.models import DTYPES, LARGEST, SIZES, Served
from tinynet.types import Array

Work: TypeAlias = Literal["predict", "explain"]
Observer: TypeAlias = Callable[[str, int, float], None]
"""Is told the model's name, how many images went through it together, and the seconds that took."""


@dataclass(frozen=True, eq=False)
class Job:
    """What one request wants computed, and the future that takes the result."""

    work: Work
    served: Served
    images: Array
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]

    def goes_with(self, other: Job) -> bool:
        """Whether both can be computed in one batch."""
        return (
            self.work == other.work == "predict"
            and self.served is other.served
            and self.images.dtype == other.images.dtype
        )


class Engine:
    """The thread. `start` it; `compute` from an event loop; `stop` it.

    It first computes every size of batch once for each model (`ready` is set then), so that no request waits
    for a compiler. `failure` is what ended it, if anything did; `on_failure` is called then.
    """

    def __init__(self, models: Sequence[Served], observe: Observer, on_failure: Callable[[], None]) -> None:
        self.models, self.observe, self.on_failure = models, observe, on_failure
        self.ready = threading.Event()
        self.failure: Exception | None = None
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._taken: list[Job | None] = []
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, seconds: float = 1.0) -> None:
        """Compute what is waiting, then end; a compiler that is at work is not waited for."""
        self._stopping = True
        self._jobs.put(None)
        self._thread.join(seconds)

    def compute(self, work: Work, served: Served, images: Array) -> asyncio.Future[Any]:
        """Queue it; the future gets probabilities (N, K), or for one image its explanation."""
        loop = asyncio.get_running_loop()
        job = Job(work, served, images, loop, loop.create_future())
        self._jobs.put(job)
        return job.future

    def _run(self) -> None:
        try:
            self._warm()
        except Exception as error:  # whatever it is, the command that started the service tells it
            self.failure = error
            self.on_failure()
            return
        while batch := self._next():
            results = self._results(batch)
            for loop in {job.loop for job in batch}:
                mine = [pair for pair in zip(batch, results, strict=True) if pair[0].loop is loop]
                loop.call_soon_threadsafe(_deliver, mine)

    def _warm(self) -> None:
        calls = list[Callable[[], object]]()
        for served in self.models:
            for dtype, size in product(DTYPES, SIZES):
                calls.append(partial(served.probabilities, np.zeros((size, *served.shape), dtype)))
            calls.append(partial(served.explain, np.zeros(served.shape, np.uint8)))
        with self.models[0].model.backend.compiling_together(*calls):
            for call in calls:
                if self._stopping:
                    return
                call()
        self.ready.set()

    def _next(self) -> list[Job]:
        """The job that waits longest and all that go with it; none once `stop` is reached in the queue."""
        while not self._taken or not self._jobs.empty():
            self._taken.append(self._jobs.get())
        first, *rest = self._taken
        if first is None:
            return []
        batch, others, count = [first], list[Job | None](), len(first.images)
        for job in rest:
            if job and job.goes_with(first) and count + len(job.images) <= LARGEST:
                batch.append(job)
                count += len(job.images)
            else:
                others.append(job)
        self._taken = others
        return batch

    def _results(self, batch: list[Job]) -> list[Any]:
        """The result of each job, or the exception it ended in."""
        served, began = batch[0].served, time.perf_counter()
        try:
            if batch[0].work == "explain":
                return [served.explain(batch[0].images[0])]
            counts = [len(job.images) for job in batch]
            found = served.probabilities(np.concatenate([job.images for job in batch]))
            self.observe(served.name, len(found), time.perf_counter() - began)
            return np.split(found, np.cumsum(counts)[:-1])
        except Exception as error:  # it belongs to those who asked
            return [error] * len(batch)


def _deliver(results: Sequence[tuple[Job, Any]]) -> None:
    for job, result in results:
        if job.future.done():  # whoever asked has gone
            continue
        if isinstance(result, Exception):
            job.future.set_exception(result)
        else:
            job.future.set_result(result)
