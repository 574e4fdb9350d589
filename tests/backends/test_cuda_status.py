"""Why the GPU backend cannot run: each reason from the facts that lead to it, and this machine's own."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from packaging.requirements import Requirement

from tinynet import backends, extras
from tinynet.backends import cuda_status
from tinynet.backends.cuda_status import Facts
from tinynet.errors import BackendError

GOOD = Facts(("cupy-cuda12x",), 12_040, None, "14.2.0", "", 12_090, 1, "", "NVIDIA H100", 90)
SWAPPED = replace(GOOD, packages=("cupy-cuda13x",), runtime=13_020)
NO_NVRTC = 'DynamicLibNotFoundError: Failure finding "libnvrtc.so.13 or libnvrtc.so.12": No such file'
FULL = "OutOfMemoryError: Out of memory allocating 512 bytes (allocated so far: 0 bytes)."
NO_HEADERS = 'CompileException: a.cu(1): catastrophic error: could not open source file "cuda_fp16.h"'
DRIVER = "sudo ubuntu-drivers install"
INSTALL = extras.install("cuda12")

REASONS = {
    "neither driver nor CuPy": (Facts(), "no NVIDIA driver is found, and CuPy is not installed", DRIVER),
    "no driver": (replace(GOOD, driver=0), "no NVIDIA driver is found", DRIVER),
    "old driver": (replace(GOOD, driver=11_040), "the NVIDIA driver offers CUDA 11.4; 12.0", DRIVER),
    "no CuPy": (
        Facts((), 12_040, import_error="ModuleNotFoundError: cupy"),
        "CuPy is not installed",
        INSTALL,
    ),
    "no CuPy, new driver": (
        Facts((), 13_010, import_error="ModuleNotFoundError: cupy"),
        "CuPy is not installed",
        extras.install("cuda13"),
    ),
    "damaged CuPy": (
        replace(GOOD, import_error="ImportError: no symbol"),
        "CuPy cannot be imported: ImportError: no symbol",
        "pip install --force-reinstall 'cupy-cuda12x[ctk]'",
    ),
    "two builds": (
        replace(GOOD, packages=("cupy-cuda12x", "cupy-cuda13x")),
        "several builds of CuPy are installed, which overwrite each other's files: cupy-cuda12x cupy-cuda13x",
        f"pip uninstall -y cupy-cuda12x cupy-cuda13x && {INSTALL}",
    ),
    "the wrong build": (
        SWAPPED,
        "cupy-cuda13x computes with CUDA 13.2, and the NVIDIA driver offers CUDA 12.4 at most",
        f"pip uninstall -y cupy-cuda13x && {INSTALL}",
    ),
    "no device": (
        replace(GOOD, devices=0, refusal="CUDARuntimeError: cudaErrorNoDevice: no CUDA-capable device"),
        "the NVIDIA driver finds no device: CUDARuntimeError: cudaErrorNoDevice",
        "nvidia-smi tells",
    ),
    "a device that does not exist": (
        replace(GOOD, devices=0, visible="7"),
        "CUDA_VISIBLE_DEVICES='7' names no device of this machine",
        "nvidia-smi -L",
    ),
    "no compiler": (replace(GOOD, trial=NO_NVRTC), "compiler, headers or libraries are missing", INSTALL),
    "no headers": (replace(GOOD, trial=NO_HEADERS), "compiler, headers or libraries are missing", INSTALL),
    "no headers for CUDA 13": (
        replace(SWAPPED, driver=13_010, trial=NO_HEADERS),
        "compiler, headers or libraries are missing",
        extras.install("cuda13"),
    ),
    "no memory": (replace(GOOD, trial=FULL), "the memory of the device NVIDIA H100 is taken", "nvidia-smi"),
    "a device too old for CUDA 13": (
        replace(SWAPPED, driver=13_020, device="Tesla P100", capability=60),
        "the device Tesla P100 is too old for CUDA 13.2: its compute capability is 6.0, and 7.5 or newer",
        f"pip uninstall -y cupy-cuda13x && {INSTALL}",
    ),
    "a device too old": (
        replace(GOOD, device="Tesla K80", capability=37),
        "the device Tesla K80 is too old for CUDA 12.9: its compute capability is 3.7, and 5.0 or newer",
        "choose another backend: --backend numba",
    ),
    "something else": (
        replace(GOOD, trial="RuntimeError: how strange"),
        "a small computation on the device NVIDIA H100 failed: RuntimeError: how strange",
        "pip install --force-reinstall 'cupy-cuda12x[ctk]'",
    ),
}


@pytest.mark.parametrize("reason", REASONS)
def test_a_reason_is_named_with_its_fix(reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    facts, found, fix = REASONS[reason]
    monkeypatch.setattr(cuda_status, "read", lambda: facts)
    status = backends.status("cupy")
    assert not status.works
    assert found in status.detail
    assert status.fix.startswith(fix) or f": {fix}" in status.fix
    with pytest.raises(BackendError) as caught:
        backends.get("cupy")
    assert found in str(caught.value)
    assert fix in str(caught.value)


@pytest.mark.parametrize(
    "facts",
    [
        GOOD,
        replace(GOOD, driver=13_010),  # a driver runs what was built for an earlier CUDA
        replace(GOOD, driver=12_000),  # and for a later one of the same major version
        replace(GOOD, visible="1"),
        replace(GOOD, capability=60),  # a card of 2016
        replace(SWAPPED, driver=13_020, capability=75),
        replace(GOOD, packages=("cupy",)),
    ],
)
def test_what_works_is_left_alone(facts: Facts) -> None:
    assert cuda_status.diagnose(facts) is None


def test_what_works_is_summed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_status, "read", lambda: replace(GOOD, devices=2))
    status = backends.status("cupy")
    assert status.works
    assert status.detail == (
        "CuPy 14.2.0 with CUDA 12.9 on NVIDIA H100 (the first of 2); the driver offers CUDA 12.4"
    )


def test_the_extras_exist() -> None:
    offered = metadata.metadata(extras.DISTRIBUTION).get_all("Provides-Extra")
    assert offered is not None
    assert {cuda_status.extra_for(cuda) for cuda in (0, 12_090, 13_000)} <= set(offered)


@pytest.mark.parametrize("extra", ["cuda12", "cuda13"])
def test_the_extras_bring_a_cupy_that_keeps_compiled_templates_on_disk(extra: str) -> None:
    """An older one compiles them again in every process."""
    (wanted,) = [
        requirement
        for requirement in map(Requirement, metadata.requires(extras.DISTRIBUTION) or ())
        if requirement.marker and requirement.marker.evaluate({"extra": extra}) and "cupy" in requirement.name
    ]
    assert wanted.specifier.contains("14.2.0")
    assert not wanted.specifier.contains("14.1.1")


# --- looking ----------------------------------------------------------------------------------------------


def test_the_builds_that_are_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("cupy_cuda13x", "CuPy-cuda12x", "cupyx_helper", "numpy"):
        folder = tmp_path / f"{name}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\n")
    real = metadata.distributions
    monkeypatch.setattr(metadata, "distributions", lambda: real(path=[str(tmp_path)]))
    assert cuda_status.cupy_packages() == ("cupy-cuda12x", "cupy-cuda13x")


class Library:
    """A driver that offers CUDA 12.4."""

    def cuDriverGetVersion(self, place: Any) -> int:
        place._obj.value = 12_040
        return 0


def test_the_version_of_a_driver_and_of_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", lambda name: Library())
    assert cuda_status.driver_version() == 12_040
    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert cuda_status.driver_version() == 0


class Refused(Exception):
    pass


ABOUT = {"name": b"NVIDIA H100", "major": 9, "minor": 0, "uuid": bytes(16)}


def cupy_with(count: Any) -> SimpleNamespace:
    """So much of CuPy as `read` asks before anything is computed."""
    runtime = SimpleNamespace(
        runtimeGetVersion=lambda: 12_090,
        getDeviceCount=count,
        getDevice=lambda: 0,
        getDeviceProperties=lambda device: ABOUT,
        CUDARuntimeError=Refused,
    )
    return SimpleNamespace(__version__="14.2.0", cuda=SimpleNamespace(runtime=runtime))


def refuse() -> int:
    raise Refused("cudaErrorNoDevice:\n no CUDA-capable device is detected")


@pytest.mark.parametrize(
    ("module", "found"),
    [
        (cupy_with(lambda: 1), GOOD),
        (cupy_with(lambda: 0), replace(GOOD, devices=0, device="", capability=0)),
        (
            cupy_with(refuse),
            replace(
                GOOD,
                devices=0,
                device="",
                capability=0,
                refusal="Refused: cudaErrorNoDevice: no CUDA-capable device is detected",
            ),
        ),
        (
            None,
            Facts(
                ("cupy-cuda12x",),
                12_040,
                import_error="ModuleNotFoundError: import of cupy halted; None in sys.modules",
            ),
        ),
    ],
)
def test_the_facts_of_a_machine(module: Any, found: Facts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(cuda_status, "cupy_packages", lambda: ("cupy-cuda12x",))
    monkeypatch.setattr(cuda_status, "driver_version", lambda: 12_040)
    monkeypatch.setattr(cuda_status, "try_out", lambda: "")
    monkeypatch.setitem(sys.modules, "cupy", module)
    assert cuda_status.read.__wrapped__() == found


def test_without_a_driver_cupy_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_status, "driver_version", lambda: 0)
    monkeypatch.setitem(sys.modules, "cupy", None)
    facts = cuda_status.read.__wrapped__()
    assert not facts.import_error
    problem = cuda_status.diagnose(facts)
    assert problem is not None
    assert problem.found.startswith("no NVIDIA driver is found")


def test_the_facts_are_read_once() -> None:
    assert cuda_status.read() is cuda_status.read()


def test_on_a_device_that_is_too_old_nothing_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    def try_out() -> str:
        raise AssertionError("tried")

    monkeypatch.setattr(cuda_status, "cupy_packages", lambda: ("cupy-cuda12x",))
    monkeypatch.setattr(cuda_status, "driver_version", lambda: 12_040)
    monkeypatch.setattr(cuda_status, "try_out", try_out)
    monkeypatch.setitem(ABOUT, "major", 3)
    monkeypatch.setitem(sys.modules, "cupy", cupy_with(lambda: 1))
    assert cuda_status.read.__wrapped__().capability == 30


def test_a_trial_says_what_went_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise MemoryError("all taken")

    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(ones=full))
    assert cuda_status.try_out() == "MemoryError: all taken"


def test_this_machine() -> None:
    """In a process of its own, as a user asks: the words fit to what is here."""
    facts = cuda_status.read()
    code = "from tinynet import backends; print(backends.status('cupy'))"
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"COLUMNS": "200"}
    )
    assert said.returncode == 0, said.stderr
    assert f"works={cuda_status.diagnose(facts) is None}" in said.stdout
    assert ("no NVIDIA driver" in said.stdout) == (facts.driver == 0 and len(facts.packages) < 2)


@pytest.fixture
def two_devices(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done with the two devices of a machine, in order."""
    done: list[str] = []

    def try_out() -> str:
        done.append("compute")
        return ""

    module = cupy_with(lambda: 2)
    module.cuda.runtime.deviceGetPCIBusId = lambda device: f"0000:0{device}:00.0"
    module.cuda.Device = lambda n: SimpleNamespace(use=lambda: done.append(f"use {n}"))
    monkeypatch.setitem(sys.modules, "cupy", module)
    monkeypatch.setattr(cuda_status, "cupy_packages", lambda: ("cupy-cuda12x",))
    monkeypatch.setattr(cuda_status, "driver_version", lambda: 12_040)
    monkeypatch.setattr(cuda_status, "try_out", try_out)
    monkeypatch.setattr(cuda_status, "read", cuda_status.read.__wrapped__)
    return done


def test_each_process_has_a_device_and_computes_on_no_other(two_devices: list[str]) -> None:
    names = [backends.use_device("cupy", rank) for rank in range(3)]
    assert two_devices == ["use 0", "use 1", "use 0"]
    assert names[0] == names[2] != names[1]
    assert backends.status("cupy").works
    assert two_devices[3:] == ["compute"]


def test_what_cannot_compute_on_a_gpu_has_no_device(
    two_devices: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [backends.use_device(name, 1) for name in ("numpy", "auto", "nonsense", None)] == [""] * 4
    monkeypatch.setattr(cuda_status, "driver_version", lambda: 0)
    assert backends.use_device("cupy", 1) == ""
    assert not two_devices
