"""tinynet serve: a trained net behind HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tinynet.cli import options
from tinynet.cli.command import Command

if TYPE_CHECKING:
    from tinynet.serve.models import Served

TOKEN = "TINYNET_SERVE_TOKEN"
LONGEST_TOKEN = 4096


@click.command(cls=Command, short_help="A page and an HTTP service for a net.")
@click.argument("runs", metavar="RUN [RUN]...", nargs=-1, required=True)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; 0.0.0.0 lets other machines in.",
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0: any free one."
)
@click.option(
    "--allow-host",
    "hosts",
    multiple=True,
    metavar="NAME",
    help="A host name that requests may be for, besides localhost and addresses of numbers; '*': any.",
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help=f"Ask for the bearer token in this file, or in {TOKEN}.  [default: ask for none]",
)
@click.option(
    "--check", is_flag=True, help="Get ready, which compiles all that is missing, and end: for images."
)
@options.together(options.backend, options.layers, options.threads)
def command(
    runs: tuple[str, ...],
    host: str,
    port: int,
    hosts: tuple[str, ...],
    token_file: Path | None,
    check: bool,
    backend: str,
) -> None:
    """Serve RUN, a run's folder or a safetensors file: the page at /, and what programs ask at /docs.

    Several nets are served by the names of their folders, or by names of yours: NAME=RUN. The first is the
    one that answers where none is named. Ctrl-C ends it.

    \b
    Examples:
      tinynet serve runs/cnn-1
      tinynet serve runs/cnn-1 fashion=runs/cnn-2 --port 9000
      tinynet serve runs/cnn-1 --host 0.0.0.0 --token-file token.txt
      tinynet serve runs/cnn-1 --check
    """
    import os

    from tinynet import extras
    from tinynet.cli.screen import console

    extras.load("serve")
    from tinynet.serve import models, server
    from tinynet.serve.app import application
    from tinynet.serve.service import Service

    token = _token(token_file, os.environ.get(TOKEN))
    bound = server.bind(host, port)
    with bound:
        served = models.load(runs, backend)
        service = Service(served, on_failure=lambda: process.end())
        process = server.Server(application(service, hosts=hosts, token=token, page=_page), service)
        address = f"http://{'[' + host + ']' if ':' in host else host}:{bound.getsockname()[1]}"
        console.print(
            f"{', '.join(served)} at {address}   (what programs can ask: {address}/docs)", soft_wrap=True
        )
        for each in served.values():
            if not each.is_grey:
                shape = " × ".join(map(str, each.shape))
                console.print(f"{each.name} takes {shape} pixels in colour: no pictures and no strokes.")
        if not token and not _is_loopback(host):
            console.print(
                f"Anybody who can reach {host} can ask: --token-file asks them for a token.", style="yellow"
            )
        if check:
            service.check()
        else:
            process.run(sockets=[bound])
    if service.engine.failure is not None:
        raise service.engine.failure
    if check:
        console.print("Ready.")


def _token(file: Path | None, variable: str | None) -> str | None:
    """The token in the file, or in the environment's variable; None where there is none. ConfigError."""
    from tinynet.errors import ConfigError

    place = file or TOKEN
    if file is not None:
        with open(file, "rb") as stream:  # a pipe of the shell's, too
            held = stream.read(LONGEST_TOKEN + 1)
    elif variable is not None:
        held = variable.encode(errors="surrogateescape")
    else:
        return None
    if not (token := held.strip()):
        raise ConfigError(f"{place} holds no token", fix="write one line into it, or do not name it")
    if len(held) > LONGEST_TOKEN or not all(0x20 <= byte < 0x7F for byte in token):
        raise ConfigError(
            f"what {place} holds cannot be sent in a header",
            expected=f"one line of printable ASCII, of at most {LONGEST_TOKEN:,} characters",
        )
    return token.decode()


def _is_loopback(host: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _page(served: Served) -> str:
    """The page of a net, with what its run says of it."""
    from tinynet.page.build import build

    return build(served.model, _facts(served), served.classes, loss=served.loss)


def _facts(served: Served) -> dict[str, str]:
    """What the page says of the net."""
    from tinynet.io.markdown import count, percent

    known = served.describe()
    facts = {"net": served.name}
    if known["dataset"]:
        facts["data set"] = known["dataset"]
    if test := known["test"]:
        low, high = map(percent, test["interval"])
        facts["test images right"] = f"{percent(test['accuracy'])} of {count(test['samples'])}"
        facts["95 % interval"] = f"{low} to {high}"
    return facts
