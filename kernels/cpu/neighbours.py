"""Output pixels that are neighbours in a row, as one pixel with more filters.

With channels last, `count` neighbouring pixels of F filters lie in memory as one pixel of count · F filters
does, and their windows side by side are one wider window. Its kernel is

    V[i, j + p·stride, c, p·F + f] = W[i, j, c, f]        for each pixel p; elsewhere 0
"""

from tinynet.kernels.cpu.jit import jit


@jit
def spread(start, stop, W, b, stride, V, biases):
    """Rows [start, stop) of V (KH, KW + (count - 1)·stride, C, count·F) from W (KH, KW, C, F).

    With row 0 come the biases (count·F,): b (F,) for each pixel.
    """
    _, KW, C, F = W.shape
    for i in range(start, stop):
        V[i] = 0
        for p in range(V.shape[3] // F):
            if i == 0:
                for f in range(F):
                    biases[p * F + f] = b[f]
            for j in range(KW):
                for c in range(C):
                    for f in range(F):
                        V[i, j + p * stride, c, p * F + f] = W[i, j, c, f]


@jit
def gather(start, stop, dV, stride, dW):
    """Rows [start, stop) of dW, shaped like W: the parts of dV, shaped like V, of all pixels, in order."""
    _, KW, C, F = dW.shape
    for i in range(start, stop):
        for j in range(KW):
            for c in range(C):
                for f in range(F):
                    total = dV[i, j, c, f]
                    for p in range(1, dV.shape[3] // F):
                        total += dV[i, j + p * stride, c, p * F + f]
                    dW[i, j, c, f] = total
