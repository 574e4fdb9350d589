"""tinynet.io.html: tables that a notebook shows, with whatever is in them."""

from __future__ import annotations

from html.parser import HTMLParser

from tinynet.io import html


class Reader(HTMLParser):
    """Collects the tags, and the text of each cell."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    return reader


def test_a_table() -> None:
    found = read(html.html_table(("name", "value"), [("rate", 0.5), ("epochs", 3)], caption="a run"))
    assert found.texts == ["a run", "name", "value", "rate", "0.5", "epochs", "3"]
    assert found.tags.count("tr") == 3
    assert found.tags.count("th") == 2


def test_nothing_in_a_table_becomes_a_tag() -> None:
    text = "<script>alert('x')</script> & more"
    found = read(html.html_table((text,), [(text,)], caption=text))
    assert found.texts == [text] * 3
    assert "script" not in found.tags


def test_columns_without_names_have_no_head() -> None:
    assert "thead" not in read(html.html_table(("", ""), [("a", 1)])).tags
