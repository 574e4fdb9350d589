"""The page for everybody: axe's rules, sizes of targets, finger and pen, browsers that refuse, other nets.

All in Chromium, which can be told to be any of these.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browsers
import numpy as np
import pytest
from PIL import Image

from tinynet.data import datasets
from tinynet.layers import Conv2D, Dense, GlobalAveragePool, ReLU, Rescale
from tinynet.model import Sequential
from tinynet.page import build

REASON = browsers.why_not("chromium")
PICTURES = os.environ.get("TINYNET_TEST_PICTURES")
"""A folder for the pictures of the page. Those in examples/pictures are made so, by the test of that name."""
pytestmark = pytest.mark.skipif(REASON is not None, reason=REASON or "")

VIEWS: dict[str, dict[str, Any]] = {
    "light": {"viewport": {"width": 1200, "height": 900}},
    "dark": {"viewport": {"width": 1200, "height": 900}, "color_scheme": "dark"},
    "narrow": {"viewport": {"width": 320, "height": 640}},
    "forced": {"viewport": {"width": 1200, "height": 900}, "forced_colors": "active"},
}


@pytest.fixture(scope="module")
def chromium(playwright: Any) -> Iterator[Any]:
    with browsers.chromium(playwright) as browser:
        yield browser.browser


def opened(chromium: Any, path: Path, script: str = "", **view: Any) -> Any:
    """A page of a view of its own; `script` runs before the page's own."""
    page = chromium.new_context(**view).new_page()
    if script:
        page.add_init_script(script)
    page.goto(path.as_uri())
    return page


def until(page: Any, condition: str) -> None:
    """Wait until an expression of JavaScript holds. Playwright's own wait breaks the page's policy."""
    end = time.monotonic() + browsers.PATIENCE
    while not page.evaluate(condition):
        assert time.monotonic() < end, f"this never came true: {condition}"
        page.wait_for_timeout(30)


def say(page: Any, words: str) -> None:
    until(page, f"document.getElementById('spoken').textContent.startsWith({words!r})")


def used(page: Any) -> Any:
    """The same page with all of its parts open."""
    page.click("#samples button[aria-label='Sample 3']")
    until(page, "document.getElementById('guess').textContent === '3'")
    page.click("#correct .keys button:nth-child(4)")
    page.click("#notes summary")
    page.evaluate("document.querySelectorAll('details.layer').forEach((layer) => (layer.open = true))")
    page.evaluate("document.getElementById('why').scrollIntoView()")
    until(page, "document.getElementById('margin-text').textContent.includes('The scores are')")
    page.locator("#layers").scroll_into_view_if_needed()
    page.locator("#layers canvas").nth(5).click(position={"x": 12, "y": 12})
    page.wait_for_selector("#unit .matrix")
    page.evaluate("document.querySelectorAll('#unit details').forEach((more) => (more.open = true))")
    return page


@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_nothing(chromium: Any, digits: Path, view: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = used(opened(chromium, digits, **VIEWS[view]))
    page.click("#grid-switch")
    response = axe.run(page).response
    assert len(response["passes"]) > 20
    found = response["violations"]
    assert [(each["id"], [node["html"][:120] for node in each["nodes"]]) for each in found] == []


@pytest.mark.parametrize("view", VIEWS)
def test_nothing_is_wider_than_the_screen_and_targets_are_large_enough(
    chromium: Any, digits: Path, view: str
) -> None:
    page = used(opened(chromium, digits, **VIEWS[view]))
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    small = page.evaluate(
        "[...document.querySelectorAll('button, summary, select, input:not(.hidden), label.button')]"
        ".filter((each) => each.offsetParent)"
        ".map((each) => [each.textContent, each.getBoundingClientRect()])"
        ".filter(([, { width, height }]) => width < 44 || height < 44).map(([text]) => text)"
    )
    assert small == []
    page.click("#grid-switch")
    box = page.locator("[role=gridcell]").first.bounding_box()
    assert min(box["width"], box["height"]) >= 24


def test_what_a_control_shows_is_its_name(chromium: Any, digits: Path) -> None:
    page = used(opened(chromium, digits, **VIEWS["light"]))
    other = page.evaluate(
        "[...document.querySelectorAll('button, a, summary')].filter((each) => {"
        " const [shown, named] = [each.innerText.trim(), each.getAttribute('aria-label')];"
        " return shown && named && !named.toLowerCase().includes(shown.toLowerCase()); })"
        ".map((each) => each.outerHTML)"
    )
    assert other == []


def test_a_finger_draws_and_the_page_still_scrolls_beside_the_sheet(chromium: Any, digits: Path) -> None:
    page = opened(chromium, digits, viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    box = page.locator("#pad").bounding_box()
    touch = page.context.new_cdp_session(page)
    way = [(0.3, 0.2), (0.5, 0.2), (0.7, 0.2), (0.6, 0.5), (0.5, 0.7), (0.45, 0.85)]
    places = [{"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]} for x, y in way]
    for kind, place in zip(["touchStart", *["touchMove"] * 5], places, strict=True):
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [place]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    say(page, "Probably 7")
    assert page.evaluate("scrollY") == 0
    drawn = [
        page.evaluate(f"getComputedStyle(document.{where}).touchAction")
        for where in ("body", "getElementById('pad')")
    ]
    assert drawn == ["auto", "none"]


POINTER = """([kind, type, id, x, y]) => {
  const pad = document.getElementById("pad"), box = pad.getBoundingClientRect();
  pad.setPointerCapture = () => {};
  const place = { clientX: box.left + x * box.width, clientY: box.top + y * box.height };
  pad.dispatchEvent(new PointerEvent(kind, { pointerType: type, pointerId: id, bubbles: true, ...place }));
}"""


def stroke(page: Any, pointer: str, number: int, end: str, *places: tuple[float, float]) -> None:
    page.evaluate(POINTER, ["pointerdown", pointer, number, *places[0]])
    for place in places[1:]:
        page.evaluate(POINTER, ["pointermove", pointer, number, *place])
    page.evaluate(POINTER, [end, pointer, number, *places[-1]])


def test_a_cancelled_stroke_is_dropped_and_after_a_pen_a_palm_draws_nothing(
    chromium: Any, digits: Path
) -> None:
    page = opened(chromium, digits)
    stroke(page, "touch", 1, "pointercancel", (0.2, 0.2), (0.4, 0.4))
    page.wait_for_timeout(400)
    assert page.inner_text("#spoken") == "Nothing drawn yet."
    stroke(page, "pen", 2, "pointerup", (0.5, 0.15), (0.5, 0.5), (0.5, 0.85))
    say(page, "Probably 1")
    before = page.evaluate("document.getElementById('seen').toDataURL()")
    stroke(page, "touch", 3, "pointerup", (0.1, 0.9), (0.9, 0.9))
    page.wait_for_timeout(400)
    assert page.evaluate("document.getElementById('seen').toDataURL()") == before


def test_a_browser_that_keeps_nothing_is_said_to(chromium: Any, digits: Path) -> None:
    refuse = "Object.defineProperty(window, 'localStorage', { get() { throw new Error('refused'); } });"
    page = opened(chromium, digits, refuse)
    page.click("#samples button[aria-label='Sample 3']")
    until(page, "document.getElementById('guess').textContent === '3'")
    page.click("#correct .keys button:nth-child(4)")
    assert "keeps nothing for this page" in page.inner_text("#kept")


def test_a_browser_that_hides_pixels_draws_as_ever_and_says_so_of_pictures(
    chromium: Any, digits: Path, tmp_path: Path
) -> None:
    noise = (
        "CanvasRenderingContext2D.prototype.getImageData = function (x, y, width, height) {"
        " const image = new ImageData(width, height);"
        " for (let n = 0; n < image.data.length; n++) image.data[n] = (n * 7919) % 256; return image; };"
    )
    page = opened(chromium, digits, noise)
    stroke(page, "mouse", 1, "pointerup", (0.3, 0.2), (0.7, 0.2), (0.45, 0.85))
    say(page, "Probably 7")
    Image.new("L", (40, 40), 255).save(tmp_path / "white.png")
    page.set_input_files("#file", tmp_path / "white.png")
    until(page, "document.getElementById('notice').textContent.includes('hides the pixels')")


SEVEN = ((0.3, 0.2), (0.7, 0.2), (0.45, 0.85))
SIZES = [(1, 1200, 900), (2, 360, 640), (3, 390, 844)]
"""Pixels of the screen a pixel of CSS, width and height."""


@pytest.mark.parametrize(("density", "width", "height"), SIZES)
def test_the_answer_is_the_same_in_every_corner_of_every_screen(
    chromium: Any, digits: Path, density: int, width: int, height: int
) -> None:
    size = {"width": width, "height": height}
    page = opened(chromium, digits, viewport=size, device_scale_factor=density)
    for zoom in (1, 1.5):
        page.evaluate(f"document.documentElement.style.zoom = {zoom}")
        for right, down in ((0, 0), (0.6, 0), (0, 0.6), (0.6, 0.6)):
            places = [(right + 0.4 * x, down + 0.4 * y) for x, y in SEVEN]
            stroke(page, "mouse", 1, "pointerup", *places)
            until(page, "document.getElementById('guess').textContent === '7'")
            page.click("#clear")
            until(page, "document.getElementById('guess').textContent === '\\u00a0'")


@pytest.mark.skipif(browsers.why_not("firefox") is not None, reason="needs Firefox")
def test_a_browser_that_resists_fingerprinting_gives_the_same_answer(playwright: Any, digits: Path) -> None:
    with browsers.firefox(playwright, {"privacy.resistFingerprinting": True}) as firefox:
        firefox.open(digits)
        box = firefox.run(
            "(({ left, top, width, height }) => [left, top, width, height])"
            "(document.getElementById('pad').getBoundingClientRect())"
        )
        firefox.drag([(box[0] + x * box[2], box[1] + y * box[3]) for x, y in SEVEN])
        browsers.wait(firefox, "document.getElementById('spoken').textContent.startsWith('Probably 7')")


FOUR = (
    ((0.36, 0.18), (0.33, 0.28), (0.29, 0.4), (0.27, 0.5), (0.33, 0.52), (0.45, 0.51), (0.71, 0.49)),
    ((0.64, 0.16), (0.635, 0.3), (0.625, 0.5), (0.61, 0.86)),
)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("device", "width", "height"), [("phone", 390, 844), ("desktop", 1280, 860)])
def test_pictures_of_the_page(
    chromium: Any, digits: Path, tmp_path: Path, device: str, width: int, height: int, scheme: str
) -> None:
    folder = Path(PICTURES or tmp_path)
    page = opened(chromium, digits, viewport={"width": width, "height": height}, color_scheme=scheme)
    for places in FOUR:
        stroke(page, "mouse", 1, "pointerup", *places)
    say(page, "Probably 4")
    for part in ("", "-inside"):
        if part:
            page.locator("#layers").scroll_into_view_if_needed()
            page.locator("#layers canvas").nth(5).evaluate("(canvas) => (canvas.parentElement.open = true)")
            page.locator("#layers canvas").nth(5).click(position={"x": 30, "y": 20})
            page.wait_for_selector("#unit .matrix")
            page.locator("#unit").evaluate("(unit) => unit.scrollIntoView({ block: 'end' })")
            page.wait_for_timeout(400)
        file = folder / f"page-{device}-{scheme}{part}.png"
        page.screenshot(path=file)
        image = Image.open(file).convert("RGB")
        assert image.size == (width, height)
        assert (np.asarray(image).mean() > 128) == (scheme == "light")
        image.quantize(64, dither=Image.Dither.NONE).save(file, optimize=True)


@pytest.mark.parametrize("way", ["paste", "drop"])
def test_pictures_are_pasted_and_dropped(chromium: Any, digits: Path, way: str) -> None:
    page = opened(chromium, digits)
    page.evaluate(
        """async (way) => {
          const canvas = Object.assign(document.createElement("canvas"), { width: 200, height: 200 });
          const context = canvas.getContext("2d");
          context.fillStyle = "white";
          context.fillRect(0, 0, 200, 200);
          context.fillStyle = "black";
          context.fillRect(92, 30, 16, 140);
          const blob = await new Promise((resolve) => canvas.toBlob(resolve));
          const data = new DataTransfer();
          data.items.add(new File([blob], "one.png", { type: "image/png" }));
          document.getElementById("sheet").dispatchEvent(way === "paste"
            ? new ClipboardEvent("paste", { clipboardData: data, bubbles: true })
            : new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
        }""",
        way,
    )
    say(page, "Probably 1")


def page_of(net: Sequential, classes: list[str], path: Path) -> Path:
    path.write_text(build(net, {}, classes), "utf-8")
    return path


def test_a_net_of_coloured_pictures_has_no_sheet_and_opens_pictures(chromium: Any, tmp_path: Path) -> None:
    layers = [Rescale(), Conv2D(6, 3), ReLU(), GlobalAveragePool(), Dense(2)]
    net = Sequential(layers, (12, 16, 3), backend="numpy", seed=1)
    net.store.values.views["conv2d_1.W"][...] = 0
    net.store.values.views["conv2d_1.W"][1, 1, 0, 0] = 1  # the first map is the red of the picture
    net.store.values.views["dense_1.W"][...] = 0
    net.store.values.views["dense_1.W"][0] = [20, -20]
    net.store.values.views["dense_1.b"][...] = [-10, 10]
    page = opened(chromium, page_of(net, ["reddish", "other"], tmp_path / "colours.html"))
    assert not page.is_visible("#grid-switch")
    for colour, said in (("#ff2010", "Probably reddish"), ("#1020ff", "Probably other")):
        Image.new("RGB", (160, 120), colour).save(tmp_path / "picture.png")
        page.set_input_files("#file", tmp_path / "picture.png")
        say(page, said)
    assert not page.is_visible("#save-csv")
    page.click("#correct .keys button")
    page.click("#notes summary")
    with page.expect_download() as download:
        page.click("#save-images")
    assert download.value.suggested_filename == "my-pictures-images-idx4-ubyte"


def test_a_costly_net_answers_from_a_worker_as_it_would_without(chromium: Any, tmp_path: Path) -> None:
    layers = [Rescale(), Conv2D(64, 5, padding="same"), ReLU(), Conv2D(64, 5, padding="same"), ReLU()]
    net = Sequential([*layers, GlobalAveragePool(), Dense(10)], (28, 28, 1), backend="numpy", seed=5)
    path = page_of(net, list("0123456789"), tmp_path / "costly.html")
    page = opened(chromium, path)
    page.click("#samples button[aria-label='Sample 4']")
    until(page, "document.querySelector('#bars .value').textContent !== '–'")
    assert len(page.workers) == 1
    shares = page.evaluate(
        "[...document.querySelectorAll('#bars .fill')]"
        ".map((each) => Number(each.style.transform.slice(7, -1)))"
    )
    test = datasets.load("sample").test
    image = test.images[[int(np.flatnonzero(test.labels == 4)[0])]]
    scores = np.exp(net.predict(image)[0].astype(np.float64))
    assert shares == pytest.approx(scores / scores.sum(), abs=2e-3)
