"""A model card: how good a net is, on whose data, for whom less so, and what it must not be used for.

(Mitchell et al., "Model cards for model reporting", FAT* 2019.) `card` computes one from a net's predictions.
It is plain values, which a page shows and `as_markdown` prints: a title, sections of sentences and a table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinynet import metrics
from tinynet.analysis import handwriting
from tinynet.analysis.evaluation import class_figures
from tinynet.io.markdown import count, markdown_table, page, percent, plain
from tinynet.types import Array

NOT_SURE = 0.9
"""An answer less probable than this is none: `tinynet predict`, the page and the service say "not sure". Of
MNIST's test images, 41 of the 51 that `cnn` gets wrong are below, and 134 of the 9,949 that it gets right
(bench/results/pictures.md)."""
SHARES = (0.0, 0.05, 0.25, 0.75, 0.95, 1.0)
"""Where the images, in order of a measure, are cut into slices: the extremes are small ones."""
DIGITS = [str(digit) for digit in range(10)]


@dataclass(frozen=True)
class Measure:
    """Something by which images of digits differ."""

    name: str
    unit: str
    definition: str
    of: Callable[[Array], Array]


MEASURES = (
    Measure(
        "Stroke thickness",
        "pixels",
        "Twice the ink's area over the length of its outline, which is the sum of the grey levels'"
        " gradients.",
        handwriting.thickness,
    ),
    Measure(
        "Slant",
        "degrees",
        "The shear that makes the image's mixed second moment zero; to the right is positive.",
        handwriting.slant,
    ),
    Measure(
        "Size",
        "square pixels",
        "The area of the box around the pixels that are at least half as dark as black. The longer side of"
        " MNIST's boxes is 20 pixels.",
        handwriting.extent,
    ),
)
MNIST_WRITERS = (
    "MNIST's digits were written in the United States around 1990, on forms: about half by employees of the"
    " Census Bureau, half by high-school students (Grother, NIST Special Database 19, 1995; LeCun et al.,"
    " 1998). There a 1 is a single stroke, and a 7 has no bar, for the most part. Few write a 1 with a long"
    " upstroke, as many Europeans do. The age, sex, handedness and first script of the writers are not"
    " recorded, so no figure says how well the net reads any of these groups.",
    "Each digit was cut out of its form, scaled to 20 pixels and centred. The figures above are of such"
    " images, not of photographs, of words, or of drawings on a screen.",
)
WRITERS = {
    "mnist": MNIST_WRITERS,
    "sample": (*MNIST_WRITERS, "This net learned from a sample: 4,000 of MNIST's 60,000 training digits."),
    "fashion-mnist": (
        "Fashion-MNIST is no handwriting: pictures of clothes from an online shop's catalogue, made grey and"
        " 28 pixels wide (Xiao, Rasul, Vollgraf, 2017). They lie flat, and are seen from the front, on a"
        " plain ground.",
    ),
}
"""Whose data these are, by the name of the data set."""
UNKNOWN_WRITERS = ("Nothing is recorded about where these data come from, nor about who made them.",)
LIMITS = (
    "It names one of its classes for every image: for a letter, a scribble or two digits as well. A high"
    " probability is no proof that the image shows a digit.",
    "It must not decide alone where a wrong answer harms somebody: amounts of money, addresses, doses, dates"
    " of birth, marks of an examination, ballots. A person must see the image and the answer.",
    "It must not be used to tell who wrote something, or to judge a person by their hand.",
    "Its figures say nothing about children, about people whose hand shakes, or about digits of other"
    " scripts. Measure it on such images before it is used for them.",
)
LIMITS_OF_OTHERS = (
    "It names one of its classes for every image, whatever that shows. A high probability is no proof.",
    "It must not decide alone where a wrong answer harms somebody. A person must see the image and the"
    " answer.",
    "Measure it on images from the place where it is to be used: those of its data set may be easier.",
)


@dataclass(frozen=True)
class Part:
    """Images (N, H, W, C) with their labels (N,), and what a net makes of them: probabilities (N, K)."""

    images: Array
    labels: Array
    probabilities: Array

    @property
    def right(self) -> Array:
        """Whether each is called what it is, bool (N,)."""
        return self.probabilities.argmax(axis=1) == self.labels


def card(
    about: Mapping[str, Any],
    classes: Sequence[str],
    parts: Mapping[str, Part],
    reported: Mapping[str, Any] | None = None,
    worse: Mapping[str, Array] | None = None,
) -> dict[str, Any]:
    """The card of a classifier, in plain values: `title`, `figures`, and `sections`, each of them with a
    `heading`, sentences as `text`, and perhaps a table, `head` and `rows`, all of text.

    about       what is known of the net, each optional: `name`, `parameters`, `weights_sha256`,
                `input_shape`, `data` with `name` and `hash`, `command`, which trains it, and `remarks`,
                sentences
    classes     the names of the K classes
    parts       what was measured, by name, in order: of "test" all figures are computed, of others the share
                that is right. Without "test" the card has what was reported alone.
    reported    the figures of the test set in the run's own report: as `evaluation.class_figures` gives
                them. They count where they are given.
    worse       of test images made worse in ways so named, whether each is called what it is, bool (N,)

    Raises as the functions of `metrics` do.
    """
    test = parts.get("test")
    if reported is None and test is not None:
        reported = class_figures(test.labels, test.probabilities.argmax(axis=1), classes)
    figures = {
        "parts": [_counted(name, part.right) for name, part in parts.items()],
        "test": reported,
        "calibration": _calibration(test) if test is not None else None,
        "slices": _slices(test) if test is not None and is_digits(test.images, classes) else [],
        "worse": [_counted(name, right) for name, right in (worse or {}).items()],
    }
    return plain(
        {
            "title": f"Model card: {about.get('name') or 'a net'}",
            "figures": {name: value for name, value in figures.items() if value},
            "sections": [*_sections(about, classes, figures)],
        }
    )


def is_digits(images: Array, classes: Sequence[str]) -> bool:
    """Whether these are grey images (N, H, W, 1) of the ten digits: others have no strokes to be measured."""
    return [*classes] == DIGITS and images.ndim == 4 and images.shape[-1] == 1


def as_markdown(card: Mapping[str, Any]) -> str:
    """The card as a page of Markdown."""
    blocks = [f"# {card['title']}"]
    for section in card["sections"]:
        blocks += [f"## {section['heading']}", *section["text"]]
        if section.get("rows"):
            blocks.append(markdown_table(section["head"], section["rows"]))
    return page(blocks)


# --- figures ------------------------------------------------------------------------------------------------


def _counted(name: str, right: Array) -> dict[str, Any]:
    total = len(right)
    share = float(right.mean()) if total else None
    interval = metrics.wilson_interval(int(right.sum()), total) if total else None
    return {
        "name": name,
        "samples": total,
        "right": int(right.sum()),
        "accuracy": share,
        "interval": interval,
    }


def _calibration(test: Part) -> dict[str, Any]:
    """How far confidence can be believed, and what is not sure."""
    found = metrics.calibration(test.labels, test.probabilities)
    confidence = test.probabilities.max(axis=1)
    unsure = confidence < NOT_SURE
    return {
        "expected_calibration_error": found.error,
        "mean_confidence": float(confidence.mean(dtype=np.float64)),
        "bins": len(found.count),
        "not_sure_below": NOT_SURE,
        "right": int(test.right.sum()),
        "right_not_sure": int((test.right & unsure).sum()),
        "wrong": int((~test.right).sum()),
        "wrong_not_sure": int((~test.right & unsure).sum()),
    }


def _slices(test: Part) -> list[dict[str, Any]]:
    """The share that is right, of the images in order of each measure."""
    return [
        {
            "by": measure.name,
            "unit": measure.unit,
            "definition": measure.definition,
            "rows": [*_cut(measure.of(test.images), test.right)],
        }
        for measure in MEASURES
    ]


def _cut(values: Array, right: Array) -> Iterator[dict[str, Any]]:
    """Slices between the quantiles of SHARES. Equal values are in one slice, so slices differ in size."""
    edges = np.quantile(values[~np.isnan(values)], SHARES)
    place = np.searchsorted(edges[1:-1], values, side="left")
    for number in range(len(SHARES) - 1):
        chosen = (place == number) & ~np.isnan(values)
        if chosen.any():
            low, high = values[chosen].min(), values[chosen].max()
            yield {"from": float(low), "to": float(high), **_counted("", right[chosen])}


# --- what they say ------------------------------------------------------------------------------------------


def _sections(
    about: Mapping[str, Any], classes: Sequence[str], figures: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    test, parts, calibration = figures["test"], figures["parts"], figures["calibration"]
    data = about.get("data") or {}
    yield _section("What it is", [*_what_it_is(about, classes, data)])
    if test:
        yield _section("How good it is", _how_good(test, parts), *_parts_table(test, parts))
        yield _section(
            "Class by class",
            ["The recall of a class is the share of its images that are called by its name."],
            ("class", "recall", "95 % interval", "images"),
            [
                (c["name"], percent(c["recall"]), _recall_interval(c), count(c["support"]))
                for c in test["classes"]
            ],
        )
    else:
        yield _section(
            "How good it is", ["This is not known: there is no report, and no data to measure it on."]
        )
    if calibration:
        yield _section("How far its probabilities can be believed", _believed(calibration))
    for slices in figures["slices"]:
        yield _section(
            f"By {slices['by'].lower()}",
            [slices["definition"]],
            (slices["unit"], "right", "95 % interval", "images"),
            [
                (
                    f"{row['from']:.1f} to {row['to']:.1f}",
                    percent(row["accuracy"]),
                    _range(row),
                    count(row["samples"]),
                )
                for row in slices["rows"]
            ],
        )
    if worse := figures["worse"]:
        yield _section(
            "When images are made worse",
            [
                f"The first {count(worse[0]['samples'])} test images, changed in one way at a time. Before"
                " the net sees a picture or a drawing, it is scaled and centred, and its ink made black."
                " Images in tables (IDX, CSV) stay as they are."
            ],
            ("images", "right", "95 % interval"),
            [(row["name"], percent(row["accuracy"]), _range(row)) for row in worse],
        )
    are_digits = [*classes] == DIGITS
    unknown = UNKNOWN_WRITERS
    yield _section(
        "Whose handwriting" if are_digits else "Whose data", WRITERS.get(data.get("name", ""), unknown)
    )
    yield _section("What it must not be used for", LIMITS if are_digits else LIMITS_OF_OTHERS)
    if about.get("command"):
        yield _section("How to train it again", [f"`{about['command']}`"])


def _section(
    heading: str, text: Sequence[str], head: Sequence[str] = (), rows: Sequence[Sequence[str]] = ()
) -> dict[str, Any]:
    table = {"head": head, "rows": rows} if rows else {}
    return {"heading": heading, "text": text, **table}


def _what_it_is(about: Mapping[str, Any], classes: Sequence[str], data: Mapping[str, Any]) -> Iterator[str]:
    size = f" of {count(about['parameters'])} parameters" if about.get("parameters") else ""
    shape = " x ".join(map(str, about["input_shape"])) if about.get("input_shape") else "its input's size"
    yield f"A net{size} that tells {len(classes)} classes in images of {shape}: {', '.join(classes)}."
    if data.get("name"):
        hashed = f", SHA-256 {data['hash']}" if data.get("hash") else ""
        yield f"Its data set is {data['name']}{hashed}."
    if about.get("weights_sha256"):
        yield f"SHA-256 of its weights: {about['weights_sha256']}."
    yield from about.get("remarks", ())


def _how_good(test: Mapping[str, Any], parts: Sequence[Mapping[str, Any]]) -> list[str]:
    low, high = test["interval"]
    said = [
        f"{percent(test['accuracy'])} of {count(test['samples'])} test images are right:"
        f" {count(test['errors'])} errors, 95 % interval (Wilson) {percent(low)} to {percent(high)}. The"
        " interval covers the choice of test images, not that of the seed."
    ]
    shares = {part["name"]: part["accuracy"] for part in parts}
    if shares.get("training") is not None:
        gap = 100 * (shares["training"] - test["accuracy"])
        said.append(
            f"Training minus test is {gap:+.2f} percentage points: a large difference tells of images learned"
            " by heart. All are measured as they are, not distorted, and without dropout; of training images,"
            " and of validation images, the first 10,000 at the most."
        )
    return said


def _parts_table(
    test: Mapping[str, Any], parts: Sequence[Mapping[str, Any]]
) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    own = {
        "name": "test",
        "samples": test["samples"],
        "accuracy": test["accuracy"],
        "interval": test["interval"],
    }
    shown = [*(part for part in parts if part["samples"] and part["name"] != "test"), own]
    rows = [(part["name"], percent(part["accuracy"]), _range(part), count(part["samples"])) for part in shown]
    return ("images", "right", "95 % interval", "number"), rows


def _believed(found: Mapping[str, Any]) -> list[str]:
    return [
        f"The mean probability of its answers is {percent(found['mean_confidence'])}. The expected"
        f" calibration error over {found['bins']} bins is {percent(found['expected_calibration_error'])}: by"
        " so much probability and share of right answers differ on average.",
        f"An answer below {percent(found['not_sure_below'])} is called not sure. That"
        f" holds for {count(found['wrong_not_sure'])} of the {count(found['wrong'])} wrong answers and"
        f" {count(found['right_not_sure'])} of the {count(found['right'])} right ones.",
    ]


def _range(row: Mapping[str, Any]) -> str:
    return " to ".join(map(percent, row["interval"]))


def _recall_interval(found: Mapping[str, Any]) -> str:
    """Of a class as `class_figures` gives it."""
    if not found["support"]:
        return "not defined"
    right = round(found["recall"] * found["support"])
    return " to ".join(map(percent, metrics.wilson_interval(right, found["support"])))
