"""The one thread that computes: what it computes together, in which order, and how it ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from served import save

from tinynet.serve.models import LARGEST, SIZES, Served, load
from tinynet.serve.queue import Engine
from tinynet.types import Array


def nothing() -> None:
    return


@pytest.fixture
def two(tmp_path: Path) -> list[Served]:
    return [*load([str(save(tmp_path, "a")), str(save(tmp_path, "b"))], "numpy").values()]


def drive(models: list[Served], ask: Callable[[Engine], Any]) -> tuple[list[tuple[str, int]], Any]:
    """The batches (model, images) of an engine that is kept busy while `ask` queues, and what came of it."""
    batches: list[tuple[str, int]] = []
    free = threading.Event()

    def observe(name: str, count: int, seconds: float) -> None:
        batches.append((name, count))
        assert seconds >= 0
        free.wait(10)

    engine = Engine(models, observe, nothing)

    async def run() -> Any:
        engine.start()
        await asyncio.to_thread(engine.ready.wait, 30)
        first = engine.compute("predict", models[0], images(1))
        while not batches:
            await asyncio.sleep(0.01)
        futures = ask(engine)
        free.set()
        found = await asyncio.gather(*futures, return_exceptions=True)
        await first
        return found

    found = asyncio.run(run())
    engine.stop()
    return batches[1:], found


def images(count: int, seed: int = 0, dtype: str = "uint8") -> Array:
    return np.random.default_rng(seed).integers(0, 256, (count, 28, 28, 1)).astype(dtype)


def test_what_waits_is_computed_together_and_each_gets_its_own(two: list[Served]) -> None:
    sent = [images(1 + k % 3, seed=k) for k in range(20)]
    batches, found = drive(two, lambda engine: [engine.compute("predict", two[0], x) for x in sent])
    assert batches == [("a", sum(map(len, sent)))]
    for x, probabilities in zip(sent, found, strict=True):
        assert np.allclose(probabilities, two[0].probabilities(x), atol=1e-6)


def test_a_batch_has_at_most_so_many_images_of_one_model_and_one_kind(two: list[Served]) -> None:
    def ask(engine: Engine) -> list[Any]:
        return [
            *(engine.compute("predict", two[0], images(1, k)) for k in range(70)),
            *(engine.compute("predict", two[1], images(1, k)) for k in range(3)),
            engine.compute("predict", two[1], images(1, 9, "float32")),
            engine.compute("explain", two[0], images(1)),
            engine.compute("predict", two[0], images(LARGEST)),
        ]

    batches, found = drive(two, ask)
    assert batches == [("a", LARGEST), ("a", 6), ("b", 3), ("b", 1), ("a", LARGEST)]
    assert [len(each) for each in found[-1:]] == [LARGEST]
    assert found[-2]["top"][0]["label"] in "0123456789"


def test_an_error_reaches_those_who_asked_and_the_thread_goes_on(
    two: list[Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(engine: Engine) -> list[Any]:
        wrong = np.zeros((1, 5, 5, 1), np.uint8)
        return [engine.compute("explain", two[0], wrong), engine.compute("predict", two[1], images(2))]

    _, found = drive(two, ask)
    assert isinstance(found[0], Exception)
    assert found[1].shape == (2, 10)


def test_who_has_gone_is_not_answered(two: list[Served]) -> None:
    def ask(engine: Engine) -> list[Any]:
        gone = engine.compute("predict", two[0], images(1))
        gone.cancel()
        return [gone, engine.compute("predict", two[0], images(1))]

    batches, found = drive(two, ask)
    assert batches == [("a", 2)]
    assert isinstance(found[0], asyncio.CancelledError)
    assert found[1].shape == (1, 10)


def test_every_size_is_computed_before_it_is_ready(
    two: list[Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    real = Served.probabilities

    def noted(served: Served, batch: Array) -> Array:
        seen.append((served.name, str(batch.dtype), len(batch)))
        assert not engine.ready.is_set()
        return real(served, batch)

    monkeypatch.setattr(Served, "probabilities", noted)
    engine = Engine(two, lambda *_: None, nothing)
    engine.start()
    assert engine.ready.wait(30)
    engine.stop()
    wanted = {(name, kind, size) for name in "ab" for kind in ("uint8", "float32") for size in SIZES}
    assert wanted <= {*seen}


def test_a_net_that_fails_ends_it(two: list[Served]) -> None:
    two[1].model.store.values.flat[:] = np.nan
    told = threading.Event()
    engine = Engine(two, lambda *_: None, told.set)
    engine.start()
    assert told.wait(30)
    assert "does not give probabilities" in str(engine.failure)
    assert not engine.ready.is_set()
    engine.stop()
