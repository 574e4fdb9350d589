"""What the programs of torch_nets.py and keras_nets.py share: the images they get, and what they leave."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np


@dataclass
class Made:
    """Files of nets in one folder, and the probabilities that the program which made them answers.

    nets.json names the files; NAME.npy has the probabilities (N, 10) for the images (N, H, W, C), pixels from
    0 to 255, of images.npz: `grey` or `colour`.
    """

    folder: Path
    nets: list[dict[str, str]] = field(default_factory=list)

    def images(self, kind: str) -> np.ndarray:
        with np.load(self.folder / "images.npz") as file:
            return file[kind]

    def add(self, file: str, net: Net, probabilities: np.ndarray | None = None) -> None:
        """Note a file; without probabilities, one that has to be refused."""
        if probabilities is not None:
            np.save(self.folder / f"{file}.npy", np.asarray(probabilities, dtype=np.float64))
        self.nets.append({"file": file, **asdict(net)})

    def save(self, versions: str) -> None:
        (self.folder / "nets.json").write_text(json.dumps({"versions": versions, "nets": self.nets}))


@dataclass(frozen=True)
class Net:
    """One net: what it is, its images, and the recipe or TOML file with the same layers, if there is one."""

    name: str
    images: str = "grey"
    recipe: str = ""
    refused: str = ""
    """The name that a refusal has to say."""
