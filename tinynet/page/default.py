"""The net of the page before any training of one's own: the recipe `freehand`, trained on all of MNIST.

    tinynet train freehand --dataset mnist --threads 1 --out runs/freehand
    python bench/default_net.py runs/freehand

The second command writes the file of weights, which also has the net's figures and card.
"""

from __future__ import annotations

from pathlib import Path

from tinynet import checkpoint
from tinynet.checkpoint import Loaded

WEIGHTS = Path(__file__).parent / "weights" / "digits.safetensors"


def load(backend: str | None = None) -> Loaded:
    """The net, the loss it was trained with, and what it is about: `classes`, `facts`, `card` and `float16`.

    `facts` are texts by name, to be shown; `card` is as `analysis.card` makes it; `float16` says how many of
    the test `images` get `changed` answers where weights are written in 16 bits.
    """
    return checkpoint.load_model(WEIGHTS, backend=backend)
