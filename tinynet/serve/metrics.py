"""What /metrics counts, for Prometheus. No label holds anything that a client may choose freely."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from tinynet.serve.models import SIZES

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
BATCH_SECONDS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1)


class Metrics:
    """The counters of one service."""

    def __init__(self, waiting: Callable[[], float], ready: Callable[[], bool]) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "tinynet_requests", "Requests answered.", ["path", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "tinynet_request_seconds",
            "Time from a request's head to the end of its answer.",
            ["path"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self._images = Histogram(
            "tinynet_batch_images",
            "Images that went through a net together.",
            ["model"],
            buckets=SIZES,
            registry=self.registry,
        )
        self._inference = Histogram(
            "tinynet_batch_seconds",
            "Time that a net took for a batch.",
            ["model"],
            buckets=BATCH_SECONDS,
            registry=self.registry,
        )
        self._answers = Counter(
            "tinynet_answers",
            "Images by the class that a net saw in them.",
            ["model", "label"],
            registry=self.registry,
        )
        Gauge("tinynet_waiting_requests", "Requests in work.", registry=self.registry).set_function(waiting)
        Gauge("tinynet_ready", "1 if requests are taken.", registry=self.registry).set_function(ready)
        ProcessCollector(registry=self.registry)

    def request(self, path: str, status: int, seconds: float) -> None:
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def batch(self, model: str, images: int, seconds: float) -> None:
        self._images.labels(model).observe(images)
        self._inference.labels(model).observe(seconds)

    def answers(self, model: str, labels: Iterable[str]) -> None:
        for label in labels:
            self._answers.labels(model, label).inc()

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self.registry)
