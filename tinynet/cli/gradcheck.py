"""tinynet gradcheck: every backward against central differences."""

from __future__ import annotations

import sys

import click

from tinynet.cli import options
from tinynet.cli.command import Command


@click.command(cls=Command, short_help="Every gradient against central differences.")
@click.option("--layer", help="Check this alone: a layer, a loss or a model, as the table names it.")
@options.together(options.backend, options.seed)
def command(layer: str | None, backend: str, seed: int) -> None:
    """Compare every hand-written gradient with central differences in float64; exit 1 if one is wrong.

    \b
    Examples:
      tinynet gradcheck
      tinynet gradcheck --backend numba --layer Conv2D
    """
    from rich.progress import track
    from rich.table import Table
    from rich.text import Text

    from tinynet import backends
    from tinynet.cli.screen import console
    from tinynet.errors import ConfigError
    from tinynet.gradcheck import cases

    if layer is not None and layer not in cases.NAMES:
        raise ConfigError(
            "nothing of that name to check", expected=", ".join(cases.NAMES), received=repr(layer)
        )
    ops = backends.get(backend)
    names = [layer] if layer else list(cases.NAMES)
    shown = track(names, "checking", console=console, transient=True, disable=not console.is_terminal)
    checks = [check for name in shown for check in cases.run(name, ops, seed)]

    table = Table(title=f"Gradient check, {ops.name} backend, float64")
    table.add_column("layer")
    table.add_column("quantity")
    table.add_column("largest relative error", justify="right")
    table.add_column("verdict")
    for check in checks:
        verdict = Text("ok", "green") if check.passed else Text("WRONG", "bold red")
        table.add_row(check.subject, f"∂L/∂{check.quantity}", f"{check.error:.1e}", verdict)
    console.print(table)
    wrong = [check for check in checks if not check.passed]
    worst = max(check.error for check in checks)
    console.print(f"{len(checks) - len(wrong)} of {len(checks)} gradients right, largest error {worst:.1e}")
    sys.exit(1 if wrong else 0)
