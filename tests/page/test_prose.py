"""Our own Markdown as HTML."""

from __future__ import annotations

import pytest

from tinynet.io.markdown import markdown_table, page
from tinynet.page.prose import to_html


@pytest.mark.parametrize(
    ("markdown", "html"),
    [
        ("# Title\n\n## Part", "<h3>Title</h3>\n<h4>Part</h4>"),
        ("## Part\ntext", "<h3>Part</h3><p>text</p>"),
        ("two\nlines", "<p>two lines</p>"),
        ("**strong** and `code <b>`", "<p><strong>strong</strong> and <code>code &lt;b&gt;</code></p>"),
        ("- one\n- two\n  goes on", "<ul><li>one</li><li>two goes on</li></ul>"),
        ("> **WARNING: hot**", "<blockquote><p><strong>WARNING: hot</strong></p></blockquote>"),
        ("```sh\na < b\n\nc\n```", "<pre><code>a &lt; b\n\nc</code></pre>"),
        ("[here](https://example.org/a)", '<p><a href="https://example.org/a">here</a></p>'),
        ("[here](report.md)", "<p>here</p>"),
        ("![a plot](plot.png)", ""),
        ("[bad](javascript:alert)", "<p>bad</p>"),
        ("", ""),
    ],
)
def test_blocks(markdown: str, html: str) -> None:
    assert to_html(markdown, heading=3) == html


def test_a_table_keeps_bars_that_are_escaped_and_can_be_reached_by_keyboard() -> None:
    html = to_html(page(["text", markdown_table(("a", "b"), [("x|y", 1)])]), heading=2)
    assert '<th scope="col">a</th><th scope="col">b</th>' in html
    assert "<td>x|y</td><td>1</td>" in html
    assert 'tabindex="0" role="region" aria-label="Table: a, b"' in html


def test_a_table_without_a_head_has_none() -> None:
    assert "<thead>" not in to_html(markdown_table(("", ""), [("x", 1)]), heading=2)
