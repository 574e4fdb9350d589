"""Links to files of the repository that are no pages of the book, and from types to their public names."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode

ROOT = Path(__file__).resolve().parents[2]
SOURCE = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["urls"]["Source"]
OUTSIDE = re.compile(r"(?<!!)\[([^\]]*)\]\((\.\./[^)]+)\)")
"""A link of a Markdown text to a file above it. Pictures are part of the book."""


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("source-read", to_the_repository)
    app.connect("missing-reference", to_the_public_name)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def to_the_repository(app: Sphinx, page: str, source: list[str]) -> None:
    """Lead a reader of the book to the repository for a file that is no page of it."""

    def moved(link: re.Match[str]) -> str:
        file = (ROOT / "examples" / page).parent.joinpath(link[2].split("#")[0]).resolve()
        if not file.exists() or file.is_relative_to(ROOT / "examples"):
            return link[0]
        kind = "tree" if file.is_dir() else "blob"
        return f"[{link[1]}]({SOURCE}/{kind}/main/{file.relative_to(ROOT).as_posix()})"

    source[0] = OUTSIDE.sub(moved, source[0])


def to_the_public_name(
    app: Sphinx, environment: BuildEnvironment, node: pending_xref, text: nodes.TextElement
) -> nodes.reference | None:
    """tinynet.layers.base.Layer, as a signature has it, is tinynet.Layer in the book."""
    name = node.get("reftarget", "").rsplit(".", 1)[-1]
    domain = environment.domains.python_domain
    for known, entry in domain.objects.items():
        if known.rsplit(".", 1)[-1] == name and known.count(".") <= 2:
            return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, [text])
    return None
