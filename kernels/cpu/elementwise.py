"""Passes over flat arrays: rescaling, the sum of two branches, and scaling in place.

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
def residual(start, stop, f, s, y, floor):
    """y = f + s, at least `floor` (0: with a ReLU)."""
    f, s, y = f[start:stop], s[start:stop], y[start:stop]
    for i in range(len(f)):
        value = f[i] + s[i]
        y[i] = floor if value < floor else value


@jit
def scale_in_place(start, stop, x, factor):
    """x ← factor · x."""
    x = x[start:stop]
    for i in range(len(x)):
        x[i] *= factor


@jit
def add_up(start, stop, parts, total):
    """total = Σ over the rows of parts (K, n), in order, in their dtype."""
    for i in range(start, stop):
        total[i] = parts[0, i]
    for k in range(1, len(parts)):
        for i in range(start, stop):
            total[i] += parts[k, i]
