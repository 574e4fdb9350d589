"""tinynet warmup: compile the kernels before they are needed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from tinynet.cli import options
from tinynet.cli.command import Command
from tinynet.cli.folders import KERNEL_CACHE_FIX, kernel_cache_contents, writable

if TYPE_CHECKING:
    from tinynet.backends.base import Backend
    from tinynet.experiments.warmup import Job


@click.command(cls=Command, short_help="Compile kernels ahead of the first training.")
@click.argument("architectures", metavar="[ARCHITECTURE]...", nargs=-1)
@options.dtype
@options.together(options.backend, options.layers)
def command(architectures: tuple[str, ...], dtype: str, backend: str) -> None:
    """Compile the kernels that training and prediction with an ARCHITECTURE need, and cache them on disk.

    An ARCHITECTURE is a name or a TOML file, as for `tinynet train`; all the named ones by default. The first
    training then starts at once. Kernels that are compiled already are kept.

    \b
    Examples:
      tinynet warmup
      tinynet warmup cnn mlp
      tinynet warmup my.toml --dtype float64
    """
    from tinynet import backends
    from tinynet.cli.screen import console
    from tinynet.errors import BackendError
    from tinynet.experiments import warmup
    from tinynet.runs import recipe

    recipes = {name: recipe.load(name) for name in architectures or recipe.names()}
    ops = backends.get(backend)
    if reason := _why_nothing(ops):
        console.print(f"Nothing to compile: {reason}.")
        return

    from tinynet.kernels.cpu import cache_folder

    works, found, fix = writable(cache_folder.current(), KERNEL_CACHE_FIX)
    if not works:
        raise BackendError("compiled kernels cannot be kept", received=found, fix=fix)
    began = time.perf_counter()
    compiled = _compile({name: warmup.steps(chosen, ops, dtype) for name, chosen in recipes.items()}, ops)
    seconds = time.perf_counter() - began
    console.print(
        f"{_kernels(compiled)} compiled in {seconds:.1f} s." if compiled else "Nothing was left to compile.",
        style="bold green",
    )
    console.print(f"Kernel cache: {cache_folder.current()}, {kernel_cache_contents()}.", soft_wrap=True)


def _why_nothing(ops: Backend) -> str:
    """Why this backend has no kernels to compile; "" if it has."""
    if ops.name != "numba":
        return f"the {ops.name} backend has no compiled kernels on disk"
    from tinynet.kernels.cpu import compiling

    if not compiling.HAS_CACHE:
        return "Numba keeps its own files, and does not tell which are missing"
    return "NUMBA_DISABLE_JIT is set" if compiling.is_disabled() else ""


def _compile(plan: dict[str, list[Job]], ops: Backend) -> int:
    """Do all steps of all recipes behind a progress bar, with a line for each recipe; count the kernels."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn

    from tinynet.cli.progress import bar_of
    from tinynet.cli.screen import console
    from tinynet.kernels.cpu import cache_folder

    bar = bar_of(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[compiled]} compiled"),
    )
    task = bar.add_task("", total=sum(map(len, plan.values())), compiled=_kernels(0))
    at_first, compiled = cache_folder.contents()[0], 0

    def count(done: int = 0, needed: int = 0) -> None:
        nonlocal compiled
        compiled = cache_folder.contents()[0] - at_first  # whichever process has compiled them
        bar.update(task, compiled=_kernels(compiled))

    ops.announce_compiling(count)
    together = ops.compiling_together(*(do for steps in plan.values() for _, do in steps))
    try:
        with bar, together:
            for name, steps in plan.items():
                before, start = compiled, time.perf_counter()
                for what, do in steps:
                    bar.update(task, description=f"{name}: {what}")
                    do()
                    bar.advance(task)
                seconds = time.perf_counter() - start
                count()
                console.print(f"{name}: {_kernels(compiled - before)} compiled, {seconds:.1f} s")
    finally:
        ops.announce_compiling(None)
    return compiled


def _kernels(count: int) -> str:
    return f"{count} kernel{'' if count == 1 else 's'}"
