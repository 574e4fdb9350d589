"""The gradient to a convolution's input as the textbook writes it: each output pixel adds to its window.

    dx[h·s + i, w·s + j] += dy[h, w] · W[i, j]ᵀ        for each row i of the window, for all j at once

With channels last, row i of a window is one run of KW·C values of the image, here the columns of a tile. Its
rows are the same window in several images, which do not overlap. The tile begins with what is in the image
and ends there: nothing is kept in between, and nothing is multiplied with padding around dy.
"""

from tinynet.kernels.cpu.brgemm import product_tile
from tinynet.kernels.cpu.jit import jit
from tinynet.kernels.cpu.transpose import pack_transposed


@jit
def pack_windows(start, stop, W, panels, lanes):
    """panels (KH, KW·C / width, F, width) of the transposed rows of W (KH, KW·C, F), for `scatter`."""
    for i in range(start, stop):
        pack_transposed(0, panels.shape[1], W[i], panels[i], lanes)


@jit
def scatter(start, stop, slot, padded, dy, W, dx, corner, run, stride, lowest, tile):
    """dx of groups [start, stop) of as many images as the tile is high.

    slot        the number of this thread
    padded      (slots, height, H', W'·C) scratch for images with their padding; empty where dx needs none
    dy          (N, OH, OW, F)
    W           from `pack_windows`
    dx          (N, H, W·C), written
    corner      where an image begins in `padded`: (top, left · C)
    run         KW · C
    stride      (down, across · C)
    lowest      -∞
    tile        see `brgemm`
    """
    _, OH, OW, F = dy.shape
    KH, panels, _, width = W.shape
    height = len(tile[0])
    pads = padded.size > 0
    images = padded[slot] if pads else dx
    size, line = images.shape[1] * images.shape[2], images.shape[2]
    rows, flat = images.reshape(len(images), size), images.reshape(-1)
    flat_dy, flat_W = dy.reshape(-1), W.reshape(-1)
    for group in range(start, stop):
        n = group * height
        m = 0 if pads else n
        rows[m : m + height] = 0
        for oh in range(OH):
            for ow in range(OW):
                pixel = ((n * OH + oh) * OW + ow) * F
                for i in range(KH):
                    for panel in range(panels):
                        k = panel * width
                        at = (oh * stride[0] + i) * line + ow * stride[1] + k
                        product_tile(
                            tile, flat_dy, pixel, flat_W, (i * panels + panel) * F * width,
                            flat, m * size + at, rows[m:, at:],
                            (1, 1, F), (0, 0, 1), OH * OW * F, (0, 0, width),
                            size, min(width, run - k), lowest,
                        )  # fmt: skip
        if pads:
            for p in range(height):
                for h in range(dx.shape[1]):
                    source, target = images[p, corner[0] + h], dx[n + p, h]
                    for k in range(len(target)):
                        target[k] = source[corner[1] + k]
