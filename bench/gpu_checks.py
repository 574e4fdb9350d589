"""Is the backend right on this device? Each check says what it found; none ends the others."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from compare import LOSS_TOLERANCES, OUTPUT_TOLERANCE, first_losses
from gpu_kernels import nodes
from gpu_launches import make_trainer, of_a_step, of_a_stretch
from gpu_report import GpuCheck
from pairs import disagreement

from tinynet import out_of_memory
from tinynet.backends.base import Backend
from tinynet.benchmark.harness import Conditions, Contender, ContenderError, Process
from tinynet.errors import OutOfMemoryError
from tinynet.gradcheck import cases

HERE = Path(__file__).parent
REPLAYS = (100, 1000)
"""Steps after which recorded training is compared with the same step by step."""
SANITIZED = (("memcheck", "mlp", 16), ("memcheck", "kaggle-cnn", 4), ("racecheck", "kaggle-cnn", 2))
"""Tools of compute-sanitizer, and the step that each is to watch: a net and a batch."""
CLOSE = 1e-3
"""By which weights may differ that were computed with other roundings."""
UNITS = {"float32": 0.0, "tf32": 2.0**-11, "bf16": 2.0**-8}
"""By how much of a factor `--precision` rounds it at most."""
ROUNDED = 8, 32
"""How many units more outputs may differ by, and what Adam has made of such gradients."""
ROOM = 1 << 30
"""Bytes left free where memory is to run out."""
Make = Callable[[], Backend]


def every(
    make: Make, nets: dict[str, int], ours: Contender, conditions: Conditions, until: float, with_tests: bool
) -> Iterator[GpuCheck]:
    """All checks, the quick ones first. `nets`: with a batch for each; `until` by time.monotonic."""
    ops = make()
    on_gpu = ops.name == "cupy"
    yield guarded("gradients, float64", lambda: gradients(ops))
    for net in nets:
        yield guarded(f"{net} beside numpy", lambda net=net: beside_the_reference(ours, net, conditions))
    yield guarded("smallest subnormal", lambda: subnormal(ops))
    yield guarded("-3.2 as uint8", lambda: negative_as_uint8(ops))
    for net, batch in nets.items():
        yield guarded(f"{net} recorded", lambda net=net, batch=batch: recorded(make, net, batch, REPLAYS))
        yield guarded(f"{net} memory", lambda net=net, batch=batch: memory(make(), net, batch))
        if hasattr(ops, "device"):
            yield guarded(f"{net} launches", lambda net=net, batch=batch: launches(make(), net, batch))
    if on_gpu:
        yield guarded("out of memory", lambda: runs_out(make()))
        for tool, net, batch in SANITIZED:
            yield guarded(f"{tool} {net}", lambda what=(tool, net, batch): sanitized(*what, until))
    if with_tests:
        yield guarded("tests", lambda: tests(ops.name, until - time.monotonic()))


def guarded(what: str, check: Callable[[], tuple[bool, str]]) -> GpuCheck:
    """The check; where it raises an error (of a kernel, a library, the driver), that it does not hold."""
    try:
        return GpuCheck(what, *check())
    except Exception as error:
        return GpuCheck(what, False, f"{type(error).__name__}: {error}")


# --- the same numbers as elsewhere ------------------------------------------------------------------------


def gradients(ops: Backend) -> tuple[bool, str]:
    """Of every layer and loss, against central differences in float64."""
    errors, wrong = [0.0], []
    for name in cases.NAMES:
        try:
            found = list(cases.run(name, ops))
        except Exception as error:  # the others are checked all the same
            wrong.append(f"{name}: {type(error).__name__}: {error}")
            continue
        errors += [check.error for check in found]
        wrong += [str(check) for check in found if not check.passed]
    summed_up = f"{len(errors) - 1}, worst error {max(errors):.1e}"
    return not wrong, "; ".join([summed_up, *wrong[:5]])


def beside_the_reference(ours: Contender, net: str, conditions: Conditions) -> tuple[bool, str]:
    """The first losses in training, and the outputs before it, of ours and of the numpy backend.

    Where ours rounds factors they may differ by more: outputs and the first loss by what that makes of them,
    later losses by what Adam makes of gradients that differ.
    """
    unit, answers = UNITS[ours.mode.partition(" ")[2] or "float32"], []
    of_outputs, of_losses = (times * unit for times in ROUNDED)
    for contender in (ours._replace(mode="numpy"), ours):
        try:
            with Process(contender, net, 32, conditions) as process:
                answers.append((process.ask("outputs"), first_losses(process)))
        except ContenderError as error:
            return False, str(error)
    (outputs, losses), (our_outputs, our_losses) = answers
    first, *later = LOSS_TOLERANCES
    allowed = [first + of_outputs, *(each + of_losses for each in later)]
    problem = disagreement(outputs, our_outputs, [OUTPUT_TOLERANCE + of_outputs] * len(outputs))
    problem = problem or disagreement(losses, our_losses, allowed)
    apart = max(abs(a - b) for a, b in zip(outputs, our_outputs, strict=True))
    return not problem, problem or f"outputs differ by {apart:.1e} at most"


def subnormal(ops: Backend) -> tuple[bool, str]:
    """Whether the smallest of all float32 comes through a CUDA kernel: a compiler might make it 0."""
    smallest = np.full(1, np.finfo(np.float32).smallest_subnormal, np.float32)
    through = float(ops.to_host(ops.rescale(ops.asarray(smallest), 1.0, 0.0, "float32"))[0])
    is_right = through == float(smallest[0]) or not hasattr(ops, "device")
    return is_right, f"{float(smallest[0]):.3g} comes through `rescale` as {through:.3g}"


def negative_as_uint8(ops: Backend) -> tuple[bool, str]:
    """What a cast makes of it, which no standard says: 253 on a processor, 0 on a GPU; but no error."""
    cast = ops.asarray(np.array([-3.2], np.float32)).astype(np.uint8)
    return True, f"a cast makes {int(ops.to_host(cast)[0])} of it"


# --- recordings -------------------------------------------------------------------------------------------


def recorded(make: Make, net: str, batch: int, replays: tuple[int, ...]) -> tuple[bool, str]:
    """Trained in stretches, once more, and with a look at each step: the same weights, bit for bit.

    They are also those of operations called one by one: where one kernel does all (`tinynet.persistent`), up
    to rounding, and in the beginning.

    The last batch of an epoch is smaller, so recordings of two shapes take turns; a third is made in between.
    """
    one_by_one, looked_at, *rest = (
        weights_after(make(), net, batch, replays, way) for way in ("operations", "steps", *["stretches"] * 2)
    )
    same = all(np.array_equal(looked_at, each) for each in rest)
    is_exact = np.array_equal(one_by_one, looked_at)
    apart = float(abs(one_by_one[0] - looked_at[0]).max())
    ops = make()
    close = is_exact or (is_persistent(ops, net, batch) and apart < CLOSE + ROUNDED[1] * UNITS[ops.precision])
    steps, weights = " and ".join(map(str, replays)), "the same" if same else "other"
    said = f"after {steps} steps {weights} weights by recordings"
    beside = "the same" if is_exact else f"{apart:.1e} apart after {replays[0]} steps"
    return same and close, f"{said}; one operation at a time {beside}"


def weights_after(ops: Backend, net: str, batch: int, replays: tuple[int, ...], way: str) -> np.ndarray:
    """The weights (len(replays), P) after so many steps."""
    if way == "operations":
        ops.recorded_phases = ()  # type: ignore[misc]
    trainer = make_trainer(net, batch, ops, epochs=10**6, left_over=batch // 2)
    state, found = trainer.state, list[np.ndarray]()
    marks = [replays[0] // 2, *replays]

    def steps_to_look() -> float:
        return 1 if way != "stretches" else next(mark for mark in marks if mark > state.step) - state.step

    steps = trainer.events(steps_to_look)
    while len(found) < len(replays):
        before = state.step
        next(steps)
        if before < marks[0] <= state.step:
            trainer.model.predict(trainer.train.inputs[: batch // 4])
        if before < replays[len(found)] <= state.step:
            found.append(np.array(ops.to_host(trainer.model.store.values.flat)))
    return np.array(found)


def is_persistent(ops: Any, net: str, batch: int) -> bool:
    """Whether stretches of this net are done by one kernel."""
    return hasattr(ops, "device") and of_a_stretch(net, batch, ops) is not None


def launches(ops: Any, net: str, batch: int) -> tuple[bool, str]:
    """What a recorded step launches; on a GPU, the nodes of its graph."""
    found = of_a_step(net, batch, ops)
    count = f"; {nodes(found, ops)} nodes of a graph" if ops.name == "cupy" and _is_cuda(ops) else ""
    return bool(found), f"{len(found)} launches a step of {batch}{count}"


def _is_cuda(ops: Any) -> bool:
    return hasattr(ops.xp, "cuda")


# --- memory -----------------------------------------------------------------------------------------------


def memory(ops: Backend, net: str, batch: int) -> tuple[bool, str]:
    """What a step takes, beside what `out_of_memory` says that it takes at most."""
    trainer = make_trainer(net, batch, ops)
    trainer.run()
    most = batch * out_of_memory.of_a_sample(trainer.model)
    taken = trainer.model.workspace.nbytes
    said = f"{taken / 1e6:.1f} MB for a batch of {batch}, {most / 1e6:.1f} MB foreseen"
    if _is_cuda(ops):
        said += f"; {ops.xp.get_default_memory_pool().total_bytes() / 1e6:.0f} MB in CuPy's pool"
    return taken <= 1.2 * most, said


def runs_out(ops: Any, net: str = "kaggle-cnn", batch: int = 1 << 15) -> tuple[bool, str]:
    """With most memory in other hands: the batch that the error advises fits, in the same process."""
    pool = ops.xp.get_default_memory_pool()
    pool.free_all_blocks()
    ballast = ops.xp.empty(max(ops.free_bytes() - ROOM, 1), "uint8")
    try:
        make_trainer(net, batch, ops, steps=1).run()
        return False, f"a batch of {batch} fits into {ROOM >> 20} MiB"
    except OutOfMemoryError as error:
        advised = re.search(r"--batch (\d+)", str(error))
        if not advised:
            return False, f"no batch is advised: {error}"
        make_trainer(net, int(advised[1]), ops, steps=1).run()
        return True, f"the advised batch of {advised[1]} fits"
    finally:
        del ballast
        pool.free_all_blocks()


# --- other programs ---------------------------------------------------------------------------------------


def sanitized(tool: str, net: str, batch: int, until: float) -> tuple[bool, str]:
    """Two steps, watched by NVIDIA's compute-sanitizer."""
    program = shutil.which("compute-sanitizer")
    if not program:
        return False, "compute-sanitizer is not installed: it comes with the CUDA toolkit"
    command = [program, "--tool", tool, "--error-exitcode", "9", sys.executable, str(HERE / "gpu.py")]
    done = _run([*command, "step", net, str(batch)], until - time.monotonic())
    if done is None:
        return False, "no time was left"
    last = (done.stdout + done.stderr).strip().splitlines()[-1:]
    return done.returncode == 0, last[0] if last else f"exit code {done.returncode}"


def tests(backend: str, seconds: float) -> tuple[bool, str]:
    """All that are run for each backend, but for those that kill processes over and over."""
    options = ["-q", "-k", f"{backend} and not kill", "--ignore", "tests/bench"]
    command = [sys.executable, "-m", "pytest", *options, "--continue-on-collection-errors", "tests"]
    done = _run(command, seconds, TINYNET_TEST_BACKENDS=backend)
    if done is None:
        return False, f"not done after {max(seconds, 0):.0f} s"
    lines = (done.stdout or done.stderr).strip().splitlines() or ["no answer"]
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    return done.returncode == 0, "; ".join([lines[-1], *failed[:5]])


def _run(command: list[str], seconds: float, **environment: str) -> subprocess.CompletedProcess[str] | None:
    """The program when it has ended; None where it would have taken longer."""
    settings: dict[str, Any] = {"capture_output": True, "text": True, "cwd": HERE.parent}
    try:
        return subprocess.run(
            command, **settings, env=os.environ | environment, timeout=max(seconds, 0.1), check=False
        )
    except subprocess.TimeoutExpired:
        return None
