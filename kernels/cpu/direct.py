"""Convolution without a matrix of windows: the tile walks over the image itself.

With channels last, a row of a window is one run of KW·C values, and the runs of neighbouring windows lie
stride · C values apart. So the product of windows and kernel needs no copy, only strides:

    forward    C: P pixels of an output row × filters      r: window rows (KH)     t: a window row (KW·C)
    gradient   C: P weights of a window row × filters      q: images               r, t: output pixels
    to input   for each phase of x, the forward of dy with the kernel rotated by 180°, C and F swapped

Phases: row o of y has read row h of x with row i of the kernel where h + padding = o·s + i. So of the kernel,
row h has met every s-th row alone, those with the remainder of h + padding by the stride s:

    dx[h] = Σ_k dy[m - k] · W[k·s + remainder]        m = (h + padding - remainder) / s

Rows h of the same remainder are a phase: a convolution of stride 1 with those rows of the kernel, whose
results lie s rows apart in dx. Columns likewise. All s · s phases together take as many products as the
forward, but for the borders; one convolution of dy spread out, with zeros between, would take s · s times as
many. Where the stride is longer than the kernel, some phases meet no row of it: sums of nothing, 0.

Kernels come packed in panels as wide as the tile, where there are pixels enough to pay for that. A panel is
read for every pixel of a block of images, so that both stay in cache. Images that need padding are copied
into padded scratch images first.
"""

import numpy as np

from tinynet.kernels.cpu.brgemm import product_tile
from tinynet.kernels.cpu.jit import jit

OUT_FIRST, OUT_STEP, OUT_COUNT, IN_FIRST, IN_STEP, TAPS = range(6)
"""A phase along one axis, as a row of numbers. In the output: its first pixel, the distance between its
pixels, their number. In the input: where its first window begins (below 0: in the padding), the distance
between windows, the pixels of a window."""


@jit
def pack_rotated(start, stop, W, stride, panels):
    """panels (C / width, KH·KW·F, width) of the kernels from dy to dx, one below another for each phase.

    A phase's kernel has the rows and columns of W with one remainder by the stride, rotated by 180°, with C
    and F swapped.
    """
    KH, KW, C, F = W.shape
    width = panels.shape[2]
    for panel in range(start, stop):
        rows = panels[panel]
        at = 0
        for down in range(stride[0]):
            for across in range(stride[1]):
                for i in range(KH - 1 - (KH - 1 - down) % stride[0], -1, -stride[0]):  # from the last
                    for j in range(KW - 1 - (KW - 1 - across) % stride[1], -1, -stride[1]):
                        for f in range(F):
                            for v in range(width):
                                c = panel * width + v
                                rows[at, v] = W[i, j, c, f] if c < C else 0
                            at += 1


@jit
def copy_into(x, n, padded, m, top, left):
    """Image n of x (N, H, W·C) into image m of padded, `left` values from the left, with zeros around it."""
    _, H, WC = x.shape
    zero = padded.dtype.type(0)
    for h in range(padded.shape[1]):
        target = padded[m, h]
        if top <= h < top + H:
            source = x[n, h - top]
            target[:left] = zero
            for k in range(WC):
                target[left + k] = source[k]
            target[left + WC :] = zero
        else:
            target[:] = zero


@jit
def convolve(
    start,
    stop,
    slot,
    padded,
    x,
    corner,
    W,
    W_strides,
    share,
    bias,
    floor,
    y,
    block,
    channels,
    down,
    across,
    tile,
):
    """y = max(x * W + bias, floor), for `share` panels of filters and `block` images at a time.

    [start, stop) counts images of the first `share` panels, then images of the next, and so on.

    slot        the number of this thread
    padded      (slots, block, H', W'·C) scratch for images with their padding; empty where x needs none
    x           (N, H, W·C)
    corner      where an image begins in `padded`: (top, left · C)
    W           kernels, flat: panels of filters, and in a panel the kernels of all phases one below another
    W_strides   from one panel to the next, and from one row of a panel to the next
    bias        (F,), or empty: none
    floor       the least value of y; 0: a ReLU
    y           (N, OH, OW, F)
    channels    C
    down        phases along rows (phases, 6)
    across      phases along columns (phases, 6)
    tile        see `brgemm`
    """
    N, OH, OW, F = y.shape
    padded = padded[slot]
    height, width = len(tile[0]), len(tile[1]) * len(tile[2])
    panels = (F + width - 1) // width
    flat_y = y.reshape(-1)
    pads = padded.size > 0
    image = padded if pads else x
    height_x, line = image.shape[1], image.shape[2]
    flat_x = image.reshape(-1)
    while start < stop:
        group, begin = start // N, start % N
        end = min(begin + block, N, begin + stop - start)
        start += end - begin
        if pads:
            for n in range(begin, end):
                copy_into(x, n, padded, n - begin, corner[0], corner[1])
        for panel in range(group * share, min((group + 1) * share, panels)):
            f = panel * width
            kernel = panel * W_strides[0]
            for rows in down:
                for columns in across:
                    run, step = columns[TAPS] * channels, columns[IN_STEP] * channels
                    for n in range(begin, end):
                        window = (n - begin if pads else n) * height_x * line
                        window += (rows[IN_FIRST] + corner[0]) * line
                        window += columns[IN_FIRST] * channels + corner[1]
                        pixel = (n * OH + rows[OUT_FIRST]) * OW + columns[OUT_FIRST]
                        for i in range(rows[OUT_COUNT]):
                            for j in range(0, columns[OUT_COUNT], height):
                                at = min(j, columns[OUT_COUNT] - height)
                                to = pixel + i * rows[OUT_STEP] * OW + at * columns[OUT_STEP]
                                product_tile(
                                    tile, flat_x, window + i * rows[IN_STEP] * line + at * step,
                                    W, kernel, flat_y, to * F + f, bias[f:],
                                    (1, rows[TAPS], run), (0, line, 1), step,
                                    (0, run * W_strides[1], W_strides[1]), columns[OUT_STEP] * F,
                                    min(width, F - f), floor,
                                )  # fmt: skip
                    kernel += rows[TAPS] * run * W_strides[1]


@jit
def kernel_gradient(
    start, stop, slot, padded, x, corner, dy, per_group, shares, sums, nothing, channels, stride, tile
):
    """The kernel gradient of each group of images, cut into `shares` of its tiles.

    [start, stop) counts groups of the first share, then groups of the next, and so on. Where a window row's
    last tile overlaps the one before, both write the same values.

    slot        the number of this thread
    padded      (slots, per_group, H', W'·C) scratch, as in `convolve`
    x           (N, H, W·C)
    corner      where an image begins in `padded`: (top, left · C)
    dy          (N, OH, OW, F)
    per_group   images of a group
    shares      into how many the tiles of a group are cut
    sums        (groups, KH, KW·C, F), written: the gradient from each group
    nothing     an empty array of the same dtype: sums begin at 0
    channels    C
    stride      (down, across)
    tile        see `brgemm`
    """
    N, OH, OW, F = dy.shape
    groups, KH, run, _ = sums.shape
    padded = padded[slot]
    height, width = len(tile[0]), len(tile[1]) * len(tile[2])
    flat_dy, flat_sums = dy.reshape(-1), sums.reshape(-1)
    pads = padded.size > 0
    image = padded if pads else x
    rows, line = image.shape[1], image.shape[2]
    flat_x = image.reshape(-1)
    panels, blocks = (F + width - 1) // width, (run + height - 1) // height
    tiles = KH * panels * blocks
    for unit in range(start, stop):
        share, group = unit // groups, unit % groups
        n = group * per_group
        images = min(per_group, N - n)
        if pads:
            for m in range(images):
                copy_into(x, n + m, padded, m, corner[0], corner[1])
        first = 0 if pads else n * rows * line
        for number in range(tiles * share // shares, tiles * (share + 1) // shares):
            u, panel, j = number // blocks // panels, number // blocks % panels, number % blocks
            f, at = panel * width, min(j * height, run - height)
            product_tile(
                tile, flat_x, first + u * line + at, flat_dy, n * OH * OW * F + f,
                flat_sums, ((group * KH + u) * run + at) * F + f, nothing,
                (images, OH, OW), (rows * line, stride[0] * line, stride[1] * channels), 1,
                (OH * OW * F, OW * F, F), F, min(width, F - f), x.dtype.type(-np.inf),
            )  # fmt: skip
