"""The machine and the software on it: what a report says of where its figures were measured."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from tinynet.printable import counted
from tinynet.version import VERSION


def processor() -> str:
    """The processor's name, such as "Intel(R) Xeon(R) CPU @ 2.20GHz"."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def cores() -> int:
    """The processor cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_gib() -> float | None:
    """The main memory in GiB; None where the system does not say."""
    names = getattr(os, "sysconf_names", {})
    if not {"SC_PAGE_SIZE", "SC_PHYS_PAGES"} <= set(names):
        return None
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)


def free_bytes() -> int | None:
    """Main memory that programs can still have, in bytes; None where the system does not say."""
    info = Path("/proc/meminfo")
    if not info.exists():
        return None
    line = next(line for line in info.read_text().splitlines() if line.startswith("MemAvailable"))
    return int(line.split()[1]) << 10  # from KiB


def facts() -> dict[str, Any]:
    """`cpu`, `cores`, `memory_gib` (None: unknown) and `os`, for a report."""
    return {
        "cpu": processor(),
        "cores": cores(),
        "memory_gib": memory_gib(),
        "os": f"{platform.system()} {platform.release()}",
    }


def version_of(distribution: str) -> str | None:
    """The version of an installed package; None where it is not installed."""
    from importlib import metadata  # takes as long to import as much of tinynet

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def versions() -> dict[str, str | None]:
    """The versions of Python, tinynet and the two libraries that compute; None for one not installed."""
    return {
        "python": platform.python_version(),
        "tinynet": VERSION,
        "numpy": version_of("numpy"),
        "numba": version_of("numba"),
    }


def summary() -> str:
    """Processor, cores, Python, NumPy and Numba, for a table's caption."""
    libraries = f"NumPy {version_of('numpy')}, Numba {version_of('numba')}"
    return f"{processor()}, {counted(cores(), 'core')}; Python {platform.python_version()}, {libraries}"
