"""tinynet explain: why a trained model sees in an image what it sees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tinynet.cli import options
from tinynet.cli.command import Command
from tinynet.cli.out import Out


@click.command(cls=Command, short_help="Why does it see that?")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("image", type=click.Path(path_type=Path))
@click.option(
    "--index",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Which image, where IMAGE is a file of many.",
)
@click.option("--layer", help="Where Grad-CAM looks.  [default: the last convolution]")
@click.option(
    "--samples",
    type=click.IntRange(min=1),
    default=50,
    show_default=True,
    help="Noisy copies that SmoothGrad averages.",
)
@click.option(
    "--noise",
    type=options.Finite(min=0),
    default=0.15,
    show_default=True,
    help="SmoothGrad's noise, as a share of the image's range of values.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**64 - 1),
    default=0,
    show_default=True,
    help="Fixes SmoothGrad's noise.",
)
@click.option(
    "--out",
    type=Out(file_okay=False),
    help="Folder for the page and the pictures.  [default: explanation-1, -2, …]",
)
@options.together(options.own_dataset, options.data_dir, options.backend, options.layers, options.threads)
def command(
    run: Path,
    image: Path,
    index: int,
    layer: str | None,
    samples: int,
    noise: float,
    seed: int,
    out: Path | None,
    dataset: str | None,
    data_dir: Path | None,
    backend: str,
) -> None:
    """Explain what RUN, a run's folder or a safetensors file, sees in IMAGE: any file that predict takes.

    Draws which pixels matter (the gradient of the score, and SmoothGrad), where the evidence lies (Grad-CAM),
    what separates the best two classes, the first filters, and what every layer makes of the image.

    \b
    Examples:
      tinynet explain runs/cnn-1 my.png
      tinynet explain runs/cnn-1 test.csv --index 17 --out why-17
      tinynet explain runs/cnn-1 my.png --layer conv2d_1
    """

    from tinynet import checkpoint
    from tinynet.analysis import explain
    from tinynet.cli.progress import COMPILING
    from tinynet.cli.screen import console
    from tinynet.cli.sources import Sources
    from tinynet.data.class_folders import pictures_below
    from tinynet.data.images import read_images
    from tinynet.errors import DataError
    from tinynet.printable import quoted
    from tinynet.runs import folders, provenance
    from tinynet.runs.leakage import find_leakage, sentences
    from tinynet.runs.predictions import class_names

    if image.is_dir():
        raise DataError(
            f"{image} is a folder, and one image is explained at a time",
            expected="a file that tinynet predict takes",
            received="a folder",
            fix=f"name a picture in it: {quoted(pictures_below(image)[0])}",
        )

    def say_compiling(done: int, needed: int) -> None:
        model.backend.announce_compiling(None)  # once is enough
        console.print(COMPILING)

    model, loss, about = checkpoint.load_model(run, backend=backend)
    classes = class_names(about.get("classes", []), loss.classes(model.output_shape[-1]))
    images, reading = read_images(image, model.input_shape, bool(about.get("whole")))
    fitted = reading.fitted if reading else None
    if index >= len(images):
        raise DataError(
            f"{image} has no image {index}",
            expected=f"an index from 0 to {len(images) - 1}",
            received=index,
            fix="--index counts from 0",
        )
    model.backend.announce_compiling(say_compiling)
    found = explain.explain(model, loss, images[index], layer=layer, seed=seed, samples=samples, noise=noise)
    name = str(image) if fitted else f"{image} #{index}"
    if fitted:
        console.print(f"{image}: {fitted}")
    warning = reading.warning if reading else None
    if warning:
        console.print(f"{image}: {warning}; crop the picture to one of them")
    for sentence in explain.conclusions(found, classes, warning):
        console.print(sentence)
    about_image: dict[str, Any] = {"model": str(run), "image": name, "fitted": fitted, "warning": warning}
    if reading is None:
        sources, settings = Sources(dataset, data_dir), provenance.settings_of(run, about)
        leakage = find_leakage(images[index : index + 1], settings, sources.find)
        about_image["leakage"] = sentences(leakage.facts())
        console.print(about_image["leakage"], style="" if leakage.is_clean else "bold yellow")
    if out is None:
        with folders.take_next("explanation", Path()) as lock:
            out = lock.folder
    explain.write_explanation(out, found, classes, about_image)
    console.print(f"Page and pictures: {out / 'explanation.md'}")
