"""tinynet read: one equation and all the code that computes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tinynet.cli.command import Command

if TYPE_CHECKING:
    from rich.console import RenderableType

    from tinynet.codes import Code, Codes

HEADS = {
    "numpy": "NumPy: the reference",
    "numba": "Numba: compiled for the CPU",
    "cuda": "CUDA: for a GPU",
    "javascript": "JavaScript: in any browser",
}


@click.command(cls=Command, short_help="One equation, and all the code that computes it.")
@click.argument("name", required=False)
@click.option(
    "--only",
    type=click.Choice(list(HEADS)),
    help="Show the equation, the layer and this code of it alone.",
)
def command(name: str | None, only: str | None) -> None:
    """Show a layer, a loss, an optimiser or a schedule: its equation, and all the code that computes it.

    All is taken from the sources that run. Last come the commands that prove the codes right. Without NAME,
    list what can be read.

    \b
    Examples:
      tinynet read
      tinynet read conv2d
      tinynet read batchnorm --only cuda
      tinynet read maxpool2d --only javascript
      tinynet read adam > adam.txt
    """
    from tinynet import codes
    from tinynet.cli.screen import console

    shown = _page(codes.read(name), [only] if only else list(HEADS)) if name else _list()
    with console.capture() as capture:
        for part in shown:
            console.print(part)
    text = capture.get()
    if console.is_terminal and text.count("\n") >= console.height:
        click.echo_via_pager(text)
    else:
        click.echo(text, nl=False)


def _list() -> list[RenderableType]:
    """What can be read, each with the first line of its equation."""
    from rich.table import Table

    from tinynet import codes

    table = Table(title="tinynet read NAME", title_justify="left")
    table.add_column("kind")
    table.add_column("name", style="bold")
    table.add_column("equation")
    for kind, names in codes.names().items():
        for name in names:
            table.add_row(kind, name, codes.read(name).text.splitlines()[0].split("    ")[0])
        table.add_section()
    return [table]


def _page(codes: Codes, shown: list[str]) -> list[RenderableType]:
    from rich.text import Text

    parts: list[RenderableType] = [
        _head(f"{codes.name}, {_a(codes.kind)}", code_follows=False),
        Text(codes.text),
    ]
    parts += [_head(f"The {codes.kind} itself"), *_sources(codes.own)]
    for backend in [name for name in shown if name in codes.backends and codes.operations]:
        inherited = codes.inherited if backend == "numba" else ()
        parts += [_head(HEADS[backend]), *_sources(codes.backends[backend])]
        parts += [Text(f"\n{each}: NumPy's code, as it is") for each in inherited]
    if codes.kind != "schedule" and not codes.operations:
        parts += [Text("\nThis runs as it stands on every backend: on NumPy's arrays or on a GPU's.")]
    if "javascript" in shown and codes.javascript:
        parts += [_head(HEADS["javascript"]), *_sources(codes.javascript)]
    elif shown == ["javascript"]:
        parts += [Text("\nThere is no JavaScript of it: a page runs nets, it does not train them.")]
    proofs = [Text.assemble(f"{each.shows}:\n  ", (each.command, "bold")) for each in codes.proofs]
    return [*parts, _head("What proves it", code_follows=False), *proofs]


def _a(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def _head(title: str, *, code_follows: bool = True) -> RenderableType:
    from rich.padding import Padding
    from rich.rule import Rule
    from rich.text import Text

    from tinynet.cli.screen import console

    if not console.is_terminal:
        return Text(f"\n{title}\n{'=' * len(title)}\n")
    rule = Rule(Text(title, "bold"), align="left", characters="═", style="default")
    return Padding(rule, (1, 0, 0 if code_follows else 1, 0))


def _sources(codes: tuple[Code, ...]) -> list[RenderableType]:
    """Each piece, its file and line above it; on a terminal with colours and the numbers of its lines."""
    from rich.syntax import Syntax
    from rich.text import Text

    from tinynet.cli.screen import console
    from tinynet.cli.theme import THEME

    parts: list[RenderableType] = []
    file = ""
    for code in codes:
        if not console.is_terminal:
            parts.append(Text(f"{code.file}:{code.line}\n{code.text}"))
            continue
        if code.file != file:
            file = code.file
            parts.append(Text(f"\n{file}", "bold underline"))
        else:
            parts.append(Text())
        parts.append(
            Syntax(
                code.text.rstrip("\n"),
                code.language,
                theme=THEME,
                line_numbers=True,
                start_line=code.line,
                word_wrap=True,
                background_color="default",
            )
        )
    return parts
