"""Distorting images: a smooth random field, and the gather of each new pixel from the old image.

The field is noise weighted along columns, then along rows. Its rows lie one behind another with a gap of
zeros between them, as wide as the weights reach: weighting is one long loop for each tap. The sums are whole
numbers that float32 holds exactly.

The gather works on a copy of the image with a border of zeros, one row above and two below: a place outside
is moved onto the border, and no pixel asks whether it has all four neighbours. No loop has more than a few
arrays: the compiler can then check beforehand that none overlap, and vectorises it. Helpers get whole arrays
and the number of the image, as a view handed over is a reference to be counted, in a place that all threads
share.
"""

import numpy as np

from tinynet.kernels.cpu.jit import jit

BORDER = 3
"""Rows, and columns, of zeros around an image: one before it, two after."""
HALF = 128
"""Half of a 256th of a pixel, in 65536ths: added before rounding down."""
UNIT = 2.0**-24
"""Back to pixel values: rows, columns and contrast are each counted in 256ths."""


@jit
def displacement(start, stop, slot, noise, taps, gain, field, before, between, after):
    """A smooth random field for images [start, stop): see `Backend.displacement`.

    slot     the number of this thread
    noise    (N, 2, H, W) uint8
    taps     (reach + 1,) float32: the weight of each distance
    gain     float32
    field    (N, 2, H, W) int32, written: 65536ths of a pixel
    before, between, after   (slots, `flat_size`) float32 scratch
    """
    _, _, H, W = noise.shape
    reach = len(taps) - 1
    stride = W + reach
    before, between, after = before[slot], between[slot], after[slot]
    before[:] = 0
    between[:] = 0
    for n in range(start, stop):
        for axis in range(2):
            for i in range(H):
                source, target = noise[n, axis, i], before[(reach + i) * stride :][:W]
                for j in range(W):
                    target[j] = 2 * np.float32(source[j]) - 255
            weigh(before, stride, taps, H * stride, between[reach:])
            weigh(between, 1, taps, H * stride, after)
            for i in range(H):
                source, target = after[i * stride :][:W], field[n, axis, i]
                for j in range(W):
                    target[j] = np.rint(source[j] * gain)


@jit
def weigh(x, step, taps, size, y):
    """y[p] = Σ taps[|t|] · x[p + (reach + t) · step] over t = -reach … reach, for p < size."""
    reach = len(taps) - 1
    middle, y = x[reach * step :][:size], y[:size]
    for p in range(size):
        y[p] = taps[0] * middle[p]
    for t in range(1, reach + 1):
        tap, left, right = taps[t], x[(reach - t) * step :][:size], x[(reach + t) * step :][:size]
        for p in range(size):
            y[p] += tap * (left[p] + right[p])


def flat_size(height, width, reach):
    """Values of an image in `displacement`, with its gaps and `reach` rows above and below."""
    return (height + 2 * reach) * (width + reach) + 2 * reach


@jit
def grow(start, stop, slot, x, growth, y, C, is_whole, grown, wide):
    """Images [start, stop) of y, those of x with strokes that have grown: see `Backend.grow`.

    slot     the number of this thread
    x        (N, H, W·C)
    growth   (N,) int64, in 256ths of a pixel
    y        (N, H, W·C), written
    C        channels
    is_whole   whether pixels are rounded to whole numbers
    grown, wide   (slots, H, W·C) scratch: float32 for uint8 pixels, else of the dtype of x

    The image that shrinks is negated: then it grows, too. The largest of nine is that of three rows, each
    the largest of three columns.
    """
    _, H, length = x.shape
    now, wide, number = grown[slot], wide[slot], grown.dtype.type
    for n in range(start, stop):
        left, sign = abs(growth[n]), number(1 if growth[n] > 0 else -1)
        for i in range(H):
            for p in range(length):
                now[i, p] = sign * x[n, i, p]
        while left > 0:
            share = number(min(left, 256) / 256)
            for i in range(H):
                widen(now[i], C, wide[i])
            for i in range(H):
                above, here, below = wide[max(i - 1, 0)], wide[i], wide[min(i + 1, H - 1)]
                for p in range(length):
                    way = share * (max(above[p], here[p], below[p]) - now[i, p])
                    now[i, p] += np.floor(way + number(0.5)) if is_whole else way
            left -= 256
        for i in range(H):
            for p in range(length):
                y[n, i, p] = sign * now[i, p]


@jit
def widen(x, C, y):
    """y[p]: the largest of the values of x (W·C,) at p and, in the same channel, beside it."""
    length = len(x)
    for p in range(length):
        y[p] = x[p]
    for p in range(length - C):
        y[p] = max(y[p], x[p + C])
    for p in range(C, length):
        y[p] = max(y[p], x[p - C])


@jit
def warp(start, stop, slot, x, places, contrast, erased, field, limits, y, padded, corners, weights):
    """Images [start, stop) of y, each pixel gathered from elsewhere in x: see `Backend.warp`.

    slot       the number of this thread
    x          (N, H, W·C)
    places     (N, 6) int64: the affine map of each image
    contrast   (N,) int64: a factor, in 256ths
    erased     (N, 4) int64: the rectangle that becomes 0
    field      (N, 2, H, W) int32: what is added to the places; (1, 2, H, W): the same for all images
    limits     (0, 255): round to whole numbers between these; (0, 0): do not round
    y          (N, H, W·C), written
    padded     (slots, (H + BORDER) · (W + BORDER) · C) scratch
    corners    (slots, 2, W) int64 scratch
    weights    (slots, 2, W) scratch, like `padded`
    """
    _, _, H, W = field.shape
    C = x.shape[2] // W
    old, number = padded[slot], padded.dtype.type
    top, left, below, beside = corners[slot, 0], corners[slot, 1], weights[slot, 0], weights[slot, 1]
    lowest, highest = limits
    is_whole = lowest < highest
    full, half, unit = number(256), number(0.5), number(UNIT)
    stride, right, down = (W + BORDER) * C, np.uint64(C), np.uint64((W + BORDER) * C)
    old[:] = 0
    for n in range(start, stop):
        mean = 65536 * copy_with_border(x, n, old, C) / (H * W * C)
        factor = number(contrast[n])
        rest = (full - factor) * number(np.rint(mean) if is_whole else mean)
        for i in range(H):
            find_sources(places, field, n, i, 0, H, top, below)
            find_sources(places, field, n, i, 1, W, left, beside)
            pixels = y[n, i]
            for c in range(C):
                for j in range(W):
                    k = np.uint64(top[j] * stride + left[j] * C + c)  # unsigned: never counts from the end
                    upper = (full - beside[j]) * old[k] + beside[j] * old[k + right]
                    lower = (full - beside[j]) * old[k + down] + beside[j] * old[k + down + right]
                    value = (factor * ((full - below[j]) * upper + below[j] * lower) + rest) * unit
                    if is_whole:
                        value = min(max(np.floor(value + half), lowest), highest)
                    pixels[j * C + c] = value
        for i in range(erased[n, 0], erased[n, 1]):
            for p in range(erased[n, 2] * C, erased[n, 3] * C):
                y[n, i, p] = 0


@jit
def find_sources(places, field, n, i, axis, size, before, beyond):
    """On one axis, of `size` pixels, for each new pixel of row i: the pixel of the bordered image at or just
    before the place it comes from, and how many 256ths beyond."""
    across, bend = places[n, 3 * axis + 1], field[n % len(field), axis, i]
    start = places[n, 3 * axis] * i + places[n, 3 * axis + 2] + HALF
    for j in range(len(bend)):
        at = min(max((start + across * j + bend[j]) >> 8, -256), 256 * size) + 256
        before[j], beyond[j] = at >> 8, at & 255


@jit(reorder=True)
def copy_with_border(x, n, old, channels):
    """Copy image n of x (N, H, W·C) into its border; return the sum of its values."""
    _, H, length = x.shape
    total = 0.0
    for i in range(H):
        first = (i + 1) * (length + BORDER * channels) + channels
        source, target = x[n, i], old[first:][:length]
        for k in range(len(source)):
            target[k] = source[k]
        for k in range(len(source)):
            total += source[k]
    return total
