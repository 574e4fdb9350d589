"""The book is built without a warning, leads nowhere outside for what it shows, and leaves nothing out."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import browsers
import click
import pytest

from tinynet import codes, extras
from tinynet.cli import COMMANDS, main

ROOT = Path(__file__).resolve().parents[2]
NO_CHROMIUM = browsers.why_not("chromium")
EXAMPLES = ROOT / "examples"
DERIVATIONS = [
    path for path in sorted((EXAMPLES / "derivations").glob("*.md")) if "```python" in path.read_text("utf-8")
]
PACKAGES = ("", ".data", ".callbacks", ".gradcheck", ".backends", ".plots", ".learn")
LOADED = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
    "embed": "src",
    "object": "data",
    "link": "href",
}
"""What a browser loads by itself, and the attribute that says from where."""


@dataclass
class Page(HTMLParser):
    """What is looked for in a page of HTML."""

    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    """Pictures without a text for whoever cannot see them."""

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.ids |= {found[name] for name in ("id", "name") if name in found}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if LOADED.get(tag) in found:
            self.loaded.append(found[LOADED[tag]])
        said = found.get("alt", "")  # some tools put the name of the file there
        if tag == "img" and (not said.strip() or re.search(r"\.(png|svg|jpe?g)$", said)):
            self.silent.append(found.get("src", "")[:80])


@dataclass
class Book:
    folder: Path
    pages: dict[Path, Page]


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Book:
    """The book, built by the command that examples/_book/conf.py gives."""
    for module in ("furo", "latex2mathml", "myst_nb", "sphinx_click"):
        pytest.importorskip(module, reason=extras.install("book"))
    folder = tmp_path_factory.mktemp("book")
    strictly = ["-q", "-W", "--keep-going", "-n"]
    asked = ["-b", "html", "-c", "examples/_book", "examples", str(folder)]
    command = [sys.executable, "-m", "sphinx", *strictly, *asked]
    proxies = {f"{kind}_proxy": "http://127.0.0.1:9" for kind in ("http", "https")}  # nobody answers there
    done = subprocess.run(command, cwd=ROOT, env=os.environ | proxies, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    pages = {}
    for path in folder.rglob("*.html"):
        page = pages[path] = Page()
        page.feed(path.read_text("utf-8"))
    return Book(folder, pages)


def test_nothing_is_loaded_from_outside(book: Book) -> None:
    assert len(book.pages) > 50
    loaded = {address for page in book.pages.values() for address in page.loaded}
    assert any(address.endswith(".css") or ".css?" in address for address in loaded)
    assert [address for address in loaded if urlsplit(address).netloc] == []
    for sheet in book.folder.rglob("*.css"):
        assert re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//[^)\"']*", sheet.read_text("utf-8")) == []
    for script in book.folder.rglob("*.js"):
        assert re.findall(r"(?:src|href)\s*=\s*[\"']https?://[^\"']*", script.read_text("utf-8")) == []


def test_every_link_within_the_book_leads_somewhere(book: Book) -> None:
    dead = []
    for path, page in book.pages.items():
        for link in [*page.links, *page.loaded]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            place = unquote(parts.fragment)
            is_missing = not target.exists() or (
                place and target in book.pages and place not in book.pages[target].ids
            )
            if is_missing:
                dead.append(f"{path.relative_to(book.folder)}: {link}")
    assert dead == []


def test_every_picture_has_a_text(book: Book) -> None:
    pictures = {path.name: page.silent for path, page in book.pages.items() if page.silent}
    assert pictures == {}


def test_every_notebook_is_a_page(book: Book) -> None:
    notebooks = {path.stem for path in EXAMPLES.glob("*.ipynb")}
    assert notebooks
    assert notebooks <= {path.stem for path in book.pages}
    index = book.pages[book.folder / "index.html"]
    assert {f"{name}.html" for name in notebooks} <= set(index.links)


def test_every_command_has_a_page(book: Book) -> None:
    for name in COMMANDS:
        text = (book.folder / "generated" / "commands" / f"{name}.html").read_text("utf-8")
        assert f"<title>tinynet {name} " in text
        for option in resolved(name).params:
            assert all(f'<span class="pre">{each}</span>' in text for each in option.opts if each[0] == "-")


def resolved(name: str) -> click.Command:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    return command


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_has_an_entry(book: Book, package: str) -> None:
    page = book.folder / "generated" / "names" / f"tinynet{package}.html"
    text = page.read_text("utf-8")
    for name in import_module(f"tinynet{package}").__all__:
        full = f"tinynet{package}.{name}"
        assert full in book.pages[page].ids or f">{full}<" in text, full


def test_every_equation_has_a_page_with_its_codes(book: Book) -> None:
    for names in codes.names().values():
        for name in names:
            page = (book.folder / "generated" / "codes" / f"{name}.html").read_text("utf-8")
            assert all(code.file in page for code in codes.read(name).own)


def test_every_environment_variable_is_described() -> None:
    text = (EXAMPLES / "reference" / "environment.md").read_text("utf-8")
    used = set()
    for folder in ("tinynet", "kernels", "tests", "bench"):
        for path in (ROOT / folder).rglob("*.py"):
            used |= set(re.findall(r"\"(TINYNET_[A-Z_]+)\"", path.read_text("utf-8")))
    assert set(re.findall(r"`(TINYNET_\w+)`", text)) == used


@pytest.mark.parametrize("path", DERIVATIONS, ids=lambda path: path.stem)
def test_the_program_of_a_derivation_prints_what_the_page_says(path: Path) -> None:
    """Blocks of Python run one after another; a block of text below one is what it prints."""
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", path.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {"__name__": path.stem}
    printed = ""
    compared = 0
    for language, block in blocks:
        if language == "python":
            with contextlib.redirect_stdout(io.StringIO()) as output:
                exec(compile(block, str(path), "exec"), names)  # noqa: S102 (our own page)
            printed = output.getvalue()
        elif language == "text":
            assert printed == block
            compared += 1
    assert compared


@pytest.mark.skipif(NO_CHROMIUM is not None, reason=NO_CHROMIUM or "")
@pytest.mark.parametrize("page", ["index.html", "derivations/batchnorm.html", "06-convolution.html"])
def test_axe_finds_nothing(book: Book, page: str) -> None:
    from playwright.sync_api import sync_playwright

    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    with sync_playwright() as playwright, browsers.chromium(playwright) as chromium:
        chromium.open(book.folder / page)
        response = axe.run(chromium.page).response
    assert len(response["passes"]) > 10
    found = response["violations"]
    assert [(each["id"], [node["html"][:120] for node in each["nodes"]]) for each in found] == []
