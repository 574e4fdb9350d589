"""im2col and its transpose col2im, for a block of images.

Both go window row by window row: with channels last, its KW · C values are one run in the image as in the
matrix, and the inner loops copy or add one run. A run is clipped to the image once, outside those loops.
im2col copies by the element, as runs of one or two channels are too short for a call of memcpy. col2im cuts
slices first: the compiler then knows that no index wraps around, and vectorises the sum. It adds windows into
one image after another, and an image stays in cache while its windows overlap.
"""

from tinynet.kernels.cpu.jit import jit


@jit
def clip(first, length, size):
    """The part [begin, end) of a run that lies inside a line of `size` values; the run may miss it wholly."""
    begin = min(max(0, -first), length)
    return begin, max(begin, min(length, size - first))


@jit
def im2col(start, stop, x, cols, channels, stride, corner):
    """cols (N, OH, OW, KH, KW·C) from x (N, H, W·C); corner: the padding (top, left)."""
    _, H, WC = x.shape
    _, OH, OW, KH, length = cols.shape
    for n in range(start, stop):
        for oh in range(OH):
            for ow in range(OW):
                first = (ow * stride[1] - corner[1]) * channels
                begin, end = clip(first, length, WC)
                for i in range(KH):
                    h = oh * stride[0] + i - corner[0]
                    run = cols[n, oh, ow, i]
                    if 0 <= h < H:
                        row = x[n, h]
                        for k in range(begin):
                            run[k] = 0
                        for k in range(begin, end):
                            run[k] = row[first + k]
                        for k in range(end, length):
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
        image[:] = 0
        for oh in range(OH):
            for i in range(KH):
                h = oh * stride[0] + i - corner[0]
                if 0 <= h < H:
                    for ow in range(OW):
                        first = (ow * stride[1] - corner[1]) * channels
                        begin, end = clip(first, length, WC)
                        source, target = cols[n, oh, ow, i][begin:end], image[h][first + begin : first + end]
                        for k in range(len(source)):
                            target[k] += source[k]
