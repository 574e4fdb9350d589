"""tinynet export: a net in the formats of other programs, or as a page on which to draw."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from tinynet.cli import options
from tinynet.cli.command import Command, is_same_file
from tinynet.cli.out import Out

if TYPE_CHECKING:
    from tinynet.cli.sources import Sources


class Asked(NamedTuple):
    """What the command line asks for."""

    run: Path | None
    """The net that comes with tinynet, where it is None."""
    float32: bool
    logits: bool
    sources: Sources
    backend: str
    int8: bool = False
    name: str = "net"
    """The stem of the file that is written."""


class Format(NamedTuple):
    """What `--to` names: the file that is written unless -o says another, how, and the options it takes."""

    file: str
    write: Callable[[Asked], tuple[bytes, str]]
    """The file's bytes, and what is said of them."""
    options: tuple[str, ...] = ()


def _html(asked: Asked) -> tuple[bytes, str]:
    from tinynet.analysis.card import as_markdown
    from tinynet.cli.page import default, of_run
    from tinynet.page import build

    page = of_run(asked.run, asked.backend, asked.sources) if asked.run else default(asked.backend)
    model, loss, _ = page.loaded
    card = as_markdown(page.card)
    text = build(
        model, page.about, page.classes, card, loss=loss, float16=not asked.float32, whole=page.whole
    )
    return text.encode(), f"weights in {32 if asked.float32 else 16} bits. {page.remark(asked.float32)}"


def _onnx(asked: Asked) -> tuple[bytes, str]:
    from tinynet import extras
    from tinynet.export.onnx import to_onnx

    onnx = extras.load("onnx")
    net = _net(asked.run)
    data = to_onnx(net.model, net.loss, classes=net.classes, logits=asked.logits, about=net.about)
    file = onnx.load_from_string(data)
    (taken,), (given,) = file.graph.input, file.graph.output
    return data, (
        f"opset {file.opset_import[0].version}. Input `{taken.name}`: float32 {_sizes(taken)},"
        f" as tinynet takes it. Output `{given.name}`: {_sizes(given)}."
    )


def _sizes(value: Any) -> str:
    """The shape of an ONNX graph's input or output: (batch, 28, 28, 1)."""
    sizes = (size.dim_param or str(size.dim_value) for size in value.type.tensor_type.shape.dim)
    return f"({', '.join(sizes)})"


def _npz(asked: Asked) -> tuple[bytes, str]:
    from tinynet.export.npz import to_npz

    net = _net(asked.run)
    data = to_npz(net.model, classes=net.classes, about=net.about)
    count = len(net.model.store.values.views) + len(net.model.store.state.views)
    return data, f"{count} tensors by name, and the layers as JSON in `net`."


def _c(asked: Asked) -> tuple[bytes, str]:
    from tinynet.cli.c import header_of

    net = _net(asked.run)
    text, remark = header_of(asked.run, asked.sources, asked.name, net.classes, net.about, int8=asked.int8)
    return text.encode(), remark


FORMATS = {
    "html": Format("digits.html", _html, ("float32",)),
    "onnx": Format("net.onnx", _onnx, ("logits",)),
    "npz": Format("net.npz", _npz),
    "c": Format("net.h", _c, ("int8",)),
}


@click.command(cls=Command, short_help="Your net for other programs, or as a page on which to draw.")
@click.argument("run", required=False, type=click.Path(path_type=Path))
@click.option(
    "--to",
    "kind",
    type=click.Choice([*FORMATS]),
    help="html: a page on which to draw. onnx: for ONNX Runtime and others. npz: plain arrays. "
    "c: a header of C99, for a microcontroller.  [default: what the ending of -o says, else html]",
)
@click.option(
    "-o",
    "--out",
    type=Out(dir_okay=False, in_folder=True),
    help="The file to write.  [default: digits.html, or net.onnx, net.npz, net.h]",
)
@click.option("--float32", is_flag=True, help="html: weights in 32 bits, not in 16: larger, and not rounded.")
@click.option("--logits", is_flag=True, help="onnx: the net's own outputs instead of probabilities.")
@click.option("--int8", is_flag=True, help="c: 8 bits instead of floats, calibrated with training images.")
@options.together(
    options.measured_dataset, options.data_dir, options.backend, options.layers, options.threads
)
def command(
    run: Path | None,
    kind: str | None,
    out: Path | None,
    float32: bool,
    logits: bool,
    int8: bool,
    dataset: str | None,
    data_dir: Path | None,
    backend: str,
) -> None:
    """Write RUN, a run's folder or a safetensors file, for other programs: pages, ONNX, plain arrays, C.

    The names in a C header begin with the file's: digits.h has digits_run(), digits_best(), DIGITS_INPUTS.

    The page works without a network, in any browser, from the disk or any web host: draw a digit, by mouse,
    finger, pen or keyboard, and see the answer, every layer, and why. It has RUN's card (`tinynet card`),
    measured on its data where they are found. Without RUN it is the net that comes with tinynet, small and
    trained for drawings.

    \b
    Examples:
      tinynet export --to html -o digits.html
      tinynet export runs/best-1 --to html -o best.html
      tinynet export runs/cnn-1 -o net.onnx
      tinynet export runs/cnn-1 --to npz
      tinynet export runs/cnn-1 --to c --int8 -o digits.h
    """
    from tinynet.cli.screen import console
    from tinynet.cli.sources import Sources
    from tinynet.io.atomic import write_atomic

    kind = _kind_of(out, kind)
    form = FORMATS[kind]
    given = {"float32": float32, "logits": logits, "int8": int8}
    for name, other in ((name, other) for other, each in FORMATS.items() for name in each.options):
        if given[name] and name not in form.options:
            raise click.UsageError(f"--{name} is for --to {other}, not for --to {kind}.")
    out = out or Path(form.file)
    if is_same_file(out, run):
        raise click.UsageError(f"{out} is the net itself: name another file with -o.")
    sources = Sources(dataset, data_dir)
    data, remark = form.write(Asked(run, float32, logits, sources, backend, int8, out.stem))
    write_atomic(out, data)
    console.print(f"{out}: {len(data) / 1e6:.2f} MB, {remark}")


def _kind_of(out: Path | None, asked: str | None) -> str:
    """What to write: as asked, or by the ending of `out`; an ending of something else is refused."""
    ending = out.suffix.lower() if out else ""
    if not ending:
        return asked or "html"
    by_ending = {Path(form.file).suffix: kind for kind, form in FORMATS.items()} | {".htm": "html"}
    kind = asked or by_ending.get(ending)
    if kind is None:
        raise click.UsageError(f"the ending of {out} is of no format: end it in {', '.join(by_ending)}.")
    if by_ending.get(ending) != kind:
        other = f", or say --to {by_ending[ending]}" if ending in by_ending else ""
        own = Path(FORMATS[kind].file).suffix
        raise click.UsageError(f"{out} is no name for --to {kind}: end it in {own}{other}.")
    return kind


class Net(NamedTuple):
    """A net on the host, and what a file may say of it."""

    model: Any
    loss: Any
    classes: list[str]
    about: dict[str, Any]


def _net(run: Path | None) -> Net:
    """The net in a run's folder or a safetensors file, or the one that comes with tinynet."""
    from tinynet import checkpoint
    from tinynet.page import default
    from tinynet.runs.predictions import class_names

    loaded = checkpoint.load_model(run, backend="numpy") if run else default.load("numpy")
    names = class_names(loaded.about.get("classes", []), loaded.loss.classes(loaded.model.output_shape[-1]))
    about = {key: loaded.about[key] for key in ("name", "dataset", "data_sha256") if loaded.about.get(key)}
    return Net(loaded.model, loaded.loss, names, about)
