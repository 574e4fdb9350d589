"""How long a training step should take on an H100: arithmetic over the kernels that it launches.

    python bench/gpu.py model          # bench/results/gpu-model.md; needs no GPU

A kernel takes the time in which a small one begins and ends in a graph, and then the longest of three:

    moving       its bytes (each array once), at the rate of the second-level cache or of the memory
    computing    the products that its busiest processor adds up, at the rate of the unit that does so, of the
                 instructions for it, or of the cache that their factors come from
    waiting      what one thread reads one after the other, 16 values at a time

A step takes what its kernels take, one after the other. What the model leaves out: the integer arithmetic of
kernels without products, caches that keep what the kernel before has written, kernels that overlap.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from gpu_launches import GATHERED, PERSISTENT, PRODUCT, Launch

from tinynet.kernels.cuda import tiles

AT_ONCE = 16
"""Values that a thread reads before it waits: UNROLLED in common.cuh."""
STEP_DEPTH = tiles.STEP
"""Products that a tile adds up between two barriers."""
TILE = 128, 64
"""Rows and columns of a tile in float32."""
WARPS, ISSUED = 8, 4
"""Warps of a block; how many of a processor's instructions begin in a cycle."""
MULTIPLYING = (259, 167, 66)
"""Instructions of a warp that multiply STEP_DEPTH of a tile, by `tiles.PRECISIONS`: 48 tensor products of
factors in two halves; 16 of factors rounded to TF32; 8, twice as deep, of factors rounded to bfloat16."""
AROUND = {"tensor_conv2d": 145, "tensor_conv2d_backward": 162}
"""Those around them, in copies of vectors: on the way from one barrier to the next, counted in what NVRTC
12.9 makes for sm_90, as `nvdisasm -c` shows it. Of both gradients the mean: 143 of dx, 180 of dK."""
SMALL_TILE, LEAST_DEPTH = 32, 256
"""Of cuBLAS: rows and columns of a tile where the product is small; how deep a part is at least."""


STEP_FLOPS = 2 * TILE[0] * TILE[1] * STEP_DEPTH
STEP_BYTES = 4 * (TILE[0] + TILE[1]) * STEP_DEPTH


@dataclasses.dataclass(frozen=True)
class Rates:
    """What the model takes a GPU to do. Figures of an H100 (SXM): none is measured by us."""

    begin: float = 1.9e-6
    """Seconds from one small kernel of a graph to the next."""
    memory: float = 2.8e12
    """Bytes a second, of the 3.35e12 that its memory is sold with."""
    cache: float = 5.5e12
    """Bytes a second from the second-level cache."""
    cache_size: float = 25e6
    """Bytes: the half of the cache that is near to a processor."""
    latency: float = 0.3e-6
    """Seconds from asking for a value to having it."""
    processors: int = 132
    clock: float = 1.755e9
    plain: float = 48e12
    """FLOP/s of a large product in float32 (66.9e12 on paper)."""
    busy: float = 0.8
    """Of its cycles a processor begins instructions in."""
    tensor: tuple[float, float, float] = (307e12 / 3, 307e12, 613e12)
    """FLOP/s of tensor cores by `tiles.PRECISIONS`: 62 % of the 495e12 and 989e12 that they are sold with. By
    `mma.sync` an H100 comes no nearer (Luo et al., "Benchmarking and dissecting the NVIDIA Hopper GPU
    architecture via microbenchmarking", 2024)."""
    instructions: float = 6
    """For a product of the kernel that stays; 4 warps of 32 issue one in a cycle."""
    waits: float = 6
    """In a step of that kernel: for order, pixels and labels; twice for other blocks; for what these say."""

    def moving(self, launch: Launch) -> float:
        moved = launch.work.moved
        return moved / (self.cache if moved <= self.cache_size else self.memory)

    def computing(self, launch: Launch) -> float:
        products = launch.products
        if not products:
            return 0.0
        if launch.kernel == PRODUCT:
            return self._by_cublas(launch, products[0].depth)
        blocks = sum(each.blocks for each in products)
        steps = sum(each.blocks * math.ceil(each.depth / STEP_DEPTH) for each in products)
        busiest = math.ceil(blocks / self.processors) * steps / blocks
        if launch.kernel.startswith("tensor_") and self.tensor_pays(launch.arguments["precision"]):
            return busiest * max(self.tile(launch.kernel, launch.arguments["precision"]))
        return busiest * max(STEP_FLOPS / self.plain, STEP_BYTES / self.cache) * self.processors

    def tensor_pays(self, precision: int) -> bool:
        """Whether the tile of conv2d.cu would be slower: `Device.prefers_tensor_cores`."""
        return self.tensor[precision] > self.plain

    def tile(self, kernel: str, precision: int) -> tuple[float, float, float]:
        """Seconds of a processor for STEP_DEPTH of a tile by tensor cores, if it did but one of three: begin
        instructions, multiply, copy what comes from the second-level cache."""
        instructions = AROUND[kernel] + MULTIPLYING[precision]
        begun = WARPS * instructions / ISSUED / self.busy / self.clock
        return (
            begun,
            STEP_FLOPS / self.tensor[precision] * self.processors,
            STEP_BYTES / self.cache * self.processors,
        )

    def _by_cublas(self, launch: Launch, depth: int) -> float:
        """Taken to be cut as well as ours are: small tiles for few results, the depth in parts."""
        rows, columns = launch.arguments["c"].shape
        blocks = math.ceil(rows / SMALL_TILE) * math.ceil(columns / SMALL_TILE)
        parts = max(1, min(2 * self.processors // blocks, math.ceil(depth / LEAST_DEPTH)))
        waves = math.ceil(blocks * parts / self.processors)
        return waves * 2 * SMALL_TILE**2 * math.ceil(depth / parts) / (self.plain / self.processors)

    def waiting(self, launch: Launch) -> float:
        """Of kernels that gather; those that work by tiles copy ahead."""
        if launch.products:
            return 0.0
        is_gather = launch.kernel in GATHERED
        values = launch.threads if is_gather else sum(array.size for array in launch.arrays)
        return math.ceil(values / launch.threads / AT_ONCE) * self.latency

    def persistent(self, launch: Launch) -> Prediction:
        """Of steps of a small net in one launch: every unit reads all pixels, and what all units say."""
        N, I, H, K, count = (launch.arguments[name] for name in ("N", "I", "H", "K", "count"))
        told = H * (N + K) if launch.arguments["has_hidden"] else N * K
        products = 2 * N * I + (N * H * K if launch.arguments["has_hidden"] else 0)
        moved = H * (2 * N * I * launch.arguments["images"].itemsize + 4 * told)
        computing = products * self.instructions / (32 * 4 * self.clock)
        begin = self.begin + count * self.waits * self.latency
        return Prediction(launch, begin, count * moved / self.cache, count * computing, 0.0)

    def predict(self, launch: Launch) -> Prediction:
        if launch.kernel == PERSISTENT:
            return self.persistent(launch)
        return Prediction(
            launch, self.begin, self.moving(launch), self.computing(launch), self.waiting(launch)
        )


class Prediction(NamedTuple):
    """Seconds of a launch."""

    launch: Launch
    begin: float
    moving: float
    computing: float
    waiting: float

    @property
    def seconds(self) -> float:
        return self.begin + max(self.moving, self.computing, self.waiting)

    @property
    def bound(self) -> str:
        """What most of its time goes into."""
        parts = {name: getattr(self, name) for name in ("begin", "moving", "computing", "waiting")}
        return max(parts, key=lambda name: parts[name])


H100 = Rates()
RTX_4090 = Rates(
    memory=0.85e12,
    cache=4.7e12,
    cache_size=72e6,
    processors=128,
    clock=2.52e9,
    plain=60e12,
    tensor=(82.6e12 / 3, 82.6e12, 165e12),
)
"""Figures of an RTX 4090, none of them measured by us: its tensor cores multiply TF32 no faster than it
multiplies float32 elsewhere, and bfloat16 twice as fast."""


def predict(launches: Iterable[Launch], rates: Rates = H100) -> list[Prediction]:
    return [rates.predict(launch) for launch in launches]


def total(found: Sequence[Prediction]) -> float:
    """Seconds of a step."""
    return sum(each.seconds for each in found)


# --- to read ----------------------------------------------------------------------------------------------


def as_markdown(
    steps: dict[tuple[str, int], list[Prediction]],
    stretches: dict[tuple[str, int], tuple[Prediction, int]],
    rates: Rates,
    date: str,
) -> Iterator[str]:
    """`steps`: of a net and a batch; `stretches`: the kernel that does so many steps of a small net."""
    yield from ("# What a step should take on an H100", "")
    yield f"`python bench/gpu.py model`, {date}, without a GPU: nothing here is measured. The kernels are"
    yield "those that a recorded step launches; their times are arithmetic (`bench/gpu_model.py`):"
    yield ""
    yield "    a launch = begin + the longest of moving, computing and waiting"
    yield from (f"    {line}" for line in _formulas())
    yield ""
    yield "`python bench/gpu.py timings` on a card sets what it measures beside it. The model leaves out the"
    yield "integer arithmetic of kernels without products, kernels that overlap, caches that keep what the"
    yield "kernel before has written."
    yield from ("", "| rate | |", "|---|---:|")
    yield from (f"| {name} | {value} |" for name, value in in_words(rates))
    yield from ("", "## Steps", "")
    yield "Of the time of a step in microseconds: what begins its kernels, and what they then mostly do."
    yield from (
        "",
        "| step | kernels | GFLOP | MB | µs | begin | moving | computing | waiting |",
        "|---|" + "---:|" * 8,
    )
    for (net, batch), found in steps.items():
        yield f"| {net} {batch} | {' | '.join(_sums(found))} |"
    if stretches:
        yield from ("", "## Stretches by one kernel", "")
        yield "Steps of small nets between two looks at the loss, in microseconds, by one launch that stays:"
        yield ""
        yield "    a step    = waits · latency + the longer of moving and computing"
        yield "    moving    = units · (the batch's pixels, twice + what all units say) / cache"
        yield "    computing = a unit's products · instructions / (128 · clock)"
        yield from ("", "| step | steps | µs a step | waits | moving | computing |", f"|---|{'---:|' * 5}")
    for (net, batch), (found, count) in stretches.items():
        parts = (found.seconds, found.begin, found.moving, found.computing)
        times, *others = (f"{1e6 * part / count:.1f}" for part in parts)
        yield f"| {net} {batch} | {count} | **{times}** | {' | '.join(others)} |"
    for (net, batch), found in steps.items():
        yield from ("", f"## {net}, batch {batch}", "")
        yield from by_kernel(found)


def in_words(rates: Rates) -> Iterator[tuple[str, str]]:
    """Each rate's name and value."""
    for name, value in dataclasses.asdict(rates).items():
        yield name, ", ".join(f"{each:.4g}" for each in np.atleast_1d(value))


def _formulas() -> Iterator[str]:
    yield "moving    = bytes / cache, or / memory where they are more than cache_size"
    yield f"computing = ⌈blocks / processors⌉ · ⌈depth of a block / {STEP_DEPTH}⌉ · the longest, for a tile:"
    yield f"            the instructions of its {WARPS} warps / ({ISSUED} · busy · clock)"
    yield "            its operations / (tensor or plain / processors)"
    yield "            the bytes of its factors / (cache / processors)"
    yield "            (cuBLAS: the operations of the busiest processor / (plain / processors))"
    yield f"waiting   = ⌈values / threads / {AT_ONCE}⌉ · latency"


def _sums(found: Sequence[Prediction]) -> Iterator[str]:
    yield str(len(found))
    yield f"{sum(each.launch.work.flops for each in found) / 1e9:.3g}"
    yield f"{sum(each.launch.work.moved for each in found) / 1e6:.3g}"
    yield f"**{1e6 * total(found):.0f}**"
    yield f"{1e6 * sum(each.begin for each in found):.0f}"
    for part in ("moving", "computing", "waiting"):
        longest = (each for each in found if getattr(each, part) == each.seconds - each.begin)
        yield f"{1e6 * sum(getattr(each, part) for each in longest):.0f}"


def by_kernel(found: Sequence[Prediction]) -> Iterator[str]:
    """A row for each kernel, all its launches in a step together; the longest first."""
    of: dict[str, list[Prediction]] = {}
    for each in found:
        of.setdefault(each.launch.kernel, []).append(each)
    yield "| kernel | launches | µs | GFLOP | MB | most into |"
    yield "|---|---:|---:|---:|---:|---|"
    for kernel, own in sorted(of.items(), key=lambda item: -total(item[1])):
        work = [each.launch.work for each in own]
        flops, moved = sum(each.flops for each in work), sum(each.moved for each in work)
        longest = max(own, key=lambda each: each.seconds)
        computed = f"{flops / 1e9:.3g}" if flops else ""
        cells = (len(own), f"{1e6 * total(own):.1f}", computed, f"{moved / 1e6:.3g}", longest.bound)
        yield f"| {kernel} | {' | '.join(map(str, cells))} |"
