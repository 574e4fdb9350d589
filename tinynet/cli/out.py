"""Paths that commands write to. Refused before any work: what is no name or no place to write in, and the
files of a run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from tinynet.cli.folders import nearest_existing

OF_A_RUN = (
    "config.json",
    "log.jsonl",
    "health.jsonl",
    "last.safetensors",
    "best.safetensors",
    "model.safetensors",
    "report.json",
    "report.md",
    "predictions.csv",
    "confusion-matrix.png",
    "learning-curve.png",
    "health.png",
)


class Out(click.Path):
    """A path to be written, as a pathlib.Path; takes what click.Path does.

    With `in_folder` the folder it lies in must be there already; with `is_picture` its name ends in .png or
    .svg; with `is_own` it is a folder for pictures of the command's own, and not that of a run, which has
    some by the same names.
    """

    def __init__(
        self, *, in_folder: bool = False, is_picture: bool = False, is_own: bool = False, **options: Any
    ) -> None:
        super().__init__(path_type=Path, **options)
        self.in_folder, self.is_picture, self.is_own = in_folder, is_picture, is_own

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if os.fspath(value) == "":
            self.fail("the name is empty: name a file or a folder.", param, ctx)
        if os.fspath(value) == "-":
            self.fail("nothing is written to a pipe: name a file; './-' is one called '-'.", param, ctx)
        path = Path(os.path.realpath(value))
        if path.name in OF_A_RUN and path.parent.joinpath("config.json").is_file():
            self.fail(f"{value} is a file of a run, which it would replace: name another.", param, ctx)
        if self.is_own and path.joinpath("config.json").is_file():
            other = Path(value, "evaluation")
            self.fail(f"{value} is a run's folder, with pictures of its own: name {other}.", param, ctx)
        if self.in_folder and not path.parent.is_dir():
            self.fail(
                f"there is no folder {path.parent}: make the folder first, or name another.", param, ctx
            )
        place = nearest_existing(path.parent)
        if not place.is_dir():
            self.fail(f"{place} is a file, and no folder can lie in it: name another place.", param, ctx)
        if not os.access(place, os.W_OK):
            self.fail(f"nothing can be written in {place}: name another place.", param, ctx)
        if self.is_picture:
            from tinynet.plots.style import file_kind

            file_kind(path)
        return super().convert(value, param, ctx)
