"""How near each operation of a training step comes to what this machine can do (a roofline).

    python bench/roofline.py                 # bench/results/roofline.md, .json and .png

An operation that needs F floating-point operations and must move B bytes takes at least

    max(F / peak, B / bandwidth)

The peak is that of fused multiply-adds in registers; the bandwidth that of the second-level caches for an
operation whose B bytes fit into them, else that of memory. Both are measured here, on as many threads as the
steps. B counts each array that goes in or comes out once; F the textbook's operations: for a convolution
those of the direct method, also where it is computed with fewer (Winograd). (Williams, Waterman, Patterson:
"Roofline: an insightful visual performance model", 2009.)
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import click
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from rich.console import Console

from tinynet import Trainer, backends, machine, threads
from tinynet.benchmark import nets as measured_nets
from tinynet.benchmark.rows import BATCH, OTHER_BATCH
from tinynet.kernels.cpu import brgemm
from tinynet.kernels.cpu.numba_private import cgutils
from tinynet.layers import Dropout, Layer
from tinynet.training import StepEnd

RESULTS = Path(__file__).parent / "results"
BATCHES = BATCH | {"best": 64} | OTHER_BATCH
NETS = ("mlp", "lenet", "kaggle-cnn", "best", *OTHER_BATCH)
SKIPPED = 5
"""Steps before those that are measured."""
NUMBER = 4
"""Bytes of a float32."""
LARGE = 1 << 24
"""Floats in each array of the memory measurement: 64 MiB."""
CHAINS = 12
"""Vectors that are summed up side by side; AVX2 has registers for 16."""
ELEMENTWISE = {
    "Rescale": (2, 0),
    "ReLU": (1, 1),
    "ELU": (3, 3),
    "Sigmoid": (3, 3),
    "Tanh": (3, 3),
    "BatchNorm": (6, 8),
    "Dropout": (1, 1),
}
"""Floating-point operations for each element, forward and backward; a root or an exponential is one."""
ADAM = 13
"""The same for each parameter."""


# --- what the machine can do ------------------------------------------------------------------------------


class Roofs(NamedTuple):
    """FLOP/s and bytes/s of so many threads together."""

    threads: int
    peak: float
    cache: float
    memory: float
    cache_size: int
    """Bytes of the threads' second-level caches together."""

    def bandwidth(self, moved: int) -> float:
        return self.cache if moved <= self.cache_size else self.memory

    def attainable(self, work: Work) -> float:
        """The least seconds for it."""
        return max(work.flops / self.peak, work.moved / self.bandwidth(work.moved))

    def bound(self, work: Work) -> str:
        if work.flops / self.peak >= work.moved / self.bandwidth(work.moved):
            return "FMA"
        return "L2" if work.moved <= self.cache_size else "memory"


@intrinsic
def in_registers(context, lanes, rounds, x):
    """s ← s x + x, `rounds` times, for CHAINS vectors s of so many lanes. Returns the sum of all.

    A multiply-add waits for the one before it in its chain; two start in each cycle and take four, so eight
    chains or more keep the processor busy.
    """

    def generate(context, builder, signature, arguments):
        vector = ir.VectorType(ir.FloatType(), lanes.count)
        name = f"llvm.fma.v{lanes.count}f32"
        fma = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, [vector] * 3), name)
        _, rounds, x = arguments
        factor = ir.Constant(vector, ir.Undefined)
        sums = [cgutils.alloca_once(builder, vector) for _ in range(CHAINS)]
        for lane in range(lanes.count):
            factor = builder.insert_element(factor, x, ir.Constant(ir.IntType(32), lane))
        for number, place in enumerate(sums):
            begin = [float(number + lane) for lane in range(lanes.count)]
            builder.store(ir.Constant(vector, begin), place)
        with cgutils.for_range(builder, rounds):
            for place in sums:
                builder.store(builder.call(fma, [builder.load(place), factor, factor]), place)
        total = ir.Constant(ir.FloatType(), 0.0)
        for place in sums:
            for lane in range(lanes.count):
                value = builder.extract_element(builder.load(place), ir.Constant(ir.IntType(32), lane))
                total = builder.fadd(total, value)
        return total

    return types.float32(lanes, types.intp, types.float32), generate


@numba.njit(nogil=True)
def multiply_adds(lanes, rounds, x):
    return in_registers(lanes, rounds, x)


@numba.njit(nogil=True, fastmath={"contract"})
def triad(repeats, a, b, c):
    """c = a + r b, `repeats` times."""
    for r in range(repeats):
        for i in range(len(c)):
            c[i] = a[i] + np.float32(r) * b[i]


@numba.njit(nogil=True)
def copy(repeats, a, b, c):
    """c = a, `repeats` times."""
    for _ in range(repeats):
        for i in range(len(c)):
            c[i] = a[i]


def measure_roofs(count: int, seconds: float) -> Roofs:
    """The best of what `count` threads did, as nothing can be faster."""
    with threads.limit(count):
        return Roofs(count, peak(count, seconds), *bandwidths(count, seconds), count * second_level_cache())


def peak(count: int, seconds: float, rounds: int = 1_000_000) -> float:
    lanes = brgemm.lanes_for(NUMBER)
    calls = [partial(multiply_adds, lanes, rounds, np.float32(0.5))] * count
    return 2.0 * count * CHAINS * len(lanes) * rounds / shortest(calls, seconds)


def bandwidths(count: int, seconds: float) -> tuple[float, float]:
    """Of the second-level cache, and of memory."""
    small = second_level_cache() // NUMBER // 8  # three arrays of an eighth each
    return bandwidth(count, small, 100, seconds), bandwidth(count, LARGE // count, 1, seconds)


def bandwidth(count: int, size: int, repeats: int, seconds: float) -> float:
    """The better of copy and triad, on arrays of so many floats for each thread; a write counts once."""
    arrays = [[np.ones(size, np.float32) for _ in range(3)] for _ in range(count)]
    rates = []
    for kernel, moved in ((copy, 2), (triad, 3)):
        calls = [partial(kernel, repeats, *own) for own in arrays]
        rates.append(moved * NUMBER * size * repeats * count / shortest(calls, seconds))
    return max(rates)


def shortest(calls: list[Callable[[], object]], seconds: float) -> float:
    """Seconds of the quickest time that all calls ran together, a thread for each."""
    threads.together(calls)  # compiles
    best, until = math.inf, time.perf_counter() + seconds
    while time.perf_counter() < until:
        began = time.perf_counter()
        threads.together(calls)
        best = min(best, time.perf_counter() - began)
    return best


def second_level_cache() -> int:
    """Bytes of one core's; 1 MiB where the system does not say."""
    size = Path("/sys/devices/system/cpu/cpu0/cache/index2/size")
    return int(size.read_text().rstrip("K\n")) << 10 if size.exists() else 1 << 20


# --- what an operation has to do --------------------------------------------------------------------------


class Work(NamedTuple):
    flops: int
    moved: int
    """Bytes: each array in or out, once."""


def forward_work(layer: Layer, batch: int) -> Work:
    x, y, parameters = sizes(layer, batch)
    kind = type(layer).__name__
    match kind:
        case "Dense" | "Conv2D":
            return Work(2 * batch * layer.multiply_adds(), NUMBER * (x + parameters + y))
        case "MaxPool2D":
            return Work(x - y, NUMBER * (x + y) + y)  # a byte says which pixel was the greatest
        case "AvgPool2D":
            return Work(x, NUMBER * (x + y))
        case "Dropout":
            return Work(y, NUMBER * (x + y) + y)  # a byte says whether it was kept
        case "Rescale":
            return Work(2 * x, x + NUMBER * y)  # from uint8
        case "Flatten":
            return Work(0, 0)
    return Work(ELEMENTWISE[kind][0] * x, NUMBER * (x + y + parameters))


def backward_work(layer: Layer, batch: int) -> Work:
    x, y, parameters = sizes(layer, batch)
    kind = type(layer).__name__
    match kind:
        case "Dense" | "Conv2D":
            products = 2 if layer.needs_dx else 1
            moved = x + y + parameters + (x + parameters if layer.needs_dx else 0)
            return Work(products * 2 * batch * layer.multiply_adds(), NUMBER * moved)
        case "MaxPool2D":
            return Work(0, NUMBER * (x + y) + y)
        case "AvgPool2D":
            return Work(y, NUMBER * (x + y))
        case "Dropout":
            return Work(y, NUMBER * (x + y) + y)
        case "Flatten":
            return Work(0, 0)
    return Work(ELEMENTWISE[kind][1] * x, NUMBER * (x + 2 * y + 2 * parameters))


def sizes(layer: Layer, batch: int) -> tuple[int, int, int]:
    """Elements of the input, the output and the parameters."""
    x, y = (batch * math.prod(shape) for shape in (layer.input_shape, layer.output_shape))
    return x, y, sum(spec.size for spec in layer.param_specs)


# --- what it takes ----------------------------------------------------------------------------------------


class Operation(NamedTuple):
    name: str
    shapes: str
    work: Work
    seconds: float


class MeasuredStep(NamedTuple):
    net: str
    batch: int
    seconds: float
    operations: list[Operation]


class Inference(NamedTuple):
    """A packed model's answer to a batch of images: the work of each layer, and the seconds of it all."""

    net: str
    batch: int
    work: list[Work]
    seconds: float


def measure_inference(net: str, batch: int, times: int) -> Inference:
    """The median over `times` predictions of one batch of noise."""
    model = measured_nets.load(net).build_model(backend="numba")
    images = np.random.default_rng(0).integers(0, 256, (batch, *model.input_shape), np.uint8)
    model.pack()
    taken = []
    for _ in range(SKIPPED + times):
        began = time.perf_counter()
        model.predict(images)
        taken.append(time.perf_counter() - began)
    work = [forward_work(layer, batch) for layer in model.layers if not isinstance(layer, Dropout)]
    return Inference(net, batch, work, statistics.median(taken[SKIPPED:]))


def measure_step(net: str, batch: int, steps: int) -> MeasuredStep:
    """The operations of a net's training step, each the median over `steps`."""
    trainer = make_trainer(net, batch, SKIPPED + steps, record=False)
    taken: dict[tuple[Any, str], list[float]] = defaultdict(list)
    model, loss = trainer.model, trainer.loss
    watched = [(layer, name) for layer in model.layers for name in ("forward", "backward")]
    watched += [(loss, "forward"), (loss, "backward"), (model, "regularize"), (trainer.optimizer, "move")]
    for owner, name in watched:
        watch(owner, name, taken[owner, name])
    seconds_of_steps(trainer)
    medians = {place: statistics.median(times[SKIPPED:]) for place, times in taken.items() if times}
    whole = seconds_of_steps(make_trainer(net, batch, SKIPPED + steps, record=True))
    return MeasuredStep(net, batch, statistics.median(whole[SKIPPED:]), operations(trainer, batch, medians))


def seconds_of_steps(trainer: Trainer) -> list[float]:
    """Of each step of an epoch."""
    taken, began = [], time.perf_counter()
    for event in trainer.events():
        if isinstance(event, StepEnd):
            taken.append(time.perf_counter() - began)
            began = time.perf_counter()
    return taken


def make_trainer(net: str, batch: int, steps: int, record: bool, on: str = "numba") -> Trainer:
    """Ready for an epoch of `steps` batches of noise; operations can be watched if nothing is recorded."""
    plan = measured_nets.load(net)
    backend = backends.get(on)
    backend.recorded_phases = backend.recorded_phases if record else ()
    model = plan.build_model(backend=backend)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (steps * batch, *model.input_shape), np.uint8)
    labels = random.integers(0, 10, steps * batch)
    loss = dataclasses.replace(plan.training.loss)
    return Trainer(model, (images, labels), loss=loss, epochs=1, batch_size=batch)


def watch(owner: Any, name: str, times: list[float]) -> None:
    """Note the seconds of each call of a method; not of a forward that hands on its input as it is."""
    method = getattr(owner, name)

    def timed(*arguments: Any, **settings: Any) -> Any:
        began = time.perf_counter()
        result = method(*arguments, **settings)
        seconds = time.perf_counter() - began
        if name != "forward" or result[0] is not arguments[0]:
            times.append(seconds)
        return result

    setattr(owner, name, timed)


def operations(trainer: Trainer, batch: int, medians: dict[tuple[Any, str], float]) -> list[Operation]:
    """Those that did something, in the order of a step; reshaping does nothing, nor a ReLU done before."""
    return [
        Operation(each.name, each.shapes, each.work, medians[each.owner, each.method])
        for each in tasks(trainer, batch)
        if each.work.moved and (each.owner, each.method) in medians
    ]


class Task(NamedTuple):
    """Part of a training step: the work of one method."""

    name: str
    shapes: str
    work: Work
    owner: Any
    method: str


def tasks(trainer: Trainer, batch: int) -> Iterator[Task]:
    """Those of a step, in their order; a step has told the layers before who needs ∂L/∂x."""
    model, loss, optimizer = trainer.model, trainer.loss, trainer.optimizer
    for layer in model.layers:
        yield Task(f"{layer.name} forward", shapes(layer), forward_work(layer, batch), layer, "forward")
    scores = batch * model.output_shape[0]
    yield Task("loss forward", "", Work(5 * scores, 2 * NUMBER * scores), loss, "forward")
    yield Task("loss backward", "", Work(2 * scores, 2 * NUMBER * scores), loss, "backward")
    for layer in reversed(model.layers):
        yield Task(backward_name(layer), shapes(layer), backward_work(layer, batch), layer, "backward")
    penalized = sum(spec.size for spec in model.store.specs.values() if spec.l2)
    work = Work(4 * penalized, 3 * NUMBER * penalized)
    yield Task("L2 penalty", f"{penalized:,}", work, model, "regularize")
    count = model.store.count
    yield Task("adam", f"{count:,}", Work(ADAM * count, 7 * NUMBER * count), optimizer, "move")


def backward_name(layer: Layer) -> str:
    if not layer.param_specs or type(layer).__name__ == "BatchNorm":
        return f"{layer.name} backward"
    return f"{layer.name} dW + dX" if layer.needs_dx else f"{layer.name} dW"


def shapes(layer: Layer) -> str:
    return " → ".join("×".join(map(str, shape)) for shape in (layer.input_shape, layer.output_shape))


# --- what came out ----------------------------------------------------------------------------------------

KINDS = {
    "convolution, forward": ("o", "#0072B2"),
    "convolution, backward": ("s", "#E69F00"),
    "dense, forward": ("^", "#009E73"),
    "dense, backward": ("v", "#D55E00"),
    "all others": ("D", "#999999"),
}
"""Mark and colour (of Okabe and Ito) of each kind of operation."""
PANELS = 4
"""Of a row of the picture."""


def kind_of(operation: Operation) -> str:
    direction = "backward" if "dW" in operation.name else "forward"
    for prefix, kind in (("conv", "convolution"), ("dense", "dense")):
        if operation.name.startswith(prefix):
            return f"{kind}, {direction}"
    return "all others"


def as_markdown(
    report: dict[str, Any], roofs: list[Roofs], steps: list[MeasuredStep], inferences: list[Inference]
) -> str:
    top = roofs[-1]
    lines = [
        "# Roofline: each operation beside what this machine can do",
        "",
        f"`python bench/roofline.py`, {report['date']}, on {report['machine']}.",
        "",
        f"| | {' | '.join(thread_count(each) for each in roofs)} |",
        f"|---|{'---:|' * len(roofs)}",
        roof_row("multiply-adds in registers, GFLOP/s", [each.peak for each in roofs]),
        roof_row("bandwidth of the second-level caches, GB/s", [each.cache for each in roofs]),
        roof_row("bandwidth on arrays of 64 MiB, GB/s", [each.memory for each in roofs]),
        "",
        f"Steps run on {thread_count(top)}. Attainable: max(FLOPs / peak, bytes / bandwidth), with the",
        "bandwidth of the second-level caches where the bytes fit into them "
        f"({top.cache_size >> 20} MiB in all), else that on large arrays.",
        "",
        "Bytes: each array in or out, once. FLOPs of a convolution: those of the direct method, also where",
        "it is computed with fewer multiplications (Winograd). An operation can pass 100 % for that reason,",
        "or where the one before left its operands in a cache. A ReLU that the layer before it has computed",
        "is not listed. Measured: median per call within training steps, called from Python one by one. A",
        "step is timed as it is trained: what a backend can record of it runs without Python in between.",
        "",
        "![Roofline](roofline.png)",
        "",
        "| step | Σ attainable, ms | Σ operations, ms | step, ms | attainable / step |",
        "|---|---:|---:|---:|---:|",
    ]
    for step in steps:
        least, measured = totals(step, top)
        figures = (f"{1e3 * seconds:.3f}" for seconds in (least, measured, step.seconds))
        lines.append(
            f"| {step.net}, batch {step.batch} | {' | '.join(figures)} | {least / step.seconds:.0%} |"
        )
    lines += [
        "",
        "Inference, weights packed, images not yet scaled:",
        "",
        "| inference | Σ attainable, ms | measured, ms | attainable / measured |",
        "|---|---:|---:|---:|",
    ]
    for each in inferences:
        least = sum(map(top.attainable, each.work))
        figures = f"{1e3 * least:.3f} | {1e3 * each.seconds:.3f} | {least / each.seconds:.0%}"
        lines.append(f"| {each.net}, batch {each.batch} | {figures} |")
    for step in steps:
        lines += [
            "",
            f"## {step.net}, batch {step.batch}",
            "",
            "| operation | shapes | MFLOP | MB | GFLOP/s | measured, µs | attainable, µs | share | bound |",
            "|---|---|---:|---:|---:|---:|---:|---:|---|",
            *(f"| {' | '.join(cells(operation, top))} |" for operation in step.operations),
        ]
    return "\n".join(lines) + "\n"


def thread_count(roofs: Roofs) -> str:
    return f"{roofs.threads} thread{'s' if roofs.threads > 1 else ''}"


def roof_row(title: str, rates: list[float]) -> str:
    return f"| {title} | {' | '.join(f'{rate / 1e9:.0f}' for rate in rates)} |"


def totals(step: MeasuredStep, roofs: Roofs) -> tuple[float, float]:
    """Seconds of all operations: the least possible, and as measured."""
    least = sum(roofs.attainable(operation.work) for operation in step.operations)
    return least, sum(operation.seconds for operation in step.operations)


def cells(operation: Operation, roofs: Roofs) -> tuple[str, ...]:
    work, least = operation.work, roofs.attainable(operation.work)
    return (
        operation.name,
        operation.shapes,
        f"{work.flops / 1e6:.2f}",
        f"{work.moved / 1e6:.2f}",
        f"{work.flops / operation.seconds / 1e9:.1f}",
        f"{1e6 * operation.seconds:.1f}",
        f"{1e6 * least:.1f}",
        f"{least / operation.seconds:.0%}",
        roofs.bound(work),
    )


def draw(path: Path, roofs: Roofs, steps: list[MeasuredStep]) -> None:
    """A panel for each net, PANELS in a row: GFLOP/s over FLOPs a byte, under the roofs."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    columns = min(len(steps), PANELS)
    rows = math.ceil(len(steps) / columns)
    size = (4.2 * columns, 1 + 3.6 * rows)
    figure, panels = plt.subplots(
        rows, columns, figsize=size, sharey=True, squeeze=False, layout="constrained"
    )
    for unused in panels.flat[len(steps) :]:
        unused.axis("off")
    intensity = np.geomspace(0.05, 2000, 200)
    for axes, step in zip(panels.flat, steps, strict=False):
        for bandwidth, style, name in (
            (roofs.cache, "-", "second-level caches"),
            (roofs.memory, "--", "memory"),
        ):
            roof = np.minimum(roofs.peak, intensity * bandwidth) / 1e9
            axes.plot(intensity, roof, style, color="black", linewidth=1.2, label=f"roof: {name}")
        for kind, (mark, colour) in KINDS.items():
            own = [each for each in step.operations if kind_of(each) == kind and each.work.flops]
            x = [each.work.flops / each.work.moved for each in own]
            y = [each.work.flops / each.seconds / 1e9 for each in own]
            axes.plot(x, y, mark, color=colour, markeredgecolor="black", markersize=7, label=kind)
        axes.set(xscale="log", yscale="log", xlim=(0.05, 2000), title=f"{step.net}, batch {step.batch}")
        axes.set_xlabel("floating-point operations a byte")
        axes.grid(alpha=0.3)
        axes.set_axisbelow(True)
    figure.suptitle("How far each operation is below its roof, the speed that the machine allows")
    for first in panels[:, 0]:
        first.set_ylabel(f"GFLOP/s, {thread_count(roofs)}")
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def write(
    out: Path,
    report: dict[str, Any],
    roofs: list[Roofs],
    steps: list[MeasuredStep],
    inferences: list[Inference],
) -> None:
    """roofline.json, .md and .png."""
    out.mkdir(parents=True, exist_ok=True)
    top = roofs[-1]
    found = [
        step._asdict()
        | {
            "operations": [
                {"name": each.name, "shapes": each.shapes, **each.work._asdict(), "seconds": each.seconds}
                | {"attainable": top.attainable(each.work), "bound": top.bound(each.work)}
                for each in step.operations
            ]
        }
        for step in steps
    ]
    answers = [
        {"net": each.net, "batch": each.batch, "seconds": each.seconds}
        | {"attainable": sum(map(top.attainable, each.work))}
        for each in inferences
    ]
    everything = report | {"roofs": [each._asdict() for each in roofs], "steps": found, "inference": answers}
    (out / "roofline.json").write_text(json.dumps(everything, indent=1) + "\n", "utf-8")
    (out / "roofline.md").write_text(as_markdown(report, roofs, steps, inferences), "utf-8")
    draw(out / "roofline.png", top, steps)


@click.command()
@click.option("--nets", default=",".join(NETS), show_default=True, help="Nets, comma separated.")
@click.option("--steps", "count", default=40, show_default=True, help="Training steps measured of each net.")
@click.option("--seconds", default=0.5, show_default=True, help="Time for each measurement of a roof.")
@click.option("--threads", "number", type=int, help="Threads of the steps.  [default: all]")
@click.option("--out", type=Path, default=RESULTS, help="Folder for roofline.json, .md and .png.")
@click.option("--date", default=str(datetime.date.today()), help="The date to write down.  [default: today]")
def main(nets: str, count: int, seconds: float, number: int | None, out: Path, date: str) -> None:
    """Measure the machine's roofs, then the operations of training steps, and set one beside the other."""
    number = number or threads.budget()
    roofs = [measure_roofs(each, seconds) for each in sorted({1, number})]
    with threads.limit(number):
        steps = [measure_step(net, BATCHES[net], count) for net in nets.split(",")]
        inferences = [measure_inference(net, n, count) for net in nets.split(",") for n in (1, 256)]
    report = {"date": date, "machine": machine.summary(), "threads": number, "measured_steps": count}
    write(out, report, roofs, steps, inferences)
    console = Console(highlight=False)
    for step in steps:
        least, measured = totals(step, roofs[-1])
        console.print(
            f"{step.net}: attainable {1e3 * least:.3f} ms, operations {1e3 * measured:.3f} ms, "
            f"step {1e3 * step.seconds:.3f} ms"
        )
    console.print(f"written to {out}")


if __name__ == "__main__":
    main()
