"""Formulas as MathML, which browsers draw by themselves: no script, no font, no picture."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

LOGGER = logging.getLogger(__name__)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def inline(writer: HTML5Translator, node: nodes.math) -> None:
    writer.body.append(mathml(node, "inline"))
    raise nodes.SkipNode


def block(writer: HTML5Translator, node: nodes.math_block) -> None:
    scrolls = '<math tabindex="0" '  # where it is wide, with the arrow keys, too
    writer.body.append(mathml(node, "block").replace("<math ", scrolls, 1))
    raise nodes.SkipNode


def mathml(node: nodes.math | nodes.math_block, display: str) -> str:
    """The formula; with a warning where a command of LaTeX's is unknown, which would be shown as it is."""
    lines_up = node.astext().replace("{aligned}", "{split}")  # the same to LaTeX, and known to the converter
    found: str = convert(lines_up, display=display)
    if "\\" in found.replace("<mo>&#x0005C;</mo>", ""):
        LOGGER.warning("this formula has a command that is not known: %s", node.astext(), location=node)
    return found
