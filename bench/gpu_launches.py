"""The kernels and products that a training step launches, and what each has to compute and to move.

They are read off a step that really runs; without a GPU, on a device that computes nothing (`host_time`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from host_time import IdleDevice
from roofline import Work

from tinynet.backends.base import Backend
from tinynet.backends.cupy_ import CupyBackend
from tinynet.benchmark import nets
from tinynet.kernels.cuda.device import THREADS, Device
from tinynet.kernels.cuda.source import kernels
from tinynet.runs.recipe import Recipe
from tinynet.training import Trainer

PRODUCT = "product"
PERSISTENT = "train_perceptron"
LONG_STRETCH = 49
"""Steps between two looks at the loss."""
GATHERED = {"take": ("y",), "begin_step": ("y", "own_targets"), "end_step": ("totals",)}
"""What is written by kernels that read few rows of an array, and as much is read."""
BESIDE = {"begin_step": ("rescaled",)}
"""What these write beside that."""


class Product(NamedTuple):
    """A product that is cut into tiles."""

    flops: int
    blocks: int
    depth: int
    """Products that a block adds up in each result."""


class Launch(NamedTuple):
    """A kernel, or a product by cuBLAS."""

    kernel: str
    threads: int
    arguments: dict[str, Any]
    """By the names in the kernel's declaration; of a product a, b and c."""
    again: Callable[[], None]
    """Launches it again."""

    @property
    def blocks(self) -> int:
        return -(-self.threads // THREADS)

    @property
    def arrays(self) -> list[Any]:
        return [value for value in self.arguments.values() if hasattr(value, "nbytes") and np.ndim(value)]

    @property
    def shapes(self) -> str:
        """Of its arrays, in the order of the declaration."""
        return " ".join("×".join(map(str, array.shape)) for array in self.arrays)

    @property
    def products(self) -> list[Product]:
        """Those that it computes by tiles, if any."""
        named = self.arguments
        if self.kernel == PRODUCT:
            depth = named["a"].shape[0 if named["transpose_a"] else 1]
            return [Product(2 * depth * named["c"].size, self.blocks, depth)]
        if not {"KH", "F"} <= named.keys():
            return []
        window, pixels = named["KH"] * named["KW"], named["N"] * named["OH"] * named["OW"]
        flops, C, F = 2 * window * pixels * named["C"] * named["F"], named["C"], named["F"]
        if "dK_length" in named:  # both gradients, the blocks of one before those of the other
            for_dK = named["dK_blocks"]
            of_dK = Product(flops, for_dK, min(named["dK_length"], pixels))
            of_dx = Product(flops, self.blocks - for_dK, min(named["dx_length"], window * F))
            return [of_dK, of_dx] if self.blocks > for_dK else [of_dK]
        depth = pixels if self.kernel.endswith("_dK") else window * (F if self.kernel.endswith("_dx") else C)
        return [Product(flops, self.blocks, min(named["length"], depth))]

    @property
    def work(self) -> Work:
        """Operations of products in floating point, and bytes: each array once, of a gather what it takes."""
        gathered = [self.arguments[name] for name in GATHERED.get(self.kernel, ())]
        beside = [self.arguments[name] for name in BESIDE.get(self.kernel, ())]
        moved = sum(array.nbytes for array in 2 * gathered + beside or self.arrays)
        return Work(sum(product.flops for product in self.products), moved)


@contextmanager
def watched(device: Device) -> Iterator[list[Launch]]:
    """What `device` launches in the block."""
    found: list[Launch] = []
    launch, product = device.launch, device.product

    def note_launch(name: str, size: int, *arguments: Any, together: bool = False) -> None:
        names = (parameter.name for parameter in kernels()[name].parameters[1:])
        again = partial(launch, name, size, *arguments, together=together)
        found.append(Launch(name, size, dict(zip(names, arguments, strict=True)), again))
        again()

    def note_product(a: Any, b: Any, c: Any, **turned: bool) -> None:
        named = {"a": a, "b": b, "c": c, "transpose_a": False, "transpose_b": False} | turned
        found.append(Launch(PRODUCT, c.size, named, partial(product, a, b, c, **turned)))
        product(a, b, c, **turned)

    vars(device).update(launch=note_launch, product=note_product)
    try:
        yield found
    finally:
        del device.launch, device.product  # type: ignore[method-assign]  # those of the class are there again


def of_a_step(net: str | Recipe, batch: int, ops: Backend) -> list[Launch]:
    """Those of a training step that is recorded; not those that draw the order of an epoch before."""
    trainer = make_trainer(net, batch, ops)
    with watched(ops.device) as found:  # type: ignore[attr-defined]
        next(trainer.events())
    begin = next(i for i, launch in enumerate(found) if launch.kernel == "begin_step")
    return [launch for launch in found[begin:] if launch.threads]


def of_a_stretch(net: str, batch: int, ops: Backend) -> tuple[Launch, int] | None:
    """The one kernel that does a stretch of small nets, and how many steps it does; None for other nets."""
    trainer = make_trainer(net, batch, ops, steps=LONG_STRETCH + 1)
    with watched(ops.device) as found:  # type: ignore[attr-defined]
        next(trainer.events(lambda: math.inf))
    whole = next((launch for launch in found if launch.kernel == PERSISTENT), None)
    return whole and (whole, whole.arguments["count"])


def make_trainer(
    net: str | Recipe, batch: int, ops: Backend, epochs: int = 1, steps: int = 4, left_over: int = 0
) -> Trainer:
    """On `steps` batches of noise an epoch, and `left_over` samples more. `net`: its name in the benchmarks,
    or another."""
    plan = nets.load(net) if isinstance(net, str) else net
    random = np.random.default_rng(0)
    model = plan.build_model(backend=ops)
    samples = steps * batch + left_over
    images = random.integers(0, 256, (samples, *model.input_shape), np.uint8)
    labels = random.integers(0, 10, samples)
    return Trainer(model, (images, labels), loss=plan.training.loss, epochs=epochs, batch_size=batch)


def on_paper(precision: str = "float32") -> CupyBackend:
    """The GPU backend with nothing behind it, as on an H100."""
    return CupyBackend(precision=precision, device=IdleDevice())


def count(launches: Sequence[Launch]) -> dict[str, int]:
    """How often each kernel is launched."""
    found: dict[str, int] = {}
    for launch in launches:
        found[launch.kernel] = found.get(launch.kernel, 0) + 1
    return found
