"""Max and average pooling over windows of images (N, H, W, C), forward and backward.

Channels are the innermost loop: neighbouring channels are neighbours in memory and take part in different
maxima, so every inner loop is vectorised whatever the window. A window is clipped to the image before its
loops; padding is never read. An average is added up in float64. The backwards zero one
image and add into it while it is in cache, in a fixed order, so windows may overlap.
"""

import numpy as np

from tinynet.kernels.cpu.jit import jit


@jit
def clip(o, stride, corner, window, size):
    """(first pixel, begin, end): the part [begin, end) of window number o that lies inside the image."""
    first = o * stride - corner
    return first, max(0, -first), min(window, size - first)


@jit
def maxpool(start, stop, x, y, winner, window, stride, corner, positive):
    """y (N, OH, OW, C), the largest pixel of each window of x (N, H, W, C), and which one it is.

    winner      like y: the number u · KW + v of the first largest pixel
    window      (KH, KW)        stride   (down, across)        corner   the padding (top, left)
    positive    no pixel wins where y is not above 0: x comes from a ReLU, whose gradient is 0 there
    """
    nobody = winner.dtype.type(window[0] * window[1])
    _, H, W, C = x.shape
    _, OH, OW, _ = y.shape
    for n in range(start, stop):
        for oh in range(OH):
            top, u0, u1 = clip(oh, stride[0], corner[0], window[0], H)
            for ow in range(OW):
                left, v0, v1 = clip(ow, stride[1], corner[1], window[1], W)
                best, place = y[n, oh, ow], winner[n, oh, ow]
                pixel = x[n, top + u0, left + v0]
                for c in range(C):
                    best[c] = pixel[c]
                    place[c] = u0 * window[1] + v0
                for u in range(u0, u1):
                    for v in range(v0, v1):
                        pixel, number = x[n, top + u, left + v], winner.dtype.type(u * window[1] + v)
                        for c in range(C):
                            # not (≤) is true for a larger value and for NaN; a NaN once found stays
                            wins = best[c] == best[c] and not pixel[c] <= best[c]
                            place[c] = number if wins else place[c]
                            best[c] = pixel[c] if wins else best[c]
                if positive:
                    for c in range(C):
                        place[c] = place[c] if best[c] > 0 else nobody


@jit
def maxpool_backward(start, stop, dy, winner, dx, window, stride, corner):
    """dx (N, H, W, C): the sum of dy (N, OH, OW, C) over the windows that a pixel won."""
    _, H, W, C = dx.shape
    _, OH, OW, _ = dy.shape
    tiles = stride == window and corner == (0, 0) and (OH * window[0], OW * window[1]) == (H, W)
    for n in range(start, stop):
        if not tiles:
            dx[n] = 0
        for oh in range(OH):
            top, u0, u1 = clip(oh, stride[0], corner[0], window[0], H)
            for ow in range(OW):
                left, v0, v1 = clip(ow, stride[1], corner[1], window[1], W)
                gradient, place = dy[n, oh, ow], winner[n, oh, ow]
                for u in range(u0, u1):
                    for v in range(v0, v1):
                        pixel, number = dx[n, top + u, left + v], winner.dtype.type(u * window[1] + v)
                        if tiles:  # each pixel lies in one window
                            for c in range(C):
                                pixel[c] = gradient[c] if place[c] == number else dx.dtype.type(0)
                        else:
                            for c in range(C):
                                pixel[c] += gradient[c] if place[c] == number else dx.dtype.type(0)


@jit
def avgpool(start, stop, x, y, window, stride, corner):
    """y (N, OH, OW, C): the mean of the pixels of x (N, H, W, C) in each window."""
    _, H, W, C = x.shape
    total = np.empty(C, np.float64)  # a window may be the whole image
    _, OH, OW, _ = y.shape
    for n in range(start, stop):
        for oh in range(OH):
            top, u0, u1 = clip(oh, stride[0], corner[0], window[0], H)
            for ow in range(OW):
                left, v0, v1 = clip(ow, stride[1], corner[1], window[1], W)
                total[:] = 0
                for u in range(u0, u1):
                    for v in range(v0, v1):
                        pixel = x[n, top + u, left + v]
                        for c in range(C):
                            total[c] += pixel[c]
                mean, share = y[n, oh, ow], 1.0 / ((u1 - u0) * (v1 - v0))
                for c in range(C):
                    mean[c] = total[c] * share


@jit
def avgpool_backward(start, stop, dy, dx, window, stride, corner):
    """dx (N, H, W, C): each dy (N, OH, OW, C) is shared equally by its window's pixels."""
    _, H, W, C = dx.shape
    _, OH, OW, _ = dy.shape
    for n in range(start, stop):
        dx[n] = 0
        for oh in range(OH):
            top, u0, u1 = clip(oh, stride[0], corner[0], window[0], H)
            for ow in range(OW):
                left, v0, v1 = clip(ow, stride[1], corner[1], window[1], W)
                gradient = dy[n, oh, ow]
                share = dx.dtype.type(1.0 / ((u1 - u0) * (v1 - v0)))
                for u in range(u0, u1):
                    for v in range(v0, v1):
                        pixel = dx[n, top + u, left + v]
                        for c in range(C):
                            pixel[c] += share * gradient[c]
