"""Data-parallel training: several processes, each with a shard of every batch, learn as one would.

    mpiexec -n 2 tinynet train --distributed

The gradients of a shard's mean loss, weighted by its share of the batch and summed over the processes, are
those of the whole batch. They lie in one flat buffer, so that is one all-reduce; then every process takes the
same step, and all keep the same weights. What else depends on the batch goes by the whole of it, too: loss,
penalty, figures, the statistics of BatchNorm. Order, dropout and distortion of a sample are drawn by its
place in the batch. So the result is that of one process, but for the rounding of sums in another order.

One process alone is a group as well, in which nothing has to be done: the training loop knows no other case.

Not yet run on a GPU. Gradients are to go through NCCL where each process has a GPU of its own (for which CuPy
needs the package nvidia-nccl-cu12 or -cu13), else through the host; the figures of a step always do, so each
step waits for the GPU. Should a process be lost within NCCL, it is mpiexec alone that ends the others.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from hashlib import sha256
from typing import Any

import numpy as np

from tinynet import extras, threads
from tinynet.distributed import watchdog
from tinynet.distributed.group import ALONE, Group, Shard
from tinynet.errors import ConfigError, ProcessLostError
from tinynet.types import Array

TIMEOUT = 600.0
"""Seconds without an answer after which the others are given up."""
SPIN = 0.0002
"""Seconds to look out for an answer without a pause. Where cores are scarce, the others need them."""
PAUSE = 0.00005
"""Seconds between two looks after that."""
GRACE = 2.0
"""Seconds by which the first process is ahead in reporting an error."""
CORES = 1 << 14
"""No machine has more."""


class MpiGroup(Group):
    """The processes that mpiexec started. Use `joined`, which sees to their end as well.

    A wait for the others ends with ProcessLostError when the witness has seen one of them end, or nothing was
    heard for `TIMEOUT`: no process waits for ever, whatever mpiexec does.
    """

    def __init__(self) -> None:
        self._mpi = MPI = _import_mpi()
        self._world = MPI.COMM_WORLD
        self.rank, self.size = self._world.rank, self._world.size
        if self.size == 1:
            raise ConfigError(
                "--distributed found no other process",
                expected=f"2 or more, started by the mpiexec of {MPI.get_vendor()[0]}, which mpi4py uses",
                received="this one alone",
                fix="mpiexec -n 2 tinynet train --distributed …, or leave --distributed out",
            )
        self.launcher = ("mpiexec", "-n", str(self.size))
        self._machine = self._world.Split_type(MPI.COMM_TYPE_SHARED)
        self._device = ""
        self._witness: subprocess.Popen[bytes] | None = None
        self._advice = "start again"

    def shard(self, samples: int) -> Shard:
        if samples < self.size:
            return Shard(0, samples, samples, self, counts=self.rank == 0)
        first, stop = (samples * rank // self.size for rank in (self.rank, self.rank + 1))
        return Shard(first, stop, samples, self)

    def all_reduce(self, shard: Shard, grads: Array, loss: Any, sums: Any) -> tuple[Any, Any]:
        grads *= shard.share
        sums = _on_host(sums) * shard.counts
        figures = np.append(float(loss) * shard.share, sums)
        self._add_up(figures, grads)
        return float(figures[0]), figures[1:].reshape(sums.shape)

    def sum(self, array: Array, weight: float) -> Array:
        weighted = array * weight
        self._add_up(weighted)
        return weighted

    def total(self, *numbers: Any) -> Sequence[Any]:
        parts = list(map(_on_host, numbers))
        totals = np.concatenate([part.reshape(-1) for part in parts])
        self._add_up(totals)
        ends = np.cumsum([part.size for part in parts])
        return [total.reshape(part.shape) for total, part in zip(np.split(totals, ends), parts, strict=False)]

    def any(self, flag: bool) -> bool:
        return self.total(flag)[0] > 0

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        if self.rank > 0:
            self._meet()
        yield
        if self.rank == 0:
            self._meet()

    def threads(self) -> int:
        """As many as the cores that are this process' fair share, if each is shared by those bound to it."""
        if not hasattr(os, "sched_getaffinity"):
            return max(1, threads.budget() // self._machine.size)
        own = list(os.sched_getaffinity(0))
        users = np.zeros(CORES, np.int32)
        users[own] = 1
        self._machine.Allreduce(self._mpi.IN_PLACE, users)
        share = float((1 / users[own]).mean())
        return max(1, int(threads.budget() * share + 1e-9))

    def choose_device(self, use_device: Callable[[int], str]) -> None:
        self._device = use_device(self._machine.rank)

    def watch(self, advice: str) -> None:
        self._advice = advice
        processes = np.zeros((self._machine.size, 2), np.int64)
        self._machine.Allgather(np.array([self.rank, os.getpid()]), processes)
        if self.rank == 0:
            self._witness = watchdog.start(dict(processes.tolist()), advice)

    def close(self) -> None:
        """Leave MPI, together with the others."""
        self._dismiss_witness()
        self._meet()
        self._mpi.Finalize()

    def fail(self) -> None:
        """What is to be done before an error ends this process and thereby, through mpiexec, the others.

        Mostly all have the same error to report. The first process does, and the others find no time to.
        """
        if self.rank == 0:
            self._dismiss_witness()
        else:
            time.sleep(GRACE)
            print(f"Process {self.rank} of {self.size} failed:", file=sys.stderr, flush=True)

    def _add_up(self, *arrays: Array) -> None:
        """Replace each array by its sum over the processes."""
        on_gpu: list[Any] = [array for array in arrays if not isinstance(array, np.ndarray)]
        on_host = [array for array in arrays if isinstance(array, np.ndarray)]
        nccl = self._nccl if on_gpu else None
        brought = [] if nccl else [array.get() for array in on_gpu]
        self._wait([self._world.Iallreduce(self._mpi.IN_PLACE, array) for array in on_host + brought])
        for array, total in zip(on_gpu, brought or on_gpu, strict=True):
            if nccl:
                nccl.add_up(array)
            else:
                array.set(total)

    @cached_property
    def _nccl(self) -> _Nccl | None:
        """The way from GPU to GPU, if all have one of their own and NCCL; all ask for it at the same time."""
        from cupy.cuda import nccl

        own = np.frombuffer(sha256(self._device.encode()).digest(), np.uint8)
        every = np.empty((self.size, own.size), np.uint8)
        self._world.Allgather(own, every)
        shared = not self._device or len(np.unique(every, axis=0)) < self.size
        return None if self.any(shared or not nccl.available) else _Nccl(self._world)

    def _meet(self) -> None:
        """Wait until all are here, for as long as it takes."""
        self._wait([self._world.Ibarrier()], for_ever=True)

    def _wait(self, requests: list[Any], *, for_ever: bool = False) -> None:
        """Until all requests are done. Python goes on meanwhile, so that Ctrl-C is heard."""
        began = time.monotonic()
        while not self._mpi.Request.Testall(requests):
            waited = time.monotonic() - began
            if waited < SPIN:
                continue
            time.sleep(PAUSE)
            is_late = waited > TIMEOUT and not for_ever
            if is_late or (self._witness and self._witness.poll() == watchdog.LOST):
                raise ProcessLostError(
                    f"process {self.rank} of {self.size} waited for the others in vain",
                    expected="an answer",
                    received=f"none in {waited:.1f} s: one of them is lost, or cannot be reached",
                    fix=self._advice,
                )

    def _dismiss_witness(self) -> None:
        if self._witness:
            watchdog.dismiss(self._witness)
            self._witness = None


@contextmanager
def joined(several: bool = True) -> Iterator[Group]:
    """The processes that mpiexec started, until the block ends; unless there are `several`, this one alone.

    Raises ConfigError without mpi4py or an MPI library, and where no other process was started.
    """
    if not several:
        yield ALONE
        return
    group = MpiGroup()
    try:
        yield group
    except BaseException:
        group.fail()
        raise
    group.close()


def _on_host(numbers: Any) -> Array:
    """A number, or an array of them on any device, as float64."""
    return np.array(numbers.tolist() if hasattr(numbers, "tolist") else numbers, np.float64)


class _Nccl:
    """Sums over processes that each have a GPU of their own, from GPU to GPU. Not yet run."""

    def __init__(self, world: Any) -> None:
        from cupy.cuda import get_current_stream, nccl

        name = np.frombuffer(nccl.get_unique_id(), np.uint8).copy()
        world.Bcast(name)
        self._communicator = nccl.NcclCommunicator(world.size, name.tobytes(), world.rank)
        self._dtypes = {"float32": nccl.NCCL_FLOAT32, "float64": nccl.NCCL_FLOAT64}
        self._operation, self._stream = nccl.NCCL_SUM, get_current_stream

    def add_up(self, array: Any) -> None:
        """Replace the contiguous array by its sum over the processes, when the present stream gets there."""
        place, dtype = array.data.ptr, self._dtypes[array.dtype.name]
        self._communicator.allReduce(place, place, array.size, dtype, self._operation, self._stream().ptr)


def _import_mpi() -> Any:
    try:
        import mpi4py

        # A process that ends by an error must not wait in MPI_Finalize for the others, who wait for it.
        mpi4py.rc(finalize=False, thread_level="funneled")
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise ConfigError(
            "--distributed needs mpi4py and an MPI library",
            received=str(error).splitlines()[0],
            fix=f"{extras.install('mpi')} (or pip install mpi4py mpich)",
        ) from error
    return MPI
