"""Seconds on the device: of each kernel of a step, and of whole steps beside the wall and the processor."""

from __future__ import annotations

import ctypes
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from gpu_launches import PERSISTENT, Launch, make_trainer
from gpu_model import H100, Rates
from roofline import Work

from tinynet.backends.base import Backend

REPEATS = 20
"""Launches of a kernel in the graph that is timed."""
EPOCH = 50
"""Steps of an epoch of noise."""
COUNTING = ("end_step", PERSISTENT)
"""Kernels that go on in a plan, and may not be launched more often than it has rows."""


class Stopwatch:
    """Seconds that a device takes for what is launched on it; on a processor, that pass."""

    def __init__(self, ops: Backend) -> None:
        self._cuda = getattr(ops.xp, "cuda", None)

    def wait(self) -> None:
        """Until the device has done all."""
        if self._cuda:
            self._cuda.Device().synchronize()

    def seconds(self, run: Callable[[], object]) -> float:
        """From the first that `run` launches to the end of the last: events, on the device's own clock."""
        if not self._cuda:
            began = time.perf_counter()
            run()
            return time.perf_counter() - began
        begin, end = self._cuda.Event(), self._cuda.Event()
        begin.record()
        run()
        end.record()
        end.synchronize()
        return float(self._cuda.get_elapsed_time(begin, end)) / 1e3

    def shortest(self, run: Callable[[], object], seconds: float) -> float:
        """The quickest of the runs that fit into so many seconds."""
        run()  # compiles
        self.wait()
        best, until = math.inf, time.perf_counter() + seconds
        while best == math.inf or time.perf_counter() < until:
            best = min(best, self.seconds(run))
        return best


class Timed(NamedTuple):
    """A kernel on arrays of these shapes: how often a step launches it, and seconds of each time."""

    launch: Launch
    count: int
    seconds: float
    predicted: float

    def as_dict(self) -> dict[str, Any]:
        work = self.launch.work
        return {
            "kernel": self.launch.kernel,
            "shapes": self.launch.shapes,
            "count": self.count,
            "seconds": self.seconds,
            "predicted": self.predicted,
            "bytes_a_second": work.moved / self.seconds,
            "flops": work.flops / self.seconds,
        }


def time_each(launches: Sequence[Launch], ops: Any, seconds: float, rates: Rates = H100) -> list[Timed]:
    """Each kernel on each set of shapes, the costliest first: in a graph of nothing but itself."""
    alike: dict[tuple[str, str], list[Launch]] = {}
    for launch in launches:
        if launch.kernel not in COUNTING:
            alike.setdefault((launch.kernel, launch.shapes), []).append(launch)
    watch, found = Stopwatch(ops), []
    for own in alike.values():
        again = ops.record(partial(_repeat, own[0].again))
        taken = watch.shortest(again, seconds) / REPEATS
        found.append(Timed(own[0], len(own), taken, rates.predict(own[0]).seconds))
    return sorted(found, key=lambda each: -each.count * each.seconds)


def _repeat(again: Callable[[], None]) -> None:
    for _ in range(REPEATS):
        again()


class StepTimes(NamedTuple):
    """Seconds a step, three ways."""

    wall: float
    device: float
    """From the first that a stretch launches to the end of the last."""
    processor: float
    """Of this thread, to have a step launched."""


def time_steps(net: str, batch: int, ops: Any, steps: int) -> StepTimes:
    """Steps as users get them, where nobody looks at each; on the device those of the best stretch."""
    watch, trainer = Stopwatch(ops), make_trainer(net, batch, ops, epochs=10**6, steps=EPOCH)
    events, state = trainer.events(lambda: math.inf), trainer.state
    while state.step < steps:  # stretches of all lengths have been recorded by then
        next(events)
    watch.wait()
    on_device, before, began, worked = math.inf, state.step, time.perf_counter(), time.thread_time()
    while state.step < before + steps:
        first = state.step
        taken = watch.seconds(lambda: next(events))
        if state.step - first > 1:
            on_device = min(on_device, taken / (state.step - first))
    worked = time.thread_time() - worked
    watch.wait()
    done, wall = state.step - before, time.perf_counter() - began
    return StepTimes(wall / done, min(on_device, wall / done), worked / done)


def _all(launches: Sequence[Launch]) -> None:
    for launch in launches:
        launch.again()


def nodes(launches: Sequence[Launch], ops: Any) -> int:
    """Nodes of the CUDA graph of these launches, as the driver counts: a product by cuBLAS may be several."""
    cuda = ops.xp.cuda
    with cuda.Stream(non_blocking=True) as stream:
        stream.begin_capture()
        _all(launches)
        graph = stream.end_capture()
    count = ctypes.c_size_t()
    driver = ctypes.CDLL("nvcuda.dll" if hasattr(ctypes, "windll") else "libcuda.so.1")
    status = driver.cuGraphGetNodes(ctypes.c_void_p(graph.graph), None, ctypes.byref(count))
    if status:
        raise RuntimeError(f"cuGraphGetNodes: CUDA error {status}")
    return count.value


# --- what the card can do ---------------------------------------------------------------------------------


class Roofs(NamedTuple):
    """What this device can do, in float32."""

    peak: float
    """FLOP/s of a large product."""
    bandwidth: float
    """Bytes a second of a large copy: read and written."""
    begin: float
    """Seconds from one small kernel of a recording to the next."""

    def attainable(self, work: Work) -> float:
        """The least seconds for it."""
        return max(work.flops / self.peak, work.moved / self.bandwidth)


def measure_roofs(ops: Any, seconds: float, side: int = 4096, megabytes: int = 256) -> Roofs:
    """A product (side, side) · (side, side), a copy of so many megabytes, and 100 kernels of one thread."""
    watch, xp = Stopwatch(ops), ops.xp
    a, b = xp.ones(megabytes << 18, "float32"), xp.empty(megabytes << 18, "float32")
    factor, product = xp.ones((side, side), "float32"), xp.empty((side, side), "float32")
    copying = watch.shortest(lambda: xp.copyto(b, a), seconds)
    multiplying = watch.shortest(lambda: xp.matmul(factor, factor, out=product), seconds)
    begin = math.nan
    if hasattr(ops, "device"):
        number = ops.device.empty(1, "float64")
        empty = ops.record(lambda: [ops.device.launch("put", 1, number, 0.0) for _ in range(100)])
        begin = watch.shortest(empty, seconds) / 100
    return Roofs(2 * side**3 / multiplying, 2 * a.nbytes / copying, begin)
