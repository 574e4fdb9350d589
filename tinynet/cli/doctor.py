"""tinynet doctor: what works on this machine, what does not, and how to fix it."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import click

from tinynet.cli.command import Command
from tinynet.cli.folders import KERNEL_CACHE_FIX, kernel_cache_contents, writable
from tinynet.printable import counted, quoted

Finding: TypeAlias = tuple[str, bool, str, str]
"""What was looked at, whether all is well, what was found, and the fix if there is one."""

PACKAGES = ("numpy", "numba", "llvmlite", "matplotlib", "Pillow", "safetensors", "threadpoolctl")
EXTRAS = {
    "classical": ("scikit-learn", "fit the classical models"),
    "serve": ("fastapi", "serve a net over HTTP"),
    "tune": ("optuna", "search good settings"),
    "tensorboard": ("tensorboardX", "write logs for TensorBoard"),
    "mpi": ("mpi4py", "train in several processes"),
    "notebooks": ("ipykernel", "run the notebooks"),
    "book": ("furo", "build the book"),
    "test": ("pytest", "run the tests"),
    "torch": ("torch", "compare with PyTorch in the tests"),
}


@click.command(cls=Command, short_help="What works on this machine, and how to fix the rest.")
def command() -> None:
    """Check this machine: installed packages, backends, threads and caches, with a fix for each problem.

    Exit 0 when the two CPU backends, numpy and numba, work; 1 when one does not.

    \b
    Example:
      tinynet doctor
    """
    from rich.table import Table
    from rich.text import Text

    from tinynet.cli.screen import console

    backends = list(backend_rows())
    sections = {
        "Installed": installed_rows(),
        "Backends": backends,
        "Threads": thread_rows(),
        "Folders": folder_rows(),
        "Extras (all optional)": extra_rows(),
    }
    for title, rows in sections.items():
        table = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 1))
        table.add_column()
        table.add_column()
        table.add_column(overflow="fold")  # a command is to be copied whole
        for what, good, found, fix in rows:
            mark = Text(" ok", "green") if good else Text(" --", "yellow")
            table.add_row(mark, what, found + (f"\n→ {fix}" if fix else ""))
        console.print(table, "")
    broken = [what for what, good, _, _ in backends if not good and what != "cupy"]
    if broken:
        console.print(f"Problem: the {' and '.join(broken)} backend does not work.", style="bold red")
        sys.exit(1)
    console.print("No problems: the CPU backends work.", style="bold green")


def installed_rows() -> Iterator[Finding]:
    """Python, tinynet and the libraries it stands on."""
    from tinynet import extras, machine
    from tinynet.version import VERSION

    yield "Python", True, f"{platform.python_version()} on {platform.platform()}", ""
    yield "tinynet", True, f"{extras.DISTRIBUTION} {VERSION} in {Path(__file__).resolve().parent.parent}", ""
    for package in PACKAGES:
        version = machine.version_of(package)
        yield package, bool(version), version or "missing", "" if version else extras.install()


def backend_rows() -> Iterator[Finding]:
    """Each backend, put to work where it can be loaded."""
    from tinynet import backends, extras

    for name in backends.NAMES:
        found = backends.status(name)
        problem = failure_of(name) if found.works else ""
        if problem:
            failed = f"{found.detail}, but a small computation failed: {problem}"
            yield name, False, failed, extras.install(again=True)
        else:
            yield name, found.works, found.detail + ", computes correctly" * found.works, found.fix


def thread_rows() -> Iterator[Finding]:
    """The cores, tinynet's share of them, and what BLAS (NumPy's matrix products) is set to."""
    import numpy  # noqa: F401 (loads the BLAS that threadpoolctl then sees)
    from threadpoolctl import threadpool_info

    from tinynet import machine, threads

    yield "cores", True, f"{os.cpu_count()} in this machine, {machine.cores()} for this process", ""
    how = "TINYNET_THREADS" if os.environ.get("TINYNET_THREADS") else "by itself"
    yield "tinynet", True, f"{counted(threads.budget(), 'thread')}, chosen {how}", ""
    for library in threadpool_info():
        if library["user_api"] == "blas":
            kind, version, count = (library[key] for key in ("internal_api", "version", "num_threads"))
            owner = Path(library["filepath"]).parent.name
            yield "BLAS", True, f"{kind} {version} ({owner}), {counted(count, 'thread')}", ""


def folder_rows() -> Iterator[Finding]:
    """Where downloads and compiled kernels are kept, and which data sets are there."""
    from tinynet.data.download import PAYLOAD_SHA256, cache_dir

    cache = cache_dir()
    yield "data cache", *writable(cache, "name another folder in TINYNET_CACHE")
    for name in PAYLOAD_SHA256:
        yield name, *_data_set(name, cache / name)
    yield "kernel cache", *_kernel_cache()


def extra_rows() -> Iterator[Finding]:
    """What can be installed on top."""
    from tinynet import extras, machine

    for extra, (package, use) in EXTRAS.items():
        version = machine.version_of(package)
        fix = "" if version else f"to {use}: {extras.install(extra)}"
        yield extra, bool(version), f"{package} {version or 'is not installed'}", fix


def failure_of(backend: str) -> str:
    """What goes wrong when the backend computes a small model, compared with numpy; "" if nothing does."""
    import numpy as np

    from tinynet.layers import Dense, Flatten, ReLU, Rescale
    from tinynet.model import Sequential

    images = np.arange(2 * 16, dtype=np.uint8).reshape(2, 4, 4, 1)
    try:
        expected, received = (
            Sequential([Rescale(), Flatten(), Dense(8), ReLU(), Dense(3)], (4, 4, 1), backend=name).predict(
                images
            )
            for name in ("numpy", backend)
        )
    except Exception as error:  # whatever a broken installation raises is what the user must read
        return f"{type(error).__name__}: {error}"
    return "" if np.allclose(expected, received, atol=1e-5) else "it gives other numbers than numpy"


def _data_set(name: str, cached: Path) -> tuple[bool, str, str]:
    from tinynet.data import datasets
    from tinynet.errors import DataError

    try:
        folder = datasets.locate(name) or cached
    except DataError as error:
        return False, str(error).splitlines()[0], "correct or unset TINYNET_DATA"
    results = datasets.verify(folder, name)
    states = {status for _, status, _ in results}
    if states == {"ok"}:
        return True, f"verified, in {folder}", ""
    if states == {"missing"}:
        return False, "not fetched yet", f"tinynet data fetch {name}"
    if other := datasets.found_instead(folder, name):
        own = quoted(folder / name)
        return False, f"{folder} has the files of {other}", f"tinynet data fetch {name} --data-dir {own}"
    return False, f"files wrong or missing in {folder}", f"tinynet data verify {name}"


def _kernel_cache() -> tuple[bool, str, str]:
    try:
        from tinynet.kernels.cpu import cache_folder, numba_private
    except ImportError as error:
        return False, f"numba's kernels cannot be loaded: {error}", "see the numba backend above"
    if not numba_private.HAS_CACHE:
        return True, "Numba's own: this release of Numba has no room for ours", ""
    good, found, fix = writable(cache_folder.current(), KERNEL_CACHE_FIX)
    return good, f"{found}; {kernel_cache_contents()}", fix
