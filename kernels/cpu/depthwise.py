"""Depthwise convolution of images (N, H, W, C), M kernels for each channel, forward and backward.

Channel c gives the channels c · M … c · M + M - 1 of the output; usually M is 1. Channels are the innermost
loop, so that it is vectorised whatever the window. A window is clipped to the image before its loops; padding
is never read. The gradient by the kernels is summed up for blocks of images, whose sums are then added in
order; that by x is added into an image while it is in cache.
"""

from tinynet.kernels.cpu.jit import jit
from tinynet.kernels.cpu.pooling import clip


@jit
def depthwise(start, stop, x, W, b, y, stride, corner, floor):
    """y (N, OH, OW, C·M) = x (N, H, W, C) by W (KH, KW, C·M), plus b (C·M,), at least `floor`."""
    _, H, width, C = x.shape
    _, OH, OW, F = y.shape
    KH, KW, _ = W.shape
    M = F // C
    for n in range(start, stop):
        for oh in range(OH):
            top, u0, u1 = clip(oh, stride[0], corner[0], KH, H)
            for ow in range(OW):
                left, v0, v1 = clip(ow, stride[1], corner[1], KW, width)
                out = y[n, oh, ow]
                for f in range(F):
                    out[f] = b[f]
                for u in range(u0, u1):
                    for v in range(v0, v1):
                        pixel, tap = x[n, top + u, left + v], W[u, v]
                        if M == 1:
                            for c in range(C):
                                out[c] += pixel[c] * tap[c]
                        else:
                            for c in range(C):
                                for f in range(c * M, c * M + M):
                                    out[f] += pixel[c] * tap[f]
                for f in range(F):
                    out[f] = floor if out[f] < floor else out[f]


@jit
def depthwise_dx(start, stop, dy, W, dx, stride, corner):
    """dx (N, H, W, C): each dy (N, OH, OW, C·M) goes to the pixels of its window, times their weights."""
    _, H, width, C = dx.shape
    _, OH, OW, F = dy.shape
    KH, KW, _ = W.shape
    M = F // C
    for n in range(start, stop):
        dx[n] = 0
        for oh in range(OH):
            top, u0, u1 = clip(oh, stride[0], corner[0], KH, H)
            for ow in range(OW):
                left, v0, v1 = clip(ow, stride[1], corner[1], KW, width)
                gradient = dy[n, oh, ow]
                for u in range(u0, u1):
                    for v in range(v0, v1):
                        pixel, tap = dx[n, top + u, left + v], W[u, v]
                        if M == 1:
                            for c in range(C):
                                pixel[c] += gradient[c] * tap[c]
                        else:
                            for c in range(C):
                                for f in range(c * M, c * M + M):
                                    pixel[c] += gradient[f] * tap[f]


@jit
def depthwise_dW(start, stop, dy, x, images, stride, corner, sums):
    """sums[k] (KH, KW, C·M), float64: Σ dy · x of each weight over the images from k · images on."""
    N, H, width, C = x.shape
    _, OH, OW, F = dy.shape
    _, KH, KW, _ = sums.shape
    M = F // C
    for k in range(start, stop):
        sums[k] = 0
        for n in range(k * images, min((k + 1) * images, N)):
            for oh in range(OH):
                top, u0, u1 = clip(oh, stride[0], corner[0], KH, H)
                for ow in range(OW):
                    left, v0, v1 = clip(ow, stride[1], corner[1], KW, width)
                    gradient = dy[n, oh, ow]
                    for u in range(u0, u1):
                        for v in range(v0, v1):
                            pixel, total = x[n, top + u, left + v], sums[k, u, v]
                            if M == 1:
                                for c in range(C):
                                    total[c] += gradient[c] * pixel[c]
                            else:
                                for c in range(C):
                                    for f in range(c * M, c * M + M):
                                        total[f] += gradient[f] * pixel[c]
