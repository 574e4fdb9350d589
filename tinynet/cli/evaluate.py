"""tinynet evaluate: how good a trained model is on a data set, class by class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tinynet.cli import options
from tinynet.cli.command import Command
from tinynet.cli.out import Out
from tinynet.printable import counted


@click.command(cls=Command, short_help="How good is a net, and where is it wrong?")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=Out(file_okay=False, is_own=True),
    help="Write all figures (JSON), a page (Markdown), each image's prediction (CSV) and the plots into this "
    "folder.",
)
@click.option(
    "--mistakes",
    type=Out(dir_okay=False, is_picture=True),
    help="Draw the most confident mistakes here, .png or .svg.",
)
@options.together(
    options.split,
    options.shifts,
    options.measured_dataset,
    options.data_dir,
    options.skip_broken,
    options.backend,
    options.layers,
    options.threads,
)
def command(
    run: Path,
    split: str,
    out: Path | None,
    mistakes: Path | None,
    shifts: int,
    dataset: str | None,
    data_dir: Path | None,
    skip_broken: bool,
    backend: str,
) -> None:
    """Evaluate RUN, a run's folder or a safetensors file, class by class.

    Of each class: precision, recall, F1, and the areas under its ROC and precision-recall curves against the
    rest. --out draws those curves, the confusion matrix, a reliability diagram and the worst mistakes.

    The images are those of RUN's own data set unless --dataset names others. How many of them RUN was trained
    on, or a run whose weights it started from, is said beside the figures.

    Pictures of your own lie in FOLDER/daisy, FOLDER/tulip …, or in FOLDER/train/daisy and FOLDER/test/daisy.
    Without `test`, a fifth of each class is the test part, and the others count as training images.

    \b
    Examples:
      tinynet evaluate runs/cnn-1
      tinynet evaluate runs/cnn-1 --out evaluation
      tinynet evaluate runs/cnn-1 --tta 1
      tinynet evaluate runs/flowers --dataset unseen-flowers --split all
      tinynet evaluate runs/clothes/best.safetensors --dataset fashion-mnist
      tinynet evaluate runs/cnn-1 --mistakes mistakes.png
    """
    import numpy as np
    from rich.table import Table

    from tinynet import checkpoint
    from tinynet.analysis import evaluation, shifting
    from tinynet.cli.progress import say_other_data
    from tinynet.cli.screen import console
    from tinynet.cli.sources import Sources
    from tinynet.errors import ConfigError
    from tinynet.losses import BinaryCrossEntropy
    from tinynet.runs import provenance
    from tinynet.runs.leakage import find_leakage, sentences
    from tinynet.runs.predictions import class_names, predict, write_predictions

    loaded = checkpoint.load_model(run, backend=backend)
    model, loss, about = loaded
    if isinstance(loss, BinaryCrossEntropy) and model.output_shape != (1,):
        raise ConfigError(
            f"{run} answers several questions by yes or no, and a data set has one class for each image",
            expected="a net with an output for each class, or with a single one",
            received=f"{counted(model.output_shape[-1], 'output')} of BinaryCrossEntropy",
            fix="measure it in Python: model.evaluate(x, y), with y (N, K)",
        )
    sources, settings = Sources(dataset, data_dir, skip_broken), provenance.settings_of(run, about)
    data, part, said = sources.to_test(settings, loaded, split)
    images, labels = part.images, part.labels
    say_other_data(about, data)
    if said:
        console.print(said)
    predictions = predict(model, loss, images, shifts=shifts)
    probabilities = predictions.probabilities
    classes = class_names(data.classes, loss.classes(model.output_shape[-1]))
    found = evaluation.figures(labels, probabilities, classes)

    leakage = find_leakage(images, settings, sources.find)
    what = options.measured(len(labels), split, data.name, shifts)
    table = Table(title=f"{run} on {what}")
    for column in evaluation.CLASS_COLUMNS:
        table.add_column(column, justify="left" if column == "class" else "right")
    for position, row in enumerate(evaluation.class_table(found), start=1):
        table.add_row(*row, end_section=position == len(classes))
    console.print(table)
    examples = ", ".join(map(_say, found["first"]))
    console.print(f"The first {len(found['first'])} images, label and prediction: {examples}")
    console.print(
        f"accuracy {100 * found['accuracy']:.2f} % ({found['errors']} wrong; 95 % interval "
        f"{evaluation.interval(found)}), macro F1 {found['macro_f1']:.4f}, "
        f"calibration error {100 * found['calibration']['expected_calibration_error']:.2f} %"
    )
    if found["errors"]:
        confusion = found["confusion"] * (1 - np.eye(len(classes), dtype=int))
        label, predicted = np.unravel_index(confusion.argmax(), confusion.shape)
        times = int(confusion[label, predicted])
        hint = "" if out or mistakes else " To see the mistakes: --out FOLDER."
        console.print(
            f"Most confused: {classes[label]} taken for {classes[predicted]}"
            f" ({counted(times, 'time')}).{hint}"
        )
    met = sentences(leakage.facts())
    console.print(met, style="" if leakage.is_clean else "bold yellow")
    about = {"model": str(run), "data": what, "leakage": leakage.facts()}
    remarks = [f"{said} {met}".strip()]
    if predictions.unshifted is not None:
        gain = shifting.gain(labels, probabilities, predictions.unshifted)
        about["tta"] = {"pixels": shifts, **gain}
        remarks.append(shifting.sentence(gain, shifts))
        console.print(remarks[-1])
    if out:
        evaluation.write_evaluation(
            out,
            images=images,
            labels=labels,
            probabilities=probabilities,
            classes=classes,
            about=about,
            remarks=remarks,
        )
        write_predictions(out / "evaluation.csv", part, predictions, classes)
        console.print(f"Figures, page and plots: {out / 'evaluation.md'}")
        console.print(f"The prediction for each image: {out / 'evaluation.csv'}")
    if mistakes and found["errors"]:
        evaluation.draw_mistakes(images, labels, probabilities, classes, mistakes)
        console.print(f"Mistakes drawn in {mistakes}")
    elif mistakes:
        console.print("No mistakes to draw.")


def _say(first: dict[str, Any]) -> str:
    return f"{first['label']} as {first['predicted']} ({100 * first['confidence']:.1f} %)"
