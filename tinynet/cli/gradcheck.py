"""tinynet gradcheck: every backward against central differences."""

from __future__ import annotations

import math
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
    from rich.table import Table
    from rich.text import Text

    from tinynet import backends
    from tinynet.cli.progress import COMPILING, steps
    from tinynet.cli.screen import console
    from tinynet.errors import ConfigError, did_you_mean
    from tinynet.gradcheck import cases
    from tinynet.gradcheck.check import TOLERANCE

    if layer is not None and layer not in cases.NAMES:
        raise ConfigError(
            "nothing of that name to check",
            expected=", ".join(cases.NAMES),
            received=repr(layer),
            fix=did_you_mean(layer, cases.NAMES),
        )
    ops = backends.get(backend)
    names = [layer] if layer else list(cases.NAMES)

    def say_compiling(done: int, needed: int) -> None:
        ops.announce_compiling(None)  # once is enough
        console.print(COMPILING)

    ops.announce_compiling(say_compiling)
    checks = [check for name in steps(names, "checking") for check in cases.run(name, ops, seed)]
    ops.announce_compiling(None)

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
    for check in wrong:
        console.print("\n    ".join([f"WRONG: {check.subject}, ∂L/∂{check.quantity}", *check.explanation]))
    worst = max((check.error for check in checks), key=lambda error: (math.isnan(error), error))
    console.print(f"{len(checks) - len(wrong)} of {len(checks)} gradients right, largest error {worst:.1e}")
    console.print(
        f"The limit is {TOLERANCE:.0e}. Errors below it come from rounding and from the difference's step,"
        " not from the gradient."
    )
    sys.exit(1 if wrong else 0)
