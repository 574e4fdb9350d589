"""What rounding the factors of products should gain, by the model: `--precision tf32` and `bf16`."""

from __future__ import annotations

from collections.abc import Iterator

from gpu_launches import of_a_step, on_paper
from gpu_model import AROUND, H100, MULTIPLYING, RTX_4090, Rates, in_words, predict, total

from tinynet.kernels.cuda import tiles
from tinynet.layers import BatchNorm, Conv2D, Dense, Flatten, Layer, ReLU, Rescale
from tinynet.runs.recipe import Recipe

CARDS = {"H100": H100, "RTX 4090": RTX_4090}


def ten() -> Recipe:
    """Ten valid convolutions of 3 × 3 with 32, 48, …, 176 filters, as in a net of An, Lee, Park, Yang and So,
    "An ensemble of simple convolutional neural network models for MNIST digit recognition", 2020."""
    layers: list[Layer] = [Rescale()]
    for filters in range(32, 177, 16):
        layers += [Conv2D(filters, 3), BatchNorm(), ReLU()]
    return Recipe([*layers, Flatten(), Dense(10)])


NETS: dict[str, tuple[str | Recipe, int]] = {
    "kaggle-cnn 256": ("kaggle-cnn", 256),
    "lenet 1024": ("lenet", 1024),
    "ten convolutions 256": (ten(), 256),
}


def of_steps(rates: Rates) -> Iterator[tuple[str, list[float]]]:
    """Seconds of a step of each net, by `tiles.PRECISIONS`."""
    for name, (net, batch) in NETS.items():
        yield (
            name,
            [total(predict(of_a_step(net, batch, on_paper(each)), rates)) for each in tiles.PRECISIONS],
        )


def as_markdown() -> Iterator[str]:
    yield from ("", "## Precision", "")
    yield "What `--precision` gains. Cycles of a processor for 16 of the depth of a tile of 128 × 64, if it"
    yield "did but one of three: begin instructions, multiply, copy the factors from the second-level cache."
    yield "The longest counts. Plain: the tile without tensor cores is faster there. A warp's instructions,"
    yield "those that multiply and those around them, are counted in the compiled loops (sm_90)."
    yield from ("", "| card | kernel | precision | instructions | begin | multiply | copy |")
    yield f"|---|---|---|{'---:|' * 4}"
    for card, rates in CARDS.items():
        for kernel in AROUND:
            for precision, number in tiles.PRECISIONS.items():
                cycles = [f"{seconds * rates.clock:.0f}" for seconds in rates.tile(kernel, number)]
                found = " | ".join([f"{MULTIPLYING[number]} + {AROUND[kernel]}", *cycles])
                found = found if rates.tensor_pays(number) else "plain | | |"
                yield f"| {card} | {kernel} | {precision} | {found} |"
    yield from ("", "So a step should take, in µs:", "")
    yield from ("| card | step | float32 | tf32 | bf16 | bf16 / tf32 |", f"|---|---|{'---:|' * 4}")
    for card, rates in CARDS.items():
        for name, seconds in of_steps(rates):
            times = " | ".join(f"{1e6 * each:.0f}" for each in seconds)
            yield f"| {card} | {name} | {times} | {seconds[2] / seconds[1]:.2f} |"
    yield from (
        "",
        "The rates in which they differ:",
        "",
        f"| rate | {' | '.join(CARDS)} |",
        "|---|---:|---:|",
    )
    for (name, one), (_, other) in zip(*map(in_words, CARDS.values()), strict=True):
        if one != other:
            yield f"| {name} | {one} | {other} |"
