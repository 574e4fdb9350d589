"""The page in three real browsers: what a person does there, and what comes of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsers import Browser, Point, wait
from PIL import Image, ImageDraw, ImageOps

from tinynet.checkpoint import Loaded
from tinynet.data import datasets
from tinynet.data.idx import read_idx
from tinynet.data.kaggle import read_csv
from tinynet.data.pictures import read_picture
from tinynet.errors import DataError
from tinynet.layers import Dense, Flatten, Rescale
from tinynet.losses import BinaryCrossEntropy, SoftmaxCrossEntropy
from tinynet.model import Sequential
from tinynet.page import build
from tinynet.rng import Key, Stream
from tinynet.types import Array

FOUR = [[(0.35, 0.2), (0.28, 0.5), (0.7, 0.5)], [(0.66, 0.2), (0.64, 0.85)]]
SEVEN = [[(0.3, 0.2), (0.7, 0.2), (0.45, 0.85)]]
ONE = [[(0.5, 0.15), (0.5, 0.85)]]
"""Strokes in shares of the sheet's side."""
NO_KEY = Key(0, Stream.DROPOUT)


def draw(browser: Browser, strokes: Sequence[Sequence[Point]]) -> None:
    browser.run("(document.getElementById('sheet').scrollIntoView(), 1)")
    box = browser.run(
        "(({ left, top, width, height }) => [left, top, width, height])"
        "(document.getElementById('pad').getBoundingClientRect())"
    )
    for stroke in strokes:
        browser.drag([(box[0] + x * box[2], box[1] + y * box[3]) for x, y in stroke])


def text(browser: Browser, selector: str) -> str:
    return str(browser.run(f"document.querySelector({selector!r}).textContent")).strip()


def hears(browser: Browser, words: str) -> None:
    """Wait until the answer that is spoken begins with these words."""
    wait(browser, f"document.getElementById('spoken').textContent.startsWith({words!r})")


def sees(browser: Browser, sign: str) -> None:
    """Wait until this is the answer that is shown, which comes sooner than it is spoken."""
    wait(browser, f"document.getElementById('guess').textContent.trim() === {sign!r}")


def seen(browser: Browser) -> str:
    """What the net sees, as a picture in one line."""
    return str(browser.run("document.getElementById('seen').toDataURL()"))


def sample(digit: int) -> Array:
    """The pixels of a sample digit, (28, 28, 1)."""
    test = datasets.load("sample").test
    return test.images[int(np.flatnonzero(test.labels == digit)[0])]


def test_a_drawing_is_answered_undone_redone_and_cleared(browser: Browser) -> None:
    assert text(browser, "#spoken") == "Nothing drawn yet."
    draw(browser, FOUR)
    hears(browser, "Probably 4, ")
    assert re.fullmatch(r"Probably 4, .* percent; next \d, .* percent\.", text(browser, "#spoken"))
    assert text(browser, "#guess") == "4"
    shares = browser.run("[...document.querySelectorAll('#bars .value')].map((each) => each.textContent)")
    assert len(shares) == 10
    assert browser.run("[document.getElementById('seen').width, document.getElementById('seen').height]") == [
        28,
        28,
    ]
    browser.click("#undo")
    browser.press("Control+z")
    hears(browser, "Nothing")
    browser.click("#redo")
    browser.click("#redo")
    hears(browser, "Probably 4")
    browser.click("#clear")
    hears(browser, "Nothing")
    browser.click("#undo")
    hears(browser, "Probably 4")


def test_a_seven_is_entered_by_keyboard_alone_and_spoken(browser: Browser) -> None:
    for _ in range(8):
        browser.press("Tab")
        if browser.run("document.activeElement.id") == "grid-switch":
            break
    browser.press("Enter")
    browser.press("ArrowRight", "ArrowRight", "ArrowDown", " ")
    assert browser.run("document.activeElement.getAttribute('aria-label')") == "row 2, column 3, ink"
    for _ in range(4):
        browser.press("ArrowRight", " ")
    for _ in range(5):
        browser.press("ArrowDown", "ArrowLeft", " ")
    hears(browser, "Probably 7, ")
    assert browser.run("document.getElementById('spoken').getAttribute('role')") == "status"
    browser.press("Delete")
    wait(browser, "document.activeElement.getAttribute('aria-selected') === 'false'")
    browser.press("Escape")
    assert browser.run("document.activeElement.id") == "grid-switch"
    assert browser.run("document.getElementById('grid').hidden")


def test_ink_survives_resizing_and_scrolling(browser: Browser) -> None:
    draw(browser, SEVEN)
    sees(browser, "7")
    before = seen(browser)
    browser.resize(600, 500)
    browser.run("(scrollTo(0, 400), 1)")
    browser.resize(900, 700)
    draw(browser, [])
    ink = (
        "(() => { const pad = document.getElementById('pad');"
        " const { data } = pad.getContext('2d').getImageData(0, 0, pad.width, pad.height);"
        " return data.filter((value, n) => n % 4 === 3 && value > 0).length; })()"
    )
    wait(browser, f"{ink} > 500")
    assert seen(browser) == before
    assert text(browser, "#guess") == "7"


def test_two_digits_are_warned_of(browser: Browser) -> None:
    draw(browser, [[(x / 2, y) for x, y in ONE[0]], [(0.5 + x / 2, y) for x, y in ONE[0]]])
    hears(browser, "This looks like two digits")
    browser.click("#clear")
    draw(browser, ONE)
    sees(browser, "1")


def test_a_scribble_is_not_sure(browser: Browser) -> None:
    draw(browser, [[(0.2, 0.2), (0.8, 0.8), (0.8, 0.2), (0.2, 0.8)]])
    hears(browser, "Not sure: perhaps ")
    shares = browser.run("[...document.querySelectorAll('#bars .value')].map((each) => each.textContent)")
    assert max(float(share.strip("<> %")) for share in shares) < 90
    assert text(browser, "#guess").endswith("?")


def pictures_of_a_four(folder: Path) -> Iterator[Path]:
    """A dark four on light paper, in every way that a file may hold it."""
    paper = Image.new("RGB", (400, 300), "#e8e4da")
    clear = Image.new("RGBA", (400, 300), (0, 0, 0, 0))
    for picture in (paper, clear):
        for stroke in FOUR:
            points = [(100 + 200 * x, 30 + 220 * y) for x, y in stroke]
            ImageDraw.Draw(picture).line(points, fill="#22303a", width=14, joint="curve")
    turned = Image.Exif()
    turned[0x0112] = 6  # to be shown after a quarter turn clockwise
    deep = Image.fromarray(np.asarray(paper.convert("L")).astype(np.uint16) * 257)
    files: list[tuple[str, Image.Image, dict[str, Any]]] = [
        ("plain.png", paper, {}),
        ("chalk.webp", ImageOps.invert(paper), {}),
        ("transparent.png", clear, {}),
        ("turned.jpg", paper.transpose(Image.Transpose.ROTATE_90), {"exif": turned}),
        ("printed.jpg", paper.convert("CMYK"), {}),
        ("deep.png", deep, {}),
    ]
    for name, picture, how in files:
        picture.save(folder / name, **how)
        yield folder / name


def test_pictures_are_opened_however_a_file_holds_them(browser: Browser, tmp_path: Path) -> None:
    for file in pictures_of_a_four(tmp_path):
        browser.upload("#file", file)
        wait(browser, "guess.textContent === '4' || notice.textContent")
        assert (file.name, text(browser, "#notice")) == (file.name, "")
        browser.click("#clear")
        sees(browser, "")


def damaged(folder: Path) -> dict[str, str]:
    """Pictures that a browser would show in part, or turned another way than by predict; what is said."""
    four = next(pictures_of_a_four(folder))
    thumbnail = Image.Exif()
    thumbnail[0x0112] = 3
    with Image.open(four) as picture:
        picture.save(folder / "whole.jpg", exif=thumbnail)
        picture.save(folder / "upside.webp", exif=thumbnail)
        picture.save(folder / "whole.webp")
    for whole, half in [("plain.png", "half.png"), ("whole.jpg", "half.jpg"), ("whole.webp", "half.webp")]:
        data = (folder / whole).read_bytes()
        (folder / half).write_bytes(data[: len(data) * 2 // 3])
    flipped = bytearray(four.read_bytes())
    flipped[len(flipped) // 2] ^= 1
    (folder / "bit.png").write_bytes(flipped)
    rng = np.random.default_rng(1)
    Image.fromarray(rng.integers(0, 256, (300, 300), np.uint8)).save(folder / "noise.png")
    names = ("half.png", "half.jpg", "half.webp", "bit.png")
    return {**dict.fromkeys(names, "is damaged"), "upside.webp": "to be turned", "noise.png": "its noise"}


def test_damaged_and_noisy_pictures_are_refused_as_predict_refuses_them(
    browser: Browser, tmp_path: Path
) -> None:
    for name, words in damaged(tmp_path).items():
        browser.upload("#file", tmp_path / name)
        wait(browser, f"document.getElementById('notice').textContent.includes({words!r})")
        if words != "to be turned":
            with pytest.raises(DataError):
                read_picture(tmp_path / name)
    with Image.open(tmp_path / "plain.png") as four:  # a digit on noise is one
        noisy = np.asarray(four.convert("L")) * 0.5 + np.random.default_rng(1).normal(60, 25, (300, 400))
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(tmp_path / "noisy.png")
    browser.upload("#file", tmp_path / "noisy.png")
    wait(browser, "document.getElementById('notice').textContent === ''")
    wait(browser, "document.getElementById('clear').getAttribute('aria-disabled') === 'false'")


def test_files_that_are_no_pictures_are_refused_in_words(browser: Browser, tmp_path: Path) -> None:
    browser.click("#samples button[aria-label='Sample 4']")
    sees(browser, "4")
    Image.new("L", (60, 60), 255).save(tmp_path / "white.png")
    Image.new("1", (9000, 9000)).save(tmp_path / "huge.png")
    (tmp_path / "heavy.png").write_bytes(bytes(20_000_001))
    for name in ("text.png", "IMG_1.HEIC"):
        (tmp_path / name).write_bytes(b"no picture at all")
    for name, words in {
        "text.png": "not a picture",
        "IMG_1.HEIC": "HEIC",
        "white.png": "No ink",
        "huge.png": "million pixels",
        "heavy.png": "larger than 20 MB",
    }.items():
        browser.upload("#file", tmp_path / name)
        wait(browser, f"document.getElementById('notice').textContent.includes({words!r})")
    assert text(browser, "#guess") == "4"


def test_sample_digits_are_answered(browser: Browser) -> None:
    for digit in (0, 3, 7, 8):
        browser.click(f"#samples button[aria-label='Sample {digit}']")
        sees(browser, str(digit))


def value(browser: Browser, selector: str) -> float:
    return float(text(browser, selector).replace("−", "-"))


def test_a_units_arithmetic_has_the_nets_numbers(browser: Browser, net: Loaded) -> None:
    browser.click("#samples button[aria-label='Sample 3']")
    sees(browser, "3")
    outputs = [sample(3)[None].astype(np.float32)]
    for layer in net.model.layers:
        outputs.append(layer.forward(outputs[-1], train=False, key=NO_KEY)[0])
    names = [layer.name for layer in net.model.layers]
    row = f"#layers > :nth-child({names.index('conv2d_2') + 1})"
    browser.run(f"(document.querySelector({row!r}).open = true, 1)")
    browser.run(f"(document.querySelector({row!r}).scrollIntoView(), 1)")
    wait(browser, f"document.querySelector({(row + ' canvas')!r}).style.width")
    browser.run(f"(document.querySelector({(row + ' canvas')!r}).focus(), 1)")
    browser.press(
        "ArrowDown", "ArrowDown", "ArrowDown", "ArrowRight", "ArrowRight", "PageDown", "PageDown", "PageDown"
    )
    wait(
        browser, "document.getElementById('unit-heading').textContent === 'conv2d_2: map 4, row 3, column 3'"
    )
    total, bias, before = (value(browser, f"#unit-sum > .line .{name}") for name in ("sum", "bias", "before"))
    assert total + bias == pytest.approx(before, abs=0.002)
    assert before == pytest.approx(outputs[names.index("conv2d_2") + 1][0, 2, 2, 3], abs=0.01)
    last = browser.run("[...document.querySelectorAll('#unit-sum .step')].at(-1).textContent")
    assert float(last.replace("−", "-")) == pytest.approx(
        outputs[names.index("relu_2") + 1][0, 2, 2, 3], abs=0.01
    )


def test_a_dense_units_products_are_listed(browser: Browser) -> None:
    draw(browser, SEVEN)
    sees(browser, "7")
    browser.run("(document.querySelector('#layers > :last-child').scrollIntoView(), 1)")
    wait(browser, "document.querySelector('#layers > :last-child canvas').style.width")
    browser.click("#layers > :last-child canvas")
    wait(browser, "document.querySelectorAll('#unit .terms tbody tr').length === 10")
    total, bias, before = (value(browser, f"#unit-sum > .line .{name}") for name in ("sum", "bias", "before"))
    assert total + bias == pytest.approx(before, abs=0.002)


def test_a_filter_is_switched_off_and_on(browser: Browser) -> None:
    draw(browser, FOUR)
    sees(browser, "4")
    browser.run("(document.querySelector('#layers > :last-child').scrollIntoView(), 1)")
    wait(browser, "document.querySelector('#layers > :last-child canvas').style.width")
    browser.run("(document.querySelector('#layers > :last-child canvas').focus(), 1)")
    browser.press(*["ArrowRight"] * 5)
    wait(browser, "document.getElementById('switch-off')?.textContent === 'Switch unit 5 off'")
    shares = "[...document.querySelectorAll('#bars .value')].map((each) => each.textContent).join()"
    before = browser.run(shares)
    browser.click("#switch-off")
    wait(browser, f"{shares} !== {before!r}")
    wait(browser, "document.getElementById('switch-off').textContent === 'Switch unit 5 on'")
    wait(browser, "!document.getElementById('all-on').hidden")
    browser.click("#all-on")
    wait(browser, f"{shares} === {before!r}")
    assert browser.run("document.activeElement.id") == "switch-off"  # not lost with the button that is gone


def test_why_shows_where_the_evidence_lies(browser: Browser) -> None:
    draw(browser, FOUR)
    sees(browser, "4")
    browser.run("(document.getElementById('why').scrollIntoView(), 1)")
    wait(browser, "document.getElementById('margin-text').textContent.includes('The scores are')")
    for name in ("cam", "saliency", "margin"):
        colours = browser.run(
            f"(() => {{ const map = document.getElementById('{name}');"
            " const { data } = map.getContext('2d').getImageData(0, 0, map.width, map.height);"
            " return new Set(new Uint32Array(data.buffer)).size; })()"
        )
        assert colours > 10, name
    browser.run(
        "((select) => { select.value = '9'; select.dispatchEvent(new Event('change')); return 1; })"
        "(document.getElementById('why-class'))"
    )
    assert "score of 9" in text(browser, "#saliency-text")


def test_corrections_are_kept_and_downloaded(browser: Browser, digits: Path, tmp_path: Path) -> None:
    browser.click("#correct .keys button")
    assert text(browser, "#kept") == "Draw something first."
    for digit in (3, 8):
        browser.click(f"#samples button[aria-label='Sample {digit}']")
        sees(browser, str(digit))
        browser.click(f"#correct .keys button:nth-child({digit + 1})")
    assert "2 drawings are noted" in text(browser, "#kept")
    browser.click("#notes summary")
    images = np.stack([sample(3), sample(8)])
    (tmp_path / "mine.csv").write_bytes(browser.download("#save-csv"))
    pixels, labels = read_csv(tmp_path / "mine.csv")
    assert np.array_equal(pixels, images)
    assert labels is not None
    assert labels.tolist() == [3, 8]
    (tmp_path / "images").write_bytes(browser.download("#save-images"))
    (tmp_path / "labels").write_bytes(browser.download("#save-labels"))
    assert np.array_equal(read_idx(tmp_path / "images"), images[..., 0])
    assert read_idx(tmp_path / "labels").tolist() == [3, 8]
    browser.reload()
    wait(browser, "document.getElementById('kept').textContent.includes('2 drawings')")
    browser.click("#notes summary")
    wait(browser, "document.querySelectorAll('#note-list button').length === 2")
    assert text(browser, "#note-list button") == "Forget 1: 3"
    browser.click("#note-list button")
    wait(browser, "document.getElementById('kept').textContent.startsWith('Forgotten: number 1, a 3. 1 ')")
    assert browser.run("document.activeElement.textContent") == "Forget 1: 8"
    browser.reload()
    wait(browser, "document.getElementById('kept').textContent === '1 drawing is noted.'")
    browser.click("#notes summary")
    browser.click("#forget")
    wait(browser, "document.getElementById('kept').textContent === 'All forgotten.'")
    assert browser.run("document.activeElement.textContent") == "0"  # the focus is not lost with its button


STORED = "JSON.parse(Object.values(localStorage)[0])"


def test_two_tabs_keep_one_anothers_corrections(browser: Browser) -> None:
    """The other tab is played by a script that writes what it would store."""
    browser.click("#samples button[aria-label='Sample 3']")
    sees(browser, "3")
    browser.click("#correct .keys button:nth-child(4)")
    wait(browser, "localStorage.length === 1")
    browser.run(
        f"(() => {{ const notes = {STORED}; localStorage[Object.keys(localStorage)[0]] ="
        " JSON.stringify([...notes, { ...notes[0], label: 5 }]); return 1 })()"
    )
    browser.click("#correct .keys button:nth-child(9)")
    wait(browser, f"{STORED}.map(({{ label }}) => label).join() === '3,5,8'")
    browser.run("(localStorage[Object.keys(localStorage)[0]] = '[]', 1)")  # it forgets all
    browser.click("#correct .keys button:nth-child(2)")
    wait(browser, f"{STORED}.map(({{ label }}) => label).join() === '1'")
    browser.run(
        "(() => { const key = Object.keys(localStorage)[0]; localStorage.removeItem(key);"
        " dispatchEvent(new StorageEvent('storage', { key })); return 1 })()"
    )
    assert text(browser, "#kept") == ""


def test_what_is_stored_and_is_no_drawing_is_left_out(browser: Browser, tmp_path: Path) -> None:
    browser.click("#samples button[aria-label='Sample 3']")
    sees(browser, "3")
    browser.click("#correct .keys button:nth-child(4)")
    browser.run(
        f"(() => {{ const [note] = {STORED}; localStorage[Object.keys(localStorage)[0]] = JSON.stringify(["
        "{ ...note, label: 99 }, { ...note, label: '1' }, { label: 1, pixels: 'AAAA' }, { label: 2 }, null,"
        " 7, { ...note, pixels: '%' }, note]); return 1 })()"
    )
    browser.reload()
    wait(browser, "document.getElementById('kept').textContent === '1 drawing is noted.'")
    browser.click("#notes summary")
    (tmp_path / "mine.csv").write_bytes(browser.download("#save-csv"))
    pixels, labels = read_csv(tmp_path / "mine.csv")
    assert labels is not None
    assert (labels.tolist(), pixels.shape) == ([3], (1, 28, 28, 1))
    browser.run("(localStorage[Object.keys(localStorage)[0]] = 'no JSON', 1)")
    browser.reload()
    wait(browser, "document.getElementById('notes').hidden")


TOUCHED = """((type, at) => {
  const pad = document.getElementById('pad'), { left, top } = pad.getBoundingClientRect();
  pad.setPointerCapture = () => {}; // which refuses fingers that a script made up
  performance.now = () => at;
  for (const [kind, shift] of [['down', 40], ['move', 80], ['up', 120]]) {
    const place = { clientX: left + 60, clientY: top + shift, button: kind === 'move' ? -1 : 0 };
    const pointer = { pointerType: type, pointerId: 7, bubbles: true, ...place };
    pad.dispatchEvent(new PointerEvent(`pointer${kind}`, pointer));
  }
  return 1;
})"""


def test_a_finger_draws_again_once_the_pen_is_away(browser: Browser) -> None:
    for type_, at, draws in [
        ("touch", 0, True),
        ("pen", 1000, True),
        ("touch", 2000, False),
        ("touch", 9000, True),
    ]:
        browser.run("(document.getElementById('clear').click(), 1)")
        before = browser.run("document.getElementById('clear').getAttribute('aria-disabled')")
        assert before == "true"
        browser.run(f"{TOUCHED}({type_!r}, {at})")
        blank = browser.run("document.getElementById('clear').getAttribute('aria-disabled')")
        assert (blank == "false") is draws, (type_, at)


def test_before_a_drawing_there_is_no_layer_to_tab_to(browser: Browser) -> None:
    assert browser.run("document.getElementById('layers').hidden")
    browser.click("#samples button[aria-label='Sample 3']")
    browser.run("document.getElementById('inside').scrollIntoView() ?? 1")
    wait(browser, "!document.getElementById('layers').hidden")


def test_a_fault_of_a_page_would_be_heard(launched: Browser, tmp_path: Path) -> None:
    (tmp_path / "bad.html").write_text(
        "<!doctype html><title>bad</title>"
        "<meta http-equiv='Content-Security-Policy' content=\"default-src 'none';"
        " script-src 'sha256-vx4d2fdFaS7jUPXb0cJU+cRQO91pzK/v5FR0oFJAWDk='\"><meta name='x'>"
        "<body onload='0'><script>console.error('broken')</script>"
    )
    launched.open(tmp_path / "bad.html")
    wait(launched, "document.readyState === 'complete'")
    said = " ".join(launched.faults())
    assert "broken" in said
    assert "Content Security Policy" in said


def test_a_net_of_a_single_output_answers_with_both_classes(launched: Browser, tmp_path: Path) -> None:
    model = Sequential([Rescale(), Flatten(), Dense(1)], (28, 28, 1), backend="numpy", seed=3)
    page = tmp_path / "single.html"
    page.write_text(build(model, {}, ["a", "b"], loss=BinaryCrossEntropy()), "utf-8")
    launched.open(page)
    draw(launched, FOUR)
    launched.run("(document.getElementById('why').scrollIntoView(), 1)")
    wait(launched, "document.getElementById('margin-text').textContent.includes('The scores are')")
    shares = launched.run("[...document.querySelectorAll('#bars li')].map((each) => each.textContent).join()")
    assert sum(map(float, re.findall(r"[\d.]+(?= ?%)", shares))) == pytest.approx(100, abs=0.2), shares
    assert launched.faults() == []


def test_a_long_class_name_does_not_widen_the_page(launched: Browser, tmp_path: Path) -> None:
    model = Sequential([Rescale(), Flatten(), Dense(3)], (8, 8, 1), backend="numpy", seed=3)
    page = tmp_path / "long.html"
    page.write_text(build(model, {}, ["x" * 500, "b", "c"], loss=SoftmaxCrossEntropy()), "utf-8")
    launched.open(page, 1000, 800)
    assert launched.run("document.documentElement.scrollWidth <= innerWidth")
    assert launched.faults() == []
