"""Passes over flat arrays: rescaling, scaling in place, adding a bias to every row.

One read and one write per element; these run at the speed of memory, so each does all its work in one pass.
"""

from tinynet.kernels.cpu.jit import jit


@jit
def rescale(start, stop, x, y, scale, offset):
    """y = scale · x + offset, x of any real dtype, scale and offset of y's."""
    x, y = x[start:stop], y[start:stop]
    for i in range(len(x)):
        y[i] = scale * y.dtype.type(x[i]) + offset


@jit
def scale_in_place(start, stop, x, factor):
    """x ← factor · x."""
    x = x[start:stop]
    for i in range(len(x)):
        x[i] *= factor


@jit
def add_bias(start, stop, y, b):
    """y (M, F) ← y + b (F,)."""
    y = y[start:stop]
    for m in range(len(y)):
        for f in range(len(b)):
            y[m, f] += b[f]
