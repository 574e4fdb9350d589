"""im2col and its transpose col2im, for a block of images.

Both walk the output pixels in order and copy, or add back, one window row at a time: with channels last,
KW · C neighbouring values are one run in the image as well as in the matrix. What a run has outside the image
is clipped once per run, not tested per value. col2im adds windows into one image after another, and an image
stays in cache while its windows overlap.
"""

from tinynet.kernels.cpu.jit import jit


@jit
def im2col(start, stop, x, cols, channels, stride, corner):
    """cols (N, OH, OW, KH, KW·C) from x (N, H, W·C); corner: the padding (top, left)."""
    _, H, WC = x.shape
    _, OH, OW, KH, length = cols.shape
    for n in range(start, stop):
        for oh in range(OH):
            for ow in range(OW):
                first = (ow * stride[1] - corner[1]) * channels
                begin, end = max(0, -first), min(length, WC - first)
                for i in range(KH):
                    h = oh * stride[0] + i - corner[0]
                    run = cols[n, oh, ow, i]
                    if 0 <= h < H:
                        row = x[n, h]
                        for k in range(begin):
                            run[k] = 0
                        for k in range(begin, end):
                            run[k] = row[first + k]
                        for k in range(max(end, 0), length):
                            run[k] = 0
                    else:
                        for k in range(length):
                            run[k] = 0


@jit
def col2im(start, stop, cols, dx, channels, stride, corner):
    """dx (N, H, W·C): the sum of the windows cols (N, OH, OW, KH, KW·C) at their places."""
    _, H, WC = dx.shape
    _, OH, OW, KH, length = cols.shape
    for n in range(start, stop):
        image = dx[n]
        for h in range(H):
            for k in range(WC):
                image[h, k] = 0
        for oh in range(OH):
            for ow in range(OW):
                first = (ow * stride[1] - corner[1]) * channels
                begin, end = max(0, -first), min(length, WC - first)
                for i in range(KH):
                    h = oh * stride[0] + i - corner[0]
                    if 0 <= h < H:
                        run, row = cols[n, oh, ow, i], image[h]
                        for k in range(begin, end):
                            row[first + k] += run[k]
