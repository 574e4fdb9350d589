"""Time, size and answers of `tinynet export --to c` beside emlearn's C code, for one net: c_export.md.

    bench/peers/setup .peers emlearn
    python bench/c_export.py

One MLP is trained, and its weights are given to both. Each program is timed on this machine, one after
another in rounds; for a Cortex-M0 it is linked for a micro:bit, and QEMU counts instructions.
"""

from __future__ import annotations

import datetime
import os
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np

import tinynet as tn
from tinynet.data import Dataset, load
from tinynet.export.c import to_c
from tinynet.export.literals import array
from tinynet.io.atomic import write_atomic
from tinynet.io.markdown import markdown_table
from tinynet.machine import summary

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "c_export.md"
UNITS, ROUNDS, REPEATS = 64, 9, 5
HOST = ("gcc", "-std=c99", "-O2", "-w")
BOARD = (
    *("arm-none-eabi-gcc", "-mcpu=cortex-m0", "-mthumb", "-std=gnu99", "-O2", "-w", "-nostartfiles"),
    *("-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections", "--specs=nano.specs"),
)
QEMU = (
    *(
        "qemu-system-arm",
        "-M",
        "microbit",
        "-icount",
        "shift=0",
        "-display",
        "none",
        "-chardev",
        "stdio,id=said",
    ),
    *("-semihosting-config", "enable=on,target=native,chardev=said", "-kernel"),
)
TICK = 1000 / 16
"""Instructions in a tick of 16 MHz, where an instruction takes 1 ns."""


@dataclass
class Contender:
    """A header and the file that calls it; what was found."""

    name: str
    header: str
    caller: str
    times: list[float] = field(default_factory=list)
    """Nanoseconds an answer, one for each round."""
    answers: list[int] = field(default_factory=list)
    flash: int = 0
    ram: int = 0
    instructions: float = 0.0
    board_answers: list[int] = field(default_factory=list)


@click.command()
@click.option(
    "--peers", type=click.Path(path_type=Path), default=Path(os.environ.get("TINYNET_PEERS", ".peers"))
)
@click.option("--dataset", default="mnist", show_default=True, help="mnist or sample.")
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS, help="The file to write.")
def main(peers: Path, dataset: str, out: Path) -> None:
    """Write bench/results/c_export.md."""
    data = load(dataset)
    model = trained(data)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        contenders, version, include = made(model, data, peers, folder)
        (folder / "images").write_bytes(data.test.images[:1000].tobytes())
        for contender in contenders:
            build(contender, folder, include, data)
        for _ in range(ROUNDS):
            for contender in contenders:
                take_turn(contender, folder)
    labels = data.test.labels[:1000]
    write_atomic(out, as_markdown(contenders, labels, data.name, version).encode())


def trained(data: Dataset) -> tn.Sequential:
    """One hidden layer, the kind of net that both can take."""
    model = tn.Sequential(
        [tn.Rescale(), tn.Flatten(), tn.Dense(UNITS), tn.ReLU(), tn.Dense(len(data.classes))],
        data.train.images.shape[1:],
        backend="numpy",
    )
    tn.Trainer(model, (data.train.images, data.train.labels), epochs=5, optimizer=tn.Adam(1e-3)).run()
    return model


def made(model: tn.Sequential, data: Dataset, peers: Path, folder: Path) -> tuple[list[Contender], str, str]:
    """The headers of both, the version of emlearn, and the folder of its own headers."""
    samples, calibration = data.test.images, data.train.images[:: len(data.train) // 256]
    loss = tn.SoftmaxCrossEntropy()
    ours = [
        Contender(f"tinynet {kind}", to_c(model, loss, samples=samples, calibration=chosen).text, "ours.c")
        for kind, chosen in (("float32", None), ("int8", calibration))
    ]
    views = model.store.values.views
    np.savez(folder / "weights.npz", **{f"{n}{i}": views[f"dense_{i}.{n}"] for n in "Wb" for i in (1, 2)})
    python = (peers / "emlearn" / "bin" / "python").absolute()
    said = ran([python, HERE / "peers" / "emlearn_.py", "weights.npz", "."], folder).split()
    theirs = [
        Contender(f"emlearn float32, {name}", (folder / f"{name}.h").read_text(), "emlearn.c")
        for name in ("loadable", "inline")
    ]
    return [*ours, *theirs], said[-2], said[-1]


def build(contender: Contender, folder: Path, include: str, data: Dataset) -> None:
    """The program for this machine and, where its compiler is there, the one for a micro:bit."""
    place = folder / contender.name.replace(" ", "_").replace(",", "")
    place.mkdir()
    (place / "net.h").write_text(contender.header)
    sources = [str(HERE / "c" / contender.caller), f"-I{place}", f"-I{include}"]
    ran([*HOST, *sources, str(HERE / "c" / "clock.c"), "-o", place / "host", "-lm"], place)
    if shutil.which(BOARD[0]) is None:
        return
    images = data.test.images[:3]
    given = array("images", images).replace("static const", "extern const uint8_t images[];\nconst")
    constants = f"const int image_count = {len(images)}, image_size = {images[0].size};\n"
    head = "#include <stdint.h>\nextern const int image_count, image_size;\n"
    (place / "images.c").write_text(head + given + constants)
    start = [str(HERE / "c" / "cortex_m0.c"), "-T", str(HERE / "c" / "cortex_m0.ld"), "images.c"]
    ran([*BOARD, *start, *sources, "-o", "board", "-lm"], place)
    lines = (line.split() for line in ran(["arm-none-eabi-size", "-A", "board"], place).splitlines())
    sizes = {line[0]: int(line[1]) for line in lines if len(line) == 3 and line[0].startswith(".")}
    contender.flash = sizes[".text"] + sizes.get(".data", 0) - images.nbytes
    contender.ram = sizes.get(".bss", 0) + sizes.get(".data", 0)
    if shutil.which(QEMU[0]):
        said = [line.split() for line in ran([*QEMU, "board"], place).splitlines()]
        contender.board_answers = [int(answer) for answer, _ in said]
        contender.instructions = TICK * statistics.mean(int(ticks) for _, ticks in said)


def take_turn(contender: Contender, folder: Path) -> None:
    place = folder / contender.name.replace(" ", "_").replace(",", "")
    said = ran([place / "host", str(REPEATS)], place, (folder / "images").read_bytes()).split()
    contender.answers = [int(each) for each in said[:-1]]
    contender.times.append(float(said[-1]))


def ran(command: Sequence[Any], folder: Path, given: bytes = b"") -> str:
    """What a program says; an error with its words where it fails."""
    done = subprocess.run([*map(str, command)], cwd=folder, input=given, capture_output=True, timeout=300)
    if done.returncode:
        raise click.ClickException(f"{command[0]}: {done.stderr.decode(errors='replace')[-2000:]}")
    return done.stdout.decode()


def as_markdown(contenders: list[Contender], labels: Any, data: str, version: str) -> str:
    rows = [
        [
            each.name,
            f"{int((np.array(each.answers) == labels).sum()):,}",
            f"{statistics.median(each.times) / 1000:.1f}",
            f"{each.instructions / 1e6:.2f}" if each.instructions else "",
            *(f"{size:,}" if size else "" for size in (each.flash, each.ram)),
        ]
        for each in contenders
    ]
    head = [
        "C code of",
        f"right of {len(labels):,}",
        "µs an image, this machine",
        "million instructions an image, Cortex-M0",
        "flash, bytes",
        "RAM, bytes",
    ]
    blocks = [
        "# One net as C code, tinynet's and emlearn's",
        f"`python bench/c_export.py`, {datetime.date.today()}, on {summary()}; emlearn {version}.",
        f"An MLP of 784, {UNITS} (ReLU) and 10 units, trained for 5 epochs on {data}; both have its weights.",
        markdown_table(head, rows),
        "emlearn takes a float for each pixel, made by the caller (part of what is measured); tinynet takes"
        " the bytes. Its softmax is computed for every answer, tinynet's only if probabilities are asked for."
        " Ours skips inputs of 0, which most pixels of a digit are, in float32. emlearn has fixed-point code"
        ' for nets, too, but its sums are not written yet (`eml_net_fixedpoint.h`: "FIXME: implement").',
        f"This machine: `{' '.join(HOST[:3])}`, one thread, the median of {ROUNDS} rounds in turn. Cortex-M0:"
        " `-O2`, linked with newlib-nano for a micro:bit, with the same start-up code; QEMU counts"
        " instructions, the mean of three images. RAM is without the stack.",
    ]
    return "\n\n".join(blocks) + "\n"


if __name__ == "__main__":
    main()
