"""How a drawing may come to us: light, paper, pen, camera and file."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

from drawings.pen import Writer
from tinynet.types import Array

Random = np.random.Generator
Colour = tuple[float, ...]
WHITE, BLACK = (255, 255, 255), (15, 15, 18)
PAPER, INK = (246, 244, 238), (30, 32, 52)


# --- the parts of a picture -----------------------------------------------------------------------------


def paint(ink: Array, ground: Array | Colour, colour: Colour) -> Array:
    """Colours (h, w, 3), from 0 to 255, where `ink` (h, w) covers the ground."""
    return np.asarray(ground, float) * (1 - ink[..., None]) + np.asarray(colour, float) * ink[..., None]


def ramp(shape: tuple[int, ...], random: Random, lowest: float) -> Array:
    """Light (h, w, 1) that falls from 1 to `lowest` in some direction."""
    angle = random.uniform(0, 2 * np.pi)
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    along = x * np.cos(angle) + y * np.sin(angle)
    along = (along - along.min()) / np.ptp(along)
    return (1 - (1 - lowest) * along)[..., None]


def shade(shape: tuple[int, ...], random: Random, depth: float, soft: float) -> Array:
    """Light (h, w, 1) with a shadow on one side of a line through the picture; `soft`: its edge."""
    angle = random.uniform(0, 2 * np.pi)
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    away = x * np.cos(angle) + y * np.sin(angle) - random.uniform(-0.4, 0.4)
    return (1 - depth / (1 + np.exp(-away / soft)))[..., None]


def noise(colours: Array, random: Random, sigma: float) -> Array:
    return colours + random.normal(0, sigma, colours.shape)


def blur(colours: Array, radius: float) -> Array:
    return np.asarray(image(colours).filter(ImageFilter.GaussianBlur(radius)), float)


def image(colours: Array) -> Image.Image:
    return Image.fromarray(np.clip(colours, 0, 255).round().astype(np.uint8))


def file(picture: Image.Image | Array, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    (image(picture) if isinstance(picture, np.ndarray) else picture).save(stream, kind, **options)
    return stream.getvalue()


def jpeg(colours: Array, quality: int = 70) -> bytes:
    return file(colours, "JPEG", quality=quality)


def warped(colours: Array, ground: Colour, random: Random, by: float, size: tuple[int, int]) -> Array:
    """The picture as the camera sees it from aside: its corners moved by up to `by` of a side."""
    height, width = colours.shape[:2]
    corners = np.array([[0, 0], [0, height], [width, height], [width, 0]], float)
    margin = (np.array(size) - (width, height)) / 2
    seen = corners + margin + random.uniform(-by, by, (4, 2)) * min(height, width)
    rows, targets = [], []
    for (u, v), (x, y) in zip(seen, corners, strict=True):
        rows += [[u, v, 1, 0, 0, 0, -x * u, -x * v], [0, 0, 0, u, v, 1, -y * u, -y * v]]
        targets += [x, y]
    numbers = np.linalg.solve(rows, targets).tolist()
    fill = tuple(round(level) for level in ground)
    bicubic = Image.Resampling.BICUBIC
    return np.asarray(
        image(colours).transform(size, Image.Transform.PERSPECTIVE, numbers, bicubic, fillcolor=fill), float
    )


def grain(shape: tuple[int, int], random: Random, colour: Colour) -> Array:
    """A wooden desk (h, w, 3): streaks along it."""
    streaks = np.convolve(random.normal(size=shape[0] + 20), np.hanning(7), "same")[10:-10]
    waves = np.sin(np.linspace(0, 3, shape[1]) + random.uniform(0, 6))
    rows = np.clip((np.arange(shape[0])[:, None] + 4 * waves).astype(int), 0, shape[0] - 1)
    return np.asarray(colour, float) * (1 + 0.06 * streaks[rows])[..., None]


# --- the conditions -------------------------------------------------------------------------------------


def clean(w: Writer, random: Random) -> bytes:
    return file(paint(w.write(pen=random.uniform(0.07, 0.12)), WHITE, BLACK))


def light_on_dark(w: Writer, random: Random) -> bytes:
    return file(paint(w.write(), (24, 26, 30), (235, 235, 228)))


def coloured_ink(w: Writer, random: Random) -> bytes:
    inks = [(200, 30, 40), (20, 60, 190), (20, 130, 60), (150, 40, 160), (230, 120, 20)]
    papers = [WHITE, PAPER, (255, 246, 190), (220, 235, 250)]
    return file(paint(w.write(), papers[random.integers(4)], inks[random.integers(5)]))


def green_on_red(w: Writer, random: Random) -> bytes:
    """Grey levels are equal: 0.299 R + 0.587 G + 0.114 B."""
    return file(
        paint(w.write(), (230, 60, 50), (44, 140, 60))
        if random.random() < 0.5
        else paint(w.write(), (40, 128, 70), (190, 44, 100))
    )


def gradient(w: Writer, random: Random) -> bytes:
    ink = w.write()
    return file(paint(ink, WHITE, BLACK) * ramp(ink.shape, random, random.uniform(0.2, 0.45)))


def gradient_with_noise(w: Writer, random: Random) -> bytes:
    ink = w.write(300, 300)
    lit = paint(ink, PAPER, INK) * ramp(ink.shape, random, random.uniform(0.35, 0.55))
    return file(noise(lit, random, 14))


def shadow(w: Writer, random: Random) -> bytes:
    ink = w.write(300, 400)
    return jpeg(
        noise(paint(ink, PAPER, INK) * shade(ink.shape, random, random.uniform(0.35, 0.5), 0.03), random, 3)
    )


def dark_shadow(w: Writer, random: Random) -> bytes:
    ink = w.write(300, 400)
    lit = paint(ink, PAPER, INK) * shade(
        ink.shape, random, random.uniform(0.6, 0.75), random.uniform(0.1, 0.4)
    )
    return jpeg(noise(blur(lit, 0.8), random, 5))


def photo_gradient(w: Writer, random: Random) -> bytes:
    ink = w.write(300, 400, size=random.uniform(0.45, 0.65), pen=random.uniform(0.07, 0.11))
    warm = paint(ink, (232, 224, 206), (42, 44, 62)) * ramp(ink.shape, random, random.uniform(0.45, 0.6))
    return jpeg(noise(blur(warm, 1.0), random, 5), 60)


def vignette(w: Writer, random: Random) -> bytes:
    ink = w.write(360, 360, size=0.5)
    y, x = np.mgrid[-1:1:360j, -1:1:360j]
    falling = 1 / (1 + random.uniform(0.6, 1.2) * (x**2 + y**2))
    return jpeg(noise(paint(ink, PAPER, INK) * falling[..., None], random, 5))


def sheet_on_desk(w: Writer, random: Random) -> bytes:
    desk = np.tile(
        np.array([(70, 44, 30), (58, 60, 66), (110, 80, 52)][random.integers(3)], float), (360, 480, 1)
    )
    ink = w.write(260, 360, size=0.65)
    sheet = paint(ink, PAPER, (18, 18, 30)) * ramp(ink.shape, random, 0.9)
    desk[50:310, 60:420] = sheet
    return jpeg(noise(desk, random, 3))


def wooden_desk(w: Writer, random: Random) -> bytes:
    """The sheet lies askew on it, and is seen from aside."""
    colour = [(120, 84, 52), (92, 60, 40), (70, 66, 62)][random.integers(3)]
    ink = w.write(260, 320, size=0.6)
    marked = np.concatenate([paint(ink, PAPER, INK), np.ones((*ink.shape, 1)) * 255], axis=2)
    layers = image(marked).rotate(random.uniform(-12, 12), Image.Resampling.BICUBIC, expand=True)
    seen = warped(np.asarray(layers, float), (0, 0, 0, 0), random, 0.04, (480, 400))
    cover = seen[..., 3:] / 255
    picture = grain((400, 480), random, colour) * (1 - cover) + seen[..., :3] * cover
    return jpeg(noise(picture * ramp(picture.shape, random, 0.7), random, 4))


def squared_paper(w: Writer, random: Random) -> bytes:
    ink, step, first = w.write(320, 320), int(random.integers(20, 40)), int(random.integers(16))
    paper = np.tile(np.array((252, 252, 246), float), (320, 320, 1))
    paper[first::step] = paper[:, first::step] = (160, 182, 220)
    return file(paint(ink, paper, [(18, 18, 90), (20, 20, 20), (60, 60, 70)][random.integers(3)]))


def ruled_paper(w: Writer, random: Random) -> bytes:
    ink, step = w.write(340, 340, size=0.5), int(random.integers(34, 60))
    paper = np.tile(np.array((250, 248, 240), float), (340, 340, 1))
    for first in range(random.integers(8, step), 339, step):
        paper[first : first + 2] = (130, 150, 190)
    paper[:, 36:38] = (214, 110, 110)
    return jpeg(paint(ink, paper, INK) * ramp(ink.shape, random, 0.75), 75)


def rotated(w: Writer, random: Random) -> bytes:
    return file(paint(w.write(turned=random.uniform(-25, 25)), WHITE, BLACK))


def heavy_noise(w: Writer, random: Random) -> bytes:
    ink = w.write(300, 300)
    lit = paint(ink, (200, 198, 194), (20, 20, 20)) * ramp(ink.shape, random, 0.7)
    rough = noise(lit, random, 38)
    return file(rough)


def thin_pen(w: Writer, random: Random) -> bytes:
    return file(paint(w.write(400, 400, pen=random.uniform(0.012, 0.03)), WHITE, (40, 40, 60)))


def thick_pen(w: Writer, random: Random) -> bytes:
    return file(paint(w.write(pen=random.uniform(0.17, 0.21)), WHITE, BLACK))


def small_in_a_corner(w: Writer, random: Random) -> bytes:
    at = (random.choice([0.15, 0.85]), random.choice([0.15, 0.85]))
    return file(paint(w.write(480, 480, size=random.uniform(0.12, 0.2), at=at), WHITE, BLACK))


def printed_font(w: Writer, random: Random) -> bytes:
    return file(paint(w.printed(size=random.uniform(0.4, 0.75)), WHITE, (0, 0, 0)))


def transparent(w: Writer, random: Random) -> bytes:
    """Dark ink on nothing."""
    return file(_see_through(w.write(), (20, 30, 60)))


def white_on_transparent(w: Writer, random: Random) -> bytes:
    return file(_see_through(w.write(), WHITE))


def _see_through(ink: Array, colour: Colour) -> Image.Image:
    layers = np.zeros((*ink.shape, 4))
    layers[..., :3] = colour
    layers[..., 3] = 255 * ink
    return image(layers)


def low_contrast(w: Writer, random: Random) -> bytes:
    """A hard pencil."""
    ink = w.write(300, 300, pen=0.05)
    return jpeg(noise(paint(ink, (226, 224, 220), (176, 176, 178)), random, 4), 85)


def blurred(w: Writer, random: Random) -> bytes:
    return jpeg(blur(paint(w.write(300, 300), PAPER, INK), random.uniform(4, 8)))


def perspective(w: Writer, random: Random) -> bytes:
    seen = warped(paint(w.write(300, 300), PAPER, INK), PAPER, random, 0.1, (360, 360))
    return jpeg(noise(seen * ramp(seen.shape, random, 0.7), random, 3))


def dusty(w: Writer, random: Random) -> bytes:
    """Specks of dirt, some as dark as the ink, and scratches of a copier."""
    ink = w.write(320, 320)
    for y, x in random.integers(0, 317, (60, 2)):
        size = int(random.integers(1, 4))
        ink[y : y + size, x : x + size] = 1
    ink[:, int(random.integers(320))] = 0.8
    return file(paint(ink, (240, 240, 240), (30, 30, 30)))


def blackboard(w: Writer, random: Random) -> bytes:
    """Chalk: rough strokes on a board with a smear."""
    ink = w.write(320, 420, pen=0.08)
    ink *= np.clip(random.normal(0.9, 0.25, ink.shape), 0, 1)
    board = paint(np.zeros_like(ink), (44, 66, 54), WHITE) + 24 * (1 - shade(ink.shape, random, 1, 0.3))
    return jpeg(noise(blur(paint(ink, board, (226, 228, 220)), 0.7), random, 5))


def beside_the_upright(w: Writer, random: Random) -> bytes:
    """The camera was held on its side, and says so (EXIF)."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return file(np.rot90(paint(w.write(320, 240), PAPER, INK)), "JPEG", quality=80, exif=exif)


def cmyk(w: Writer, random: Random) -> bytes:
    return file(image(paint(w.write(), PAPER, INK)).convert("CMYK"), "JPEG", quality=85)


def sixteen_bits(w: Writer, random: Random) -> bytes:
    """A scanner's levels, which use a part of the range."""
    levels = 9_000 + 21_000 * (1 - w.write()) + random.normal(0, 300, (280, 280))
    return file(Image.fromarray(levels.astype(np.uint16)), "TIFF")


def palette(w: Writer, random: Random) -> bytes:
    return file(image(paint(w.write(), PAPER, (180, 30, 40))).quantize(8), "GIF")


def cropped(w: Writer, random: Random) -> bytes:
    """To the digit itself: it touches the edges."""
    ink = w.write(pen=random.uniform(0.06, 0.12))
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    margin = int(random.integers(0, 6))
    box = ink[
        max(0, rows[0] - margin) : rows[-1] + margin, max(0, columns[0] - margin) : columns[-1] + margin
    ]
    return jpeg(paint(box, PAPER, INK))


def tiny(w: Writer, random: Random) -> bytes:
    side = int(random.integers(28, 48))
    return file(paint(w.write(side, side, size=0.7, pen=0.12), WHITE, BLACK))


def poor_jpeg(w: Writer, random: Random) -> bytes:
    return jpeg(paint(w.write(240, 240), PAPER, (40, 60, 150)), 12)


def sheet_beyond_the_edge(w: Writer, random: Random) -> bytes:
    """The desk is seen on one side or two."""
    ink = w.write(360, 400, size=0.5)
    picture = paint(ink, PAPER, INK) * ramp(ink.shape, random, 0.8)
    left, top = int(random.integers(20, 70)), int(random.integers(20, 70))
    desk = grain((360, 400), random, (96, 64, 40))
    picture[:, :left] = desk[:, :left]
    if random.random() < 0.5:
        picture[:top] = desk[:top]
    return jpeg(noise(picture, random, 4))


CONDITIONS: dict[str, Callable[[Writer, Random], bytes]] = {
    function.__name__.replace("_", " "): function
    for function in (
        clean, light_on_dark, coloured_ink, green_on_red, gradient, gradient_with_noise, shadow,
        dark_shadow, photo_gradient, vignette, sheet_on_desk, wooden_desk, sheet_beyond_the_edge,
        squared_paper, ruled_paper, rotated, heavy_noise, thin_pen, thick_pen, small_in_a_corner,
        printed_font, transparent, white_on_transparent, low_contrast, blurred, perspective, dusty,
        blackboard, beside_the_upright, cmyk, sixteen_bits, palette, cropped, tiny, poor_jpeg,
    )
}  # fmt: skip
CLEAN = (
    "clean", "light on dark", "coloured ink", "small in a corner", "transparent", "white on transparent",
    "cmyk", "sixteen bits", "palette", "beside the upright",
)  # fmt: skip
"""Those that an even light and a pen of usual width leave nothing to be read into."""
