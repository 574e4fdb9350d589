"""Why the GPU backend cannot run here, if it cannot, and the command that repairs it.

`read` collects the few facts that decide; `diagnose` says what they mean. A driver runs programs made for the
CUDA version it offers and for all earlier ones; CuPy comes built for CUDA 12 or for CUDA 13.

Which device is used is CUDA's own choice: the first of those that CUDA_VISIBLE_DEVICES names, else device 0.
"""

from __future__ import annotations

import ctypes
import os
import sys
import warnings
from dataclasses import dataclass, replace
from functools import cache
from importlib import metadata
from typing import NamedTuple

from tinynet import extras

MIN_CUDA = 12_000
"""The oldest CUDA version that CuPy is built for, as CUDA counts: see `number`."""
OLDEST = {12: 50, 13: 75}
"""Ten times the least compute capability of a device that NVRTC compiles for, by CUDA's major version."""
DRIVER_FIX = (
    "sudo ubuntu-drivers install (other systems: nvidia.com/drivers; a container: start it with --gpus all)"
)
MISSING_PARTS = (
    "libnvrtc",
    "libcublas",
    "libcudart",
    "nvrtc64",
    "cublas64",
    "cuda_fp16.h",
    "open source file",
)
"""Words in errors that tell of missing parts of CUDA: compiler, libraries or headers."""


class Problem(NamedTuple):
    found: str
    fix: str
    """A command, mostly."""


@dataclass(frozen=True)
class Facts:
    """What decides whether CuPy can compute here; a fact that is not known is 0 or empty."""

    packages: tuple[str, ...] = ()
    """The installed distributions of CuPy, such as "cupy-cuda12x"."""
    driver: int = 0
    """The newest CUDA version that the driver offers; 0 without a driver."""
    visible: str | None = None
    """CUDA_VISIBLE_DEVICES, if it is set."""
    version: str = ""
    """CuPy's."""
    import_error: str = ""
    runtime: int = 0
    """The CUDA version that CuPy computes with."""
    devices: int = 0
    refusal: str = ""
    """CUDA's error where the number of devices was asked for."""
    device: str = ""
    """The name of the device that is used."""
    capability: int = 0
    """Ten times its compute capability."""
    trial: str = ""
    """The error of a small computation on it."""


def diagnose(facts: Facts) -> Problem | None:
    """The first thing to mend; None if CuPy can compute here."""
    install = extras.install(extra_for(facts.driver))
    installed = " ".join(facts.packages)
    if len(facts.packages) > 1:
        found = f"several builds of CuPy are installed, which overwrite each other's files: {installed}"
        return Problem(found, f"pip uninstall -y {installed} && {install}")
    if not facts.driver:
        found = "no NVIDIA driver is found" + ("" if facts.packages else ", and CuPy is not installed")
        return Problem(found, f"on a machine with an NVIDIA GPU: {DRIVER_FIX}; elsewhere: --backend numba")
    if facts.driver < MIN_CUDA:
        found = f"the NVIDIA driver offers CUDA {number(facts.driver)}; {number(MIN_CUDA)} or newer is needed"
        return Problem(found, DRIVER_FIX)
    if facts.import_error and not facts.packages:
        return Problem("CuPy is not installed", install)
    if facts.import_error:
        return Problem(f"CuPy cannot be imported: {facts.import_error}", _reinstall(facts))
    if facts.runtime // 1000 > facts.driver // 1000:
        found = (
            f"{installed or 'CuPy'} computes with CUDA {number(facts.runtime)}, "
            f"and the NVIDIA driver offers CUDA {number(facts.driver)} at most"
        )
        return Problem(found, f"pip uninstall -y {installed or 'cupy'} && {install}")
    if not facts.devices:
        return _no_device(facts)
    if facts.capability and facts.capability < OLDEST.get(facts.runtime // 1000, 0):
        return _too_old(facts)
    return _failed_trial(facts) if facts.trial else None


def _no_device(facts: Facts) -> Problem:
    if facts.visible is not None:
        found = f"CUDA_VISIBLE_DEVICES={facts.visible!r} names no device of this machine"
        return Problem(found, "nvidia-smi -L lists them; for the first: export CUDA_VISIBLE_DEVICES=0")
    answer = f": {facts.refusal}" if facts.refusal else ""
    fix = "nvidia-smi tells whether the driver sees a GPU; after an update of the driver: sudo reboot"
    return Problem(f"the NVIDIA driver finds no device{answer}", fix)


def _too_old(facts: Facts) -> Problem:
    found = (
        f"the device {facts.device} is too old for CUDA {number(facts.runtime)}: its compute capability is "
        f"{facts.capability / 10}, and {OLDEST[facts.runtime // 1000] / 10} or newer is needed"
    )
    if facts.capability < OLDEST[12]:
        return Problem(found, "choose another backend: --backend numba")
    return Problem(
        found, f"pip uninstall -y {' '.join(facts.packages) or 'cupy'} && {extras.install('cuda12')}"
    )


def _failed_trial(facts: Facts) -> Problem:
    complete = extras.install(extra_for(facts.runtime))
    if "OutOfMemory" in facts.trial or "MemoryAllocation" in facts.trial:
        fix = "nvidia-smi shows which program holds it; for another device: export CUDA_VISIBLE_DEVICES=1"
        return Problem(f"the memory of the device {facts.device} is taken: {facts.trial}", fix)
    if any(part in facts.trial for part in MISSING_PARTS):
        return Problem(f"CUDA's compiler, headers or libraries are missing: {facts.trial}", complete)
    found = f"a small computation on the device {facts.device} failed: {facts.trial}"
    return Problem(found, _reinstall(facts))


def extra_for(cuda: int) -> str:
    """The extra of tinynet for this CUDA version."""
    return "cuda13" if cuda >= 13_000 else "cuda12"


def _reinstall(facts: Facts) -> str:
    """The same build once more, with all that belongs to it."""
    package = facts.packages[0] if facts.packages else f"cupy-{extra_for(facts.driver)}x"
    return f"pip install --force-reinstall '{package}[ctk]'"


def number(cuda: int) -> str:
    """A CUDA version as people write it: 12040 is 12.4."""
    return f"{cuda // 1000}.{cuda % 1000 // 10}"


def summary(facts: Facts) -> str:
    """What works, in a line."""
    more = f" (the first of {facts.devices})" if facts.devices > 1 else ""
    return (
        f"CuPy {facts.version} with CUDA {number(facts.runtime)} on {facts.device}{more}; "
        f"the driver offers CUDA {number(facts.driver)}"
    )


# --- reading the facts ------------------------------------------------------------------------------------


@cache
def read() -> Facts:
    """The facts of this machine; where they rule nothing out, a small computation is tried. Read once."""
    facts = look()
    return facts if diagnose(facts) else replace(facts, trial=try_out())


def look() -> Facts:
    """The facts that are had without computing on any device, up to the first that rules out the next."""
    facts = Facts(cupy_packages(), driver_version(), os.environ.get("CUDA_VISIBLE_DEVICES"))
    if len(facts.packages) > 1 or not facts.driver:
        return facts
    try:
        import cupy
    except Exception as error:  # a damaged installation raises whatever it likes
        return replace(facts, import_error=_one_line(error))
    runtime = cupy.cuda.runtime
    facts = replace(facts, version=cupy.__version__, runtime=runtime.runtimeGetVersion())
    try:
        facts = replace(facts, devices=runtime.getDeviceCount())
    except runtime.CUDARuntimeError as error:
        return replace(facts, refusal=_one_line(error))
    if not facts.devices:
        return facts
    about = runtime.getDeviceProperties(runtime.getDevice())
    return replace(facts, device=about["name"].decode(), capability=10 * about["major"] + about["minor"])


def cupy_packages() -> tuple[str, ...]:
    """The installed distributions that bring a module `cupy`, sorted."""
    names = {str(each.metadata["Name"]).lower() for each in metadata.distributions()}
    return tuple(sorted(name for name in names if name == "cupy" or name.startswith("cupy-")))


def driver_version() -> int:
    """The newest CUDA version that the NVIDIA driver offers; 0 without a driver. Needs no CuPy."""
    found = ctypes.c_int(0)
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return 0
    driver.cuDriverGetVersion(ctypes.byref(found))
    return found.value


def try_out() -> str:
    """The error of compiling and running a kernel and a matrix product; "" if the result is right."""
    import cupy

    source = 'extern "C" __global__ void twice(float* x) { x[threadIdx.x] *= 2; }'
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a missing CUDA_PATH: whether it matters shows below
            x = cupy.ones((2, 2), "float32")
            cupy.RawKernel(source, "twice")((1,), (4,), (x,))
            total = float((x @ x).sum())
    except Exception as error:  # compiler, launcher and cuBLAS each raise their own
        return _one_line(error)
    return "" if total == 32 else f"2 · 2 summed up in a product gave {total}, not 32"


def free_bytes() -> int:
    """Memory of the device that this process can still have, in bytes, including CuPy's own reserve."""
    import cupy

    free, _ = cupy.cuda.runtime.memGetInfo()
    kept: int = cupy.get_default_memory_pool().free_bytes()
    return free + kept


def _one_line(error: Exception) -> str:
    """The type and the message of an error, on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())
