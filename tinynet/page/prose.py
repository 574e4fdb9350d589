"""Our own Markdown as HTML: what the pages of tinynet.io.markdown consist of, and nothing else.

Headings, paragraphs, lists, tables, quotes, fenced code; in a line **strong**, `code` and [links](address).
A picture is left out: a page of one file has none.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

HEADING = re.compile(r"(#+) (.*)")
INLINE = (
    (re.compile(r"!\[[^\]]*\]\([^)]*\)"), ""),
    (re.compile(r"`([^`]+)`"), r"<code>\1</code>"),
    (re.compile(r"\*\*(.+?)\*\*"), r"<strong>\1</strong>"),
    (re.compile(r"\[([^\]]+)\]\((https?://[^)\s]+)\)"), r'<a href="\2">\1</a>'),
    (re.compile(r"\[([^\]]+)\]\([^)]*\)"), r"\1"),
)
BLOCK = re.compile(r"^```.*?^```$|^[^\n]+(?:\n[^\n]+)*", re.MULTILINE | re.DOTALL)
CELL = re.compile(r"(?<!\\)\|")


def to_html(markdown: str, *, heading: int) -> str:
    """The HTML of a page; its highest headings become <h`heading`>, deeper ones follow."""
    blocks = [found[0].strip("\n") for found in BLOCK.finditer(markdown)]
    top = min((len(found[1]) for block in blocks if (found := HEADING.match(block))), default=1)
    return "\n".join(_block(block, heading - top) for block in blocks)


def _block(block: str, deeper: int) -> str:
    lines = block.splitlines()
    if found := HEADING.match(block):
        level = min(len(found[1]) + deeper, 6)
        rest = "\n".join(lines[1:])
        return f"<h{level}>{_inline(found[2])}</h{level}>" + (_block(rest, deeper) if rest else "")
    if block.startswith("```"):
        return f"<pre><code>{html.escape(chr(10).join(lines[1:-1]))}</code></pre>"
    if block.startswith("|"):
        return _table(lines)
    if block.startswith(("- ", "* ")):
        items = re.split(r"^[-*] ", block, flags=re.MULTILINE)[1:]
        return "<ul>" + "".join(f"<li>{_inline(item)}</li>" for item in items) + "</ul>"
    if block.startswith(">"):
        return f"<blockquote><p>{_inline(' '.join(line.lstrip('> ') for line in lines))}</p></blockquote>"
    text = _inline(block)
    return f"<p>{text}</p>" if text.strip() else ""


def _table(lines: Sequence[str]) -> str:
    rows = [[cell.strip().replace("\\|", "|") for cell in CELL.split(line.strip())[1:-1]] for line in lines]
    head, body = rows[0], rows[2:]
    names = "".join(f'<th scope="col">{_inline(cell)}</th>' for cell in head) if any(head) else ""
    title = f"<thead><tr>{names}</tr></thead>" if names else ""
    label = html.escape(f"Table: {', '.join(filter(None, head)) or 'facts'}")
    opening = f'<div class="scroll" tabindex="0" role="region" aria-label="{label}">'
    return f"{opening}<table>{title}<tbody>{''.join(map(_row, body))}</tbody></table></div>"


def _row(cells: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<td>{_inline(cell)}</td>" for cell in cells) + "</tr>"


def _inline(text: str) -> str:
    text = html.escape(" ".join(text.split()))
    for pattern, replacement in INLINE:
        text = pattern.sub(replacement, text)
    return text
