"""tinynet.data.pictures: what becomes of a picture before a model sees it."""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
from PIL import Image

from tinynet.data import load
from tinynet.data.pictures import MAX_PIXELS, read_as_it_is, read_drawing, read_picture
from tinynet.data.strokes import rasterize
from tinynet.errors import DataError
from tinynet.types import Array, Shape

Save: TypeAlias = Callable[..., Path]
"""Writes pixels or an image to a file of this name."""


def read_image(path: Path, shape: Shape = (28, 28, 1)) -> tuple[Array, str]:
    """What the net sees, and how it came to that, in words."""
    reading = read_picture(path, shape)
    return reading.image, reading.fitted


def picture(height: int = 200, width: int = 160, ground: int = 255, ink: int = 0) -> Array:
    """An upright bar of 20 x 100 pixels, off the middle."""
    canvas = np.full((height, width), ground, np.uint8)
    canvas[30:130, 20:40] = ink
    return canvas


@pytest.fixture
def save(tmp_path: Path) -> Save:
    def write(array: Array | Image.Image, name: str = "picture.png", **options: Any) -> Path:
        image = array if isinstance(array, Image.Image) else Image.fromarray(array)
        image.save(tmp_path / name, **options)
        return tmp_path / name

    return write


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "LA"])
def test_a_picture_like_mnists_is_used_as_it_is(save: Save, mode: str) -> None:
    digit = load("sample").test.images[3, ..., 0]
    image, fitted = read_image(save(Image.fromarray(digit).convert(mode)))
    np.testing.assert_array_equal(image[..., 0], digit)
    assert image.dtype == np.uint8
    assert fitted == "used as it is"


@pytest.mark.parametrize("suffix", ["png", "bmp", "gif", "tiff", "webp", "jpg"])
def test_every_format_gives_the_same_centred_digit(save: Save, suffix: str) -> None:
    image, fitted = read_image(save(picture(), f"p.{suffix}"))
    assert image.shape == (28, 28, 1)
    rows, columns = (np.flatnonzero(image[..., 0].max(axis=axis) > 60) for axis in (1, 0))
    assert (rows[0], rows[-1]) == (5, 24)
    assert 11 <= columns[0] <= columns[-1] <= 16
    assert image.max() == 255
    assert fitted.startswith("inverted, cropped from 200 x 160 to ")


@pytest.mark.parametrize(("ground", "ink"), [(255, 0), (0, 255), (200, 90), (60, 140)])
def test_contrast_and_polarity_do_not_matter(save: Save, ground: int, ink: int) -> None:
    image, fitted = read_image(save(picture(ground=ground, ink=ink)))
    expected, _ = read_image(save(picture(), "other.png"))
    np.testing.assert_array_equal(image, expected)
    assert ("inverted" in fitted) == (ground > 127)


def test_colour_and_transparency(save: Save) -> None:
    colours = np.stack([picture(ink=30), picture(ink=30), picture(ink=160)], axis=-1)
    assert read_image(save(colours))[1].startswith("turned to grey, inverted")
    see_through = Image.fromarray(np.zeros((200, 160, 4), np.uint8))
    see_through.putalpha(Image.fromarray(255 - picture()))
    expected, _ = read_image(save(picture(), "opaque.png"))
    np.testing.assert_array_equal(read_image(save(see_through, "see.png"))[0], expected)


def test_sixteen_bits(save: Save) -> None:
    expected, _ = read_image(save(picture(), "eight.png"))
    np.testing.assert_array_equal(read_image(save(picture().astype(np.uint16) * 257))[0], expected)


def test_a_photograph_is_turned_upright(save: Save) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side
    turned = save(np.rot90(picture()), "turned.jpg", exif=exif, quality=95)
    expected, _ = read_image(save(picture()))
    assert abs(read_image(turned)[0].astype(int) - expected).mean() < 4


def test_the_centre_of_mass_comes_to_the_middle(save: Save) -> None:
    for index in range(20):
        digit = load("sample").test.images[index, ..., 0]
        large = Image.fromarray(255 - digit).resize((224, 224), Image.Resampling.BICUBIC)
        canvas = Image.new("L", (500, 400), 255)
        canvas.paste(large, (11 * index, 7 * index))
        image, _ = read_image(save(canvas))
        levels = image[..., 0] / image.sum()
        assert levels.sum(axis=1) @ np.arange(28) == pytest.approx(14, abs=0.51)
        assert levels.sum(axis=0) @ np.arange(28) == pytest.approx(14, abs=0.51)
        shifted = [np.roll(image[..., 0], (y, x), (0, 1)) for y in (-1, 0, 1) for x in (-1, 0, 1)]
        assert min(abs(each.astype(int) - digit).mean() for each in shifted) < 12


def test_another_size(save: Save) -> None:
    image, _ = read_image(save(picture()), (14, 56, 1))
    assert image.shape == (14, 56, 1)
    assert np.count_nonzero(image[..., 0].max(axis=1) > 60) == 10


@pytest.mark.parametrize("shape", [(784,), (28, 28), (28, 28, 3)])
def test_a_shape_that_is_no_grey_picture(save: Save, shape: Shape) -> None:
    with pytest.raises(DataError, match="does not fit this model"):
        read_image(save(picture()), shape)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_blank_picture(save: Save, level: int) -> None:
    with pytest.raises(DataError, match="is blank"):
        read_image(save(np.full((50, 40), level, np.uint8)))


def test_a_single_dot_and_a_line_to_the_edge(save: Save) -> None:
    dot = np.full((50, 50), 255, np.uint8)
    dot[7, 9] = 0
    assert read_image(save(dot))[0].max() == 255
    line = np.full((50, 50), 255, np.uint8)
    line[25] = 0
    assert np.count_nonzero(read_image(save(line))[0].max(axis=(0, 2))) == 20


def test_a_picture_that_is_too_large(save: Save) -> None:
    bomb = Image.new("1", (MAX_PIXELS // 4096 + 1, 4096))
    with pytest.raises(DataError, match=r"is too large(.|\n)*at most 67,108,864 pixels"):
        read_image(save(bomb, "bomb.png"))


def test_a_bomb_that_pillow_itself_refuses(tmp_path: Path, save: Save) -> None:
    whole = bytearray(save(picture()).read_bytes())
    whole[16:24] = (60_000).to_bytes(4, "big") * 2  # the size in PNG's header
    whole[29:33] = zlib.crc32(whole[12:29]).to_bytes(4, "big")
    (tmp_path / "bomb.png").write_bytes(whole)
    with pytest.raises(DataError, match="is too large"):
        read_image(tmp_path / "bomb.png")


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "tiff", "webp", "bmp"])
def test_damaged_files_end_in_a_data_error_or_a_picture(save: Save, tmp_path: Path, suffix: str) -> None:
    noisy = np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)
    whole = save(noisy, f"whole.{suffix}").read_bytes()
    (tmp_path / "cut").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError):
        read_image(tmp_path / "cut")
    for position in range(0, len(whole), max(1, len(whole) // 60)):
        damaged = bytearray(whole)
        damaged[position] ^= 0xFF
        (tmp_path / "damaged").write_bytes(damaged)
        with contextlib.suppress(DataError):
            assert read_image(tmp_path / "damaged")[0].shape == (28, 28, 1)


def test_what_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(DataError, match="is not a picture"):
        read_image(tmp_path / "text.png")
    with pytest.raises(DataError, match=r"cannot be read(.|\n)*No such file"):
        read_image(tmp_path / "missing.png")
    with pytest.raises(DataError, match=r"cannot be read(.|\n)*directory"):
        read_image(tmp_path)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(DataError, match=r"cannot be read(.|\n)*a pipe"):
        read_image(tmp_path / "pipe.png")


@pytest.mark.parametrize(("brand", "kind"), [(b"heic", "HEIC"), (b"mif1", "HEIC"), (b"avif", "AVIF")])
def test_what_cannot_be_decoded_is_refused_by_name(tmp_path: Path, brand: bytes, kind: str) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"\0\0\0\x18ftyp" + brand + bytes(12))
    with pytest.raises(DataError, match=rf"photo\.jpg is {kind}: save it as PNG or JPEG"):
        read_image(tmp_path / "photo.jpg")


def test_several_digits_are_counted_and_the_strokes_of_one_are_not(save: Save) -> None:
    one = picture(200, 300)
    assert read_picture(save(one)).warning is None
    one[30:130, 200:220] = 0
    assert read_picture(save(one)).warning == "several digits: 2 separate shapes"
    five = picture(200, 300)
    five[10:24, 40:110] = 0  # the bar of a 5 that does not touch
    assert read_picture(save(five)).warning is None


def test_noise_alone_is_blank(save: Save) -> None:
    for sigma in (5, 30):
        grey = np.random.default_rng(sigma).normal(128, sigma, (240, 320))
        with pytest.raises(DataError, match="is blank"):
            read_image(save(grey.clip(0, 255).astype(np.uint8)))


def test_lines_and_dust_are_dropped_and_shown(save: Save) -> None:
    paper = np.full((300, 300), 250, np.uint8)
    paper[20::40] = paper[:, 15::40] = 150
    paper[250:254, 280:284] = 0
    paper[60:240, 130:160] = 20
    reading = read_picture(save(paper))
    assert "lines dropped" in reading.fitted
    assert reading.dropped is not None
    assert reading.ink is not None
    assert reading.dropped[250:254, 280:284].all()
    assert reading.ink[:50].max() == 0
    assert reading.ink[70:230, 135:155].min() > 0.9


SEVEN = {"strokes": [[[10, 10], [60, 12], [30, 110]], [[20, 60], [50, 58]]], "label": 7}


@pytest.fixture
def drawn(tmp_path: Path) -> Callable[[object], Path]:
    """Writes a drawing to a file."""

    def write(table: object) -> Path:
        path = tmp_path / "drawing.json"
        path.write_text(table if isinstance(table, str) else json.dumps(table))
        return path

    return write


def test_a_drawing_is_read_as_the_page_reads_it(drawn: Callable[[object], Path]) -> None:
    reading = read_drawing(drawn(SEVEN))
    assert np.array_equal(reading.image[..., 0], rasterize(SEVEN["strokes"]))  # type: ignore[arg-type]
    assert reading.fitted == "2 strokes, scaled, centred"
    assert reading.digits == 1
    assert reading.picture.shape == (112, 112, 3)
    assert reading.picture[:5].min() == 255  # ink on paper
    assert reading.dropped is not None
    assert not reading.dropped.any()


def test_two_digits_in_a_drawing_are_told(drawn: Callable[[object], Path]) -> None:
    two = {"strokes": [[[0, 0], [0, 100]], [[60, 0], [62, 100]]]}
    assert read_drawing(drawn(two)).warning == "several digits: 2 separate shapes"
    dot = {"strokes": [[[5, 5]]]}
    assert read_drawing(drawn(dot)).fitted == "1 stroke, scaled, centred"


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"strokes": []}, "is blank"),
        ({"strokes": [[]]}, "is blank"),
        ({"label": 7}, "it has no strokes"),
        ("{", "cannot be read as a drawing"),
        ({"strokes": [[[1, 2, 3]]]}, "no stroke"),
        ({"strokes": [[["a", "b"]]]}, "no stroke"),
        ({"strokes": 7}, "no stroke"),
        ('{"strokes": [[[NaN, 1]]]}', "no stroke"),
        ('{"strokes": [[[1e999, 1]]]}', "no stroke"),
        ({"strokes": [[[0, 0]] * 10_000]}, "at most 65,536 bytes"),
    ],
)
def test_a_drawing_that_is_none_is_refused(drawn: Callable[[object], Path], table: object, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_drawing(drawn(table))


@pytest.mark.parametrize("shape", [(28, 28, 3), (28, 32, 1), (4, 4, 1), (784,)])
def test_a_drawing_is_for_square_grey_models(drawn: Callable[[object], Path], shape: Shape) -> None:
    with pytest.raises(DataError, match="does not fit this model"):
        read_drawing(drawn(SEVEN), shape)


def test_a_picture_in_memory_is_read_as_its_file_is(tmp_path: Path) -> None:
    canvas = np.full((120, 90), 240, np.uint8)
    canvas[20:100, 40:50] = 10
    path = tmp_path / "one.png"
    Image.fromarray(canvas).save(path)
    from_memory = read_picture(path.read_bytes())
    assert np.array_equal(from_memory.image, read_picture(path).image)
    with pytest.raises(DataError, match=r"the picture is too large\n.*at most 10,799 pixels"):
        read_picture(path.read_bytes(), max_pixels=10_799)
    with pytest.raises(DataError, match=r"the picture is not a picture\n  expected: JPEG\n"):
        read_picture(path.read_bytes(), formats=("JPEG",))
    with pytest.raises(DataError, match="the picture is not a picture"):
        read_picture(b"")


def test_only_what_needs_no_fitting_is_read_as_it_is(tmp_path: Path) -> None:
    digit = load("sample").test.images[0]
    path = tmp_path / "digit.png"
    Image.fromarray(digit[..., 0]).save(path)
    ready = read_as_it_is(path.read_bytes(), (28, 28, 1))
    assert ready is not None
    assert np.array_equal(ready.image, digit)
    assert ready.fitted == read_picture(path).fitted == "used as it is"
    exif = Image.Exif()
    exif[0x0112] = 6
    grey = Image.fromarray(digit[..., 0])
    grey.save(path, exif=exif)
    assert read_as_it_is(path.read_bytes(), (28, 28, 1)) is None
    grey.save(path, transparency=0)
    assert read_as_it_is(path.read_bytes(), (28, 28, 1)) is None
    for other in (Image.fromarray(255 - digit[..., 0]), grey.resize((27, 28)), grey.convert("RGB")):
        other.save(path)
        assert read_as_it_is(path.read_bytes(), (28, 28, 1)) is None
    assert read_as_it_is(path.read_bytes()[:100], (28, 28, 1)) is None
