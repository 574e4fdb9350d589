"""Bad input of every kind: a clear sentence, and the service goes on."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image
from served import Client, digit

from tinynet.data.pictures.whole import read_whole
from tinynet.data.strokes import rasterize

OK_PIXELS = digit()[..., 0].tolist()


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def with_pixel(value: object) -> list[Any]:
    rows: list[Any] = [list(row) for row in OK_PIXELS]
    rows[3][4] = value
    return rows


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "the body is no JSON"),
        (b"{", "the body is no JSON"),
        (b"\xff\xfe", "the body is no JSON"),
        (b"[1, 2]", '{"pixels": …} or {"strokes": …}'),
        (b"{}", '{"pixels": …} or {"strokes": …}'),
        (b'{"pixels": [1], "strokes": []}', '{"pixels": …} or {"strokes": …}'),
        (b'{"pixels": [1], "top": 3}', '{"pixels": …} or {"strokes": …}'),
        (b'{"pixels": NaN}', "NaN is no JSON"),
        (b'{"pixels": [Infinity]}', "Infinity is no JSON"),
        (b'{"pixels": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deep"),
        (b'{"pixels": ' + b"[" * 90 + b"]" * 90 + b"}", ""),
        (b'{"pixels": [' + b"9" * 5000 + b"]}", "the body is no JSON"),
        (b'{"pixels": [1e999]}', "pixels are numbers from 0 to 255"),
        (b'{"pixels": []}', ""),
        (b'{"pixels": 7}', "the pixels are a single number; net takes 28 \u00d7 28, or several of that"),
        (b'{"pixels": [[1, 2], [3]]}', "its rows have different lengths"),
        (b'{"pixels": [[1, 2], [3, 4]]}', "the pixels are 2 \u00d7 2; net takes 28 \u00d7 28"),
        (b'{"pixels": "white"}', "pixels are numbers from 0 to 255"),
        (b'{"pixels": null}', "pixels are numbers from 0 to 255"),
        (b'{"pixels": {"0": 1}}', "pixels are numbers from 0 to 255"),
        ({"pixels": with_pixel(-1)}, "pixels are numbers from 0 to 255"),
        ({"pixels": with_pixel(256)}, "pixels are numbers from 0 to 255"),
        ({"pixels": with_pixel(2**70)}, "pixels are numbers from 0 to 255"),
        ({"pixels": with_pixel("7")}, "pixels are numbers from 0 to 255"),
        ({"pixels": with_pixel(None)}, "pixels are numbers from 0 to 255"),
        ({"pixels": with_pixel([1])}, "its rows have different lengths"),
        ({"pixels": [OK_PIXELS] * 65}, "65 images; a request has at most 64"),
        ({"strokes": 3}, "strokes are lists of points"),
        ({"strokes": [3]}, "strokes are lists of points"),
        ({"strokes": []}, "nothing is drawn"),
        ({"strokes": [[]]}, "nothing is drawn"),
        ({"strokes": [[[1, 2, 3]]]}, "a point is [x, y]"),
        ({"strokes": [[[1, True]]]}, "a point is [x, y]"),
        ({"strokes": [[[1, 1e7]]]}, "a point is [x, y]"),
        ({"strokes": [[[1, 2]] * 10_001]}, "10,001 points; a drawing has at most 10,000"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/predict", "/v1/explain"])
def test_json_that_is_no_image(ask: Client, path: str, body: Any, said: str) -> None:
    answer = ask(path, body)
    assert answer.status == 400
    assert said in answer.error


def test_bytes_that_are_no_image(ask: Client) -> None:
    for body, said in [
        (b"", "0 bytes are no images of 28 × 28 × 1 = 784 bytes each"),
        (b"a" * 785, "785 bytes are no images of 28 × 28 × 1 = 784 bytes each"),
        (b"a" * 784 * 65, "65 images; a request has at most 64"),
    ]:
        answer = ask("/v1/predict", body, Content_Type="application/octet-stream")
        assert (answer.status, answer.error) == (400, said)


@pytest.mark.parametrize(
    "media", ["text/plain", "image/heic", "image/gif", "multipart/form-data", "", "a/b/c"]
)
def test_another_content_type(ask: Client, media: str) -> None:
    answer = ask("/v1/predict", b"x", Content_Type=media)
    assert (answer.status, answer.error) == (
        415,
        "the content type is one of application/json, application/octet-stream, "
        "image/png, image/jpeg, image/webp",
    )
    assert ask("/v2/models/net/infer", b"{}", Content_Type=media).status == 415


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    """A grey PNG that claims to be so large, with one row of data."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IDAT", zlib.compress(b"\0" * 100))


def noise() -> Image.Image:
    levels = np.random.default_rng(1).integers(0, 256, (60, 60), np.uint8)
    return Image.fromarray(levels)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "the picture is not a picture; expected: PNG, JPEG, WEBP"),
        (b"only a text", "the picture is not a picture; expected: PNG, JPEG, WEBP"),
        (encoded(noise(), "GIF"), "the picture is not a picture; expected: PNG, JPEG, WEBP"),
        (encoded(noise(), "TIFF"), "the picture is not a picture; expected: PNG, JPEG, WEBP"),
        (b"\0\0\0\x18ftypheic" + bytes(100), "the picture is HEIC: save it as PNG or JPEG"),
        (b"\0\0\0\x18ftypavif" + bytes(100), "the picture is AVIF: save it as PNG or JPEG"),
        (encoded(noise())[:300], "the picture cannot be read"),
        (encoded(Image.new("L", (90, 90), 255)), "the picture is blank"),
        (encoded(Image.new("L", (28, 28), 0)), "the picture is blank"),
        (encoded(Image.new("L", (28, 28), 90)), "the picture is blank"),
        (encoded(Image.new("L", (2001, 2000))), "at most 4,000,000 pixels; received: 2000 x 2001"),
        (png(65_000, 65_000), "the picture is too large"),
        (png(2**31 - 1, 2**31 - 1), "the picture is too large"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_a_picture_that_is_none(ask: Client, body: bytes, said: str) -> None:
    answer = ask("/v1/predict", body, Content_Type="image/png")
    assert answer.status == 400
    assert said in answer.error


def drawn(mode: str = "L", ground: Any = 240, ink: Any = 10) -> Image.Image:
    image = Image.new(mode, (90, 120), ground)
    image.paste(ink, (40, 20, 50, 100))
    return image


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    return encoded(drawn().transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif, quality=95)


def sixteen_bits() -> bytes:
    return encoded(Image.fromarray(np.asarray(drawn()).astype(np.uint16) * 250))


@pytest.mark.parametrize(
    ("media", "body"),
    [
        ("png", encoded(drawn("RGBA", (0, 0, 0, 0), (0, 0, 0, 255)))),
        ("png", encoded(drawn().convert("P"))),
        ("png", sixteen_bits()),
        ("jpeg", encoded(drawn("CMYK", (0, 0, 0, 10), (0, 0, 0, 250)), "JPEG")),
        ("jpeg", turned()),
        ("jpeg", encoded(drawn())),  # the bytes count, not what they are said to be
    ],
    ids=["transparent", "palette", "16 bits", "CMYK", "turned by EXIF", "PNG called JPEG"],
)
def test_an_unusual_picture_is_seen_as_the_usual_one(ask: Client, media: str, body: bytes) -> None:
    expected = ask("/v1/explain", encoded(drawn()), Content_Type="image/png").json["pixels"]
    found = ask("/v1/explain", body, Content_Type=f"image/{media}").json["pixels"]
    assert np.abs(np.subtract(found, expected)).max() <= 64
    assert np.argmax(np.sum(found, axis=0)) == np.argmax(np.sum(expected, axis=0))


def test_a_net_of_colours_takes_pictures_as_it_was_trained_on_them(ask: Client) -> None:
    colours = np.random.default_rng(3).integers(0, 256, (12, 9, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(colours).save(stream, "PNG")
    found = ask("/v1/explain?model=colour", stream.getvalue(), Content_Type="image/png").json
    assert np.array_equal(found["pixels"], read_whole(stream.getvalue(), (6, 6, 3)).image)
    assert found["fitted"] == "scaled from 12 x 9 to 6 x 4 (height x width)"
    strokes = ask("/v1/predict?model=colour", {"strokes": [[[1, 2], [3, 4]]]})
    assert (strokes.status, "colour sees pictures, not drawings" in strokes.error) == (400, True)


def test_strokes_are_drawn_by_the_function_that_all_share(ask: Client) -> None:
    lines = [[[0, 0], [20, 0], [8, 40]]]
    found = ask("/v1/explain", {"strokes": lines}).json["pixels"]
    assert np.array_equal(found, rasterize(lines))


def test_a_large_table_is_read_aside_and_answered(ask: Client) -> None:
    body = json.dumps({"pixels": [OK_PIXELS] * 64}).encode()
    assert len(body) > 2**14
    assert len(ask("/v1/predict", body).json["predictions"]) == 64


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        ("[[true, 0]]", "pixels are numbers"),
        ("[[0, 1.5, false]]", "pixels are numbers"),
        (f"[[{'9' * 5001}]]", "the body is no JSON: a number has thousands of digits"),
    ],
)
def test_numbers_that_are_none(ask: Client, pixels: str, said: str) -> None:
    answer = ask("/v1/predict", f'{{"pixels": {pixels}}}'.encode())
    assert answer.status == 400
    assert answer.error.startswith(said)


def test_truths_are_no_pixels_of_the_protocol_either(ask: Client) -> None:
    tensor = {"name": "image", "shape": [1, 28, 28, 1], "datatype": "UINT8", "data": [0] * 783 + [True]}
    table = {"inputs": [tensor], "parameters": {"binary_data_output": False}}
    answer = ask("/v2/models/net/infer", table)
    assert (answer.status, answer.error) == (400, "pixels are numbers from 0 to 255")
    tensor["data"] = [0] * 784
    assert ask("/v2/models/net/infer", table).status == 200


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/explain", "/v2/models/net/infer"])
def test_a_packed_body_is_refused(ask: Client, path: str) -> None:
    answer = ask(path, gzip.compress(b"{}"), Content_Encoding="gzip", Content_Type="application/json")
    assert answer.status == 415
    assert "without Content-Encoding" in answer.error
