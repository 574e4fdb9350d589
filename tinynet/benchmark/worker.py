"""One contender as a process that computes only when asked: a request a line in, an answer a line out.

python worker.py CONTENDER.py MODE FOLDER NET BATCH    for instance bench/peers/torch_.py eager /tmp/x mlp 64

Imports nothing of tinynet: it runs in the environment of whichever framework it measures.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import net  # beside this file, which runs as a script
import numpy as np

ROTATION = 16
"""Batches that steps go through, made ready beforehand."""
TEST_BATCH = 256


class Worker:
    """The requests: each method is one, its arguments are the request's."""

    def __init__(self, file: str, mode: str, folder: str, name: str, batch: str) -> None:
        sys.path.append(str(Path(file).parent))
        self.module, self.mode = importlib.import_module(Path(file).stem), mode
        self.folder, self.batch = Path(folder), int(batch)
        self.net = net.read(self.folder, name)

    def about(self) -> dict[str, str]:
        """The versions that matter."""
        versions = {name: metadata.version(name) for name in self.module.DISTRIBUTIONS}
        return {"Python": platform.python_version()} | versions

    def losses(self, steps: int) -> list[float]:
        """The loss of each of the first steps, without dropout."""
        peer = self.module.Peer(self.net.without_dropout(), self.mode)
        return [float(peer.step(*peer.put(*batch))) for batch in self._batches(steps)]

    def outputs(self) -> list[float]:
        """The outputs of the untrained net for the first batch."""
        peer = self._peer()
        x, _ = peer.put(*next(self._batches(1)))
        found: list[float] = np.asarray(peer.infer(x)).ravel().tolist()
        return found

    def warm(self, what: str, seconds: float) -> int:
        """Get ready for turns of about so many seconds; return how many calls make a turn."""
        self.run: Callable[[int], None] = getattr(self, f"_{what}")()
        self.count = 1
        self.run(1)  # compiles
        while _timed(self.run, self.count) < seconds / 2:
            self.count *= 2
        return self.count

    def turn(self) -> float:
        """Seconds a call."""
        return _timed(self.run, self.count) / self.count

    def memory(self) -> float:
        """The most memory (MiB) that this process has held, after one epoch."""
        self._epoch()(1)
        return peak_memory()

    def race(self, rates: list[float]) -> dict[str, float]:
        """Train on all images, a learning rate for each step, then test: the accuracy, and the seconds."""
        images, labels, test_images, test_labels = (
            np.load(self.folder / f"{name}.npy")
            for name in ("images", "labels", "test-images", "test-labels")
        )
        moments = [time.perf_counter()]

        def seconds() -> float:
            moments.append(time.perf_counter())
            return moments[-1] - moments[-2]

        self._rehearse(images, labels, test_images, rates)
        found = {"compile": seconds()}
        peer = self._peer()
        x, targets = peer.put(images, labels)
        test, _ = peer.put(test_images, test_labels)
        found["load"] = seconds()
        peer.train(x, targets, self.batch, rates)
        found["train"] = seconds()
        found["accuracy"] = float(np.mean(_predicted(peer, test) == test_labels))
        return found | {"evaluate": seconds()}

    def _rehearse(self, images: Any, labels: Any, test_images: Any, rates: list[float]) -> None:
        """A step and a test with each size of batch that is to come: whatever compiles has done so after."""
        count = self.batch + len(images) % self.batch
        peer = self._peer()
        peer.train(*peer.put(images[:count], labels[:count]), self.batch, rates[: -(-count // self.batch)])
        count = TEST_BATCH + len(test_images) % TEST_BATCH
        _predicted(peer, peer.put(test_images[:count], labels[:count])[0])

    def _peer(self) -> Any:
        return self.module.Peer(self.net, self.mode)

    def _batches(self, count: int) -> Iterator[tuple[Any, Any]]:
        own = f"{self.net.name}-"
        own = own if (self.folder / f"{own}images.npy").exists() else ""
        images, labels = (
            np.load(self.folder / f"{own}{name}.npy", mmap_mode="r") for name in ("images", "labels")
        )
        for start in range(0, count * self.batch, self.batch):
            part = slice(start, start + self.batch)
            yield np.array(images[part]), np.array(labels[part])

    def _step(self) -> Callable[[int], None]:
        peer = self._peer()
        batches = [peer.put(*batch) for batch in self._batches(ROTATION)]

        def run(count: int) -> None:
            for i in range(count):
                loss = peer.step(*batches[i % ROTATION])
            float(loss)

        return run

    def _epoch(self) -> Callable[[int], None]:
        peer = self._peer()
        x, labels = peer.put(np.load(self.folder / "images.npy"), np.load(self.folder / "labels.npy"))

        def run(count: int) -> None:
            for _ in range(count):
                peer.epoch(x, labels, self.batch)

        return run

    def _infer(self) -> Callable[[int], None]:
        peer = self._peer()
        x, _ = peer.put(*next(self._batches(1)))

        def run(count: int) -> None:
            for _ in range(count):
                np.asarray(peer.infer(x))

        return run


def _timed(run: Callable[[int], None], count: int) -> float:
    began = time.perf_counter()
    run(count)
    return time.perf_counter() - began


def _predicted(peer: Any, x: Any) -> Any:
    """The class of each of x, in batches."""
    parts = (x[start : start + TEST_BATCH] for start in range(0, len(x), TEST_BATCH))
    return np.concatenate([np.asarray(peer.infer(part)).argmax(axis=1) for part in parts])


def peak_memory() -> float:
    """In MiB. Linux' own figure for this program; getrusage may count the parent's memory before exec."""
    status = Path("/proc/self/status")
    if status.exists():
        peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(peak.split()[1]) / 1024
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 2 ** (20 if sys.platform == "darwin" else 10)


def main(*arguments: str) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a framework prints must not end up among the answers
    worker = Worker(*arguments)
    for line in sys.stdin:
        request: dict[str, Any] = json.loads(line)
        answer: dict[str, Any]
        try:
            answer = {"answer": getattr(worker, request.pop("do"))(**request)}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        answer["cpu"] = time.process_time()
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
