"""The kernels and products that a training step launches, and what each has to compute and to move.

They are read off a step that really runs. On a machine without a GPU `Paper` stands in for one: memory, and
kernels that do nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from roofline import Work

from tinynet.backends.base import Backend
from tinynet.backends.cupy_ import CupyBackend
from tinynet.benchmark import nets
from tinynet.kernels.cuda.device import THREADS, Device
from tinynet.kernels.cuda.source import Kernel, kernels
from tinynet.training import Trainer

PRODUCT = "product"


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
    def depth(self) -> int:
        """How many products are added up in each result; 0 where none are."""
        named, a = self.arguments, self.arguments.get("a")
        if self.kernel == PRODUCT:
            return int(a.shape[0] if named["transpose_a"] else a.shape[1])
        if not {"KH", "F"} <= named.keys():
            return 0
        window, pixels = named["KH"] * named["KW"], named["N"] * named["OH"] * named["OW"]
        if self.kernel.endswith("_dK"):
            return int(pixels)
        return int(window * (named["F"] if self.kernel.endswith("_dx") else named["C"]))

    @property
    def part(self) -> int:
        """How many of these a block adds up one after the other."""
        return min(self.arguments.get("length", self.depth), self.depth)

    @property
    def work(self) -> Work:
        """Floating-point operations of products, and bytes: each array once, of `take` only what is taken."""
        named = self.arguments
        if self.kernel == PRODUCT:
            flops = 2 * self.depth * named["c"].size
        elif self.depth:
            window, pixels = named["KH"] * named["KW"], named["N"] * named["OH"] * named["OW"]
            flops = 2 * window * pixels * named["C"] * named["F"]
        else:
            flops = 0
        moved = [named["index"], named["y"], named["y"]] if self.kernel == "take" else self.arrays
        return Work(flops, sum(array.nbytes for array in moved))


@contextmanager
def watched(device: Device) -> Iterator[list[Launch]]:
    """What `device` launches in the block."""
    found: list[Launch] = []
    launch, product = device.launch, device.product

    def note_launch(name: str, size: int, *arguments: Any) -> None:
        names = (parameter.name for parameter in kernels()[name].parameters[1:])
        again = lambda: launch(name, size, *arguments)  # noqa: E731
        found.append(Launch(name, size, dict(zip(names, arguments, strict=True)), again))
        again()

    def note_product(a: Any, b: Any, c: Any, **turned: bool) -> None:
        named = {"a": a, "b": b, "c": c, "transpose_a": False, "transpose_b": False} | turned
        found.append(Launch(PRODUCT, c.size, named, lambda: product(a, b, c, **turned)))
        product(a, b, c, **turned)

    vars(device).update(launch=note_launch, product=note_product)
    try:
        yield found
    finally:
        del device.launch, device.product  # type: ignore[method-assign]  # those of the class are there again


def of_a_step(net: str, batch: int, ops: Backend) -> list[Launch]:
    """Those of a training step that is recorded, with the gathering of its batch."""
    trainer = make_trainer(net, batch, ops)
    events = trainer.events()
    next(events)  # a Trainer looks at the loss of its first step, which is not recorded then
    with watched(ops.device) as found:  # type: ignore[attr-defined]
        next(events)
    return [launch for launch in found if launch.threads]


def make_trainer(
    net: str, batch: int, ops: Backend, epochs: int = 1, steps: int = 4, left_over: int = 0
) -> Trainer:
    """Of a net of the benchmarks, on `steps` batches of noise an epoch, and `left_over` samples more."""
    plan, random = nets.load(net), np.random.default_rng(0)
    model = plan.build_model(backend=ops)
    samples = steps * batch + left_over
    images = random.integers(0, 256, (samples, *model.input_shape), np.uint8)
    labels = random.integers(0, 10, samples)
    return Trainer(model, (images, labels), loss=plan.training.loss, epochs=epochs, batch_size=batch)


class Paper(Device):
    """NumPy's memory, full of zeros. Kernels and products do nothing."""

    xp = np

    def __init__(self, capability: int = 90) -> None:
        super().__init__()
        self._capability = capability

    @property
    def capability(self) -> int:
        return self._capability

    def empty(self, size: int, dtype: Any) -> Any:
        return np.zeros(size, dtype)

    def from_host(self, array: Any) -> Any:
        return np.ascontiguousarray(array)

    def to_host(self, array: Any) -> Any:
        return np.asarray(array)

    def address(self, array: Any) -> int:
        return int(array.ctypes.data)

    def _is_here(self, array: Any) -> bool:
        return True

    def _start(self, kernel: Kernel, types: tuple[str, ...], blocks: int, values: Sequence[Any]) -> None:
        pass

    def _handle(self) -> Any:
        return None

    def _multiply(self, handle: Any, shape: Any, a: Any, b: Any, c: Any) -> None:
        pass

    def _library(self) -> Any:
        raise NotImplementedError("nothing is multiplied")

    def _stream(self) -> int:
        return 0


def on_paper() -> CupyBackend:
    """The GPU backend with nothing behind it, as on an H100."""
    return CupyBackend(device=Paper())


def count(launches: Sequence[Launch]) -> dict[str, int]:
    """How often each kernel is launched."""
    found: dict[str, int] = {}
    for launch in launches:
        found[launch.kernel] = found.get(launch.kernel, 0) + 1
    return found
