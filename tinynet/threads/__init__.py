"""Threads: how many there may be (`budget`), and a crew of them that shares out a kernel's work (`crew`)."""

from tinynet.threads.blas import serial_blas, set_blas_threads
from tinynet.threads.budget import VARIABLE, budget, limit, limit_blas, size
from tinynet.threads.crew import (
    PARTS_PER_THREAD,
    RecordedKernels,
    break_recording,
    is_recording,
    outside_recording,
    over,
    parts,
)
from tinynet.threads.tasks import together

__all__ = [
    "PARTS_PER_THREAD",
    "VARIABLE",
    "RecordedKernels",
    "break_recording",
    "budget",
    "is_recording",
    "limit",
    "limit_blas",
    "outside_recording",
    "over",
    "parts",
    "serial_blas",
    "set_blas_threads",
    "size",
    "together",
]
