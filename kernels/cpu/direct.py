"""Convolution without a matrix of windows: the tile walks over the image itself.

With channels last, a row of a window is one run of KW·C values, and the runs of neighbouring windows lie
stride · C values apart. So the product of windows and kernel needs no copy, only strides:

    forward    C: P pixels of an output row × filters      r: window rows (KH)     t: a window row (KW·C)
    gradient   C: P weights of a window row × filters      q: images               r, t: output pixels
    to input   the forward of dy, padded, with the kernel turned around and its channels and filters swapped

Kernels come packed in panels as wide as the tile, where there are pixels enough to pay for that. A panel is
read for every pixel of a block of images, so that both stay in cache. Images that need padding are copied
into padded scratch images first.
"""

import numpy as np

from tinynet.kernels.cpu.brgemm import product_tile
from tinynet.kernels.cpu.jit import jit


@jit
def pack_turned(start, stop, W, panels):
    """panels (C / width, KH·KW·F, width) of the kernel from dy to dx: turned, with C and F swapped."""
    KH, KW, C, F = W.shape
    width = panels.shape[2]
    for panel in range(start, stop):
        for i in range(KH):
            for j in range(KW):
                for f in range(F):
                    row = panels[panel, (i * KW + j) * F + f]
                    for v in range(width):
                        c = panel * width + v
                        row[v] = W[KH - 1 - i, KW - 1 - j, c, f] if c < C else 0


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
    window,
    stride,
    tile,
):
    """y (N, OH, OW, F) from x (N, H, W·C): `share` panels of filters at a time, of `block` images at a time.

    [start, stop) counts images of the first `share` panels, then images of the next, and so on.

    W, W_strides   flat kernels: panels lie W_strides[0] apart, rows of a panel W_strides[1]
    padded         scratch for each slot: (block, H', W'·C); empty where x needs no padding
    corner         where an image goes in it: (top, left · C)        bias (F,), empty: none
    floor          the least value of y, e.g. 0 for a ReLU
    """
    N, OH, OW, F = y.shape
    padded = padded[slot]
    height, width = len(tile[0]), len(tile[1]) * len(tile[2])
    panels = (F + width - 1) // width
    flat_y = y.reshape(-1)
    run = window[1] * channels
    pads = padded.size > 0
    image = padded if pads else x
    rows, line = image.shape[1], image.shape[2]
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
            for n in range(begin, end):
                first = (n - begin if pads else n) * rows * line
                for i in range(OH):
                    for j in range(0, OW, height):
                        at = min(j, OW - height)
                        product_tile(
                            tile, flat_x, first + i * stride[0] * line + at * stride[1] * channels,
                            W, panel * W_strides[0],
                            flat_y, ((n * OH + i) * OW + at) * F + f, bias[f:],
                            (1, window[0], run), (0, line, 1), stride[1] * channels,
                            (0, run * W_strides[1], W_strides[1]), F, min(width, F - f), floor,
                        )  # fmt: skip


@jit
def kernel_gradient(
    start, stop, slot, padded, x, corner, dy, per_group, sums, nothing, channels, stride, tile
):
    """sums (G, KH, KW·C, F): the gradient from each group [start, stop) of `per_group` images.

    x (N, H, W·C), dy (N, OH, OW, F); padded: scratch (per_group, H', W'·C) as in `convolve`;
    nothing: an empty array of the same dtype.
    """
    N, OH, OW, F = dy.shape
    _, KH, run, _ = sums.shape
    padded = padded[slot]
    height, width = len(tile[0]), len(tile[1]) * len(tile[2])
    flat_dy, flat_sums = dy.reshape(-1), sums.reshape(-1)
    pads = padded.size > 0
    image = padded if pads else x
    rows, line = image.shape[1], image.shape[2]
    flat_x = image.reshape(-1)
    for group in range(start, stop):
        n = group * per_group
        images = min(per_group, N - n)
        if pads:
            for m in range(images):
                copy_into(x, n + m, padded, m, corner[0], corner[1])
        first = 0 if pads else n * rows * line
        for u in range(KH):
            for f in range(0, F, width):
                for j in range(0, run, height):
                    at = min(j, run - height)
                    product_tile(
                        tile, flat_x, first + u * line + at, flat_dy, n * OH * OW * F + f,
                        flat_sums, ((group * KH + u) * run + at) * F + f, nothing,
                        (images, OH, OW), (rows * line, stride[0] * line, stride[1] * channels), 1,
                        (OH * OW * F, OW * F, F), F, min(width, F - f), x.dtype.type(-np.inf),
                    )  # fmt: skip
