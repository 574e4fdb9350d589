"""Batch normalisation of x (M, C), and sums over rows.

Rows are summed in chunks of a fixed number of rows, one chunk's result a row of the output; the caller adds
those in order. The sum then does not depend on how the chunks were dealt to threads. Accumulators are
float64 for both dtypes. The variance is taken about the chunk's own mean, in a second pass over a chunk that
is still in cache: nothing cancels, and memory is read once. (Chan, Golub, LeVeque: "Updating formulae and a
pairwise algorithm for computing sample variances", 1979.)
"""

import numpy as np

from tinynet.kernels.cpu.jit import jit


@jit(reorder=True)
def column_sums(start, stop, x, rows, sums):
    """Row k of sums: Σ over rows [k · rows, (k + 1) · rows) of x."""
    for k in range(start, stop):
        chunk, total = x[k * rows : (k + 1) * rows], sums[k]
        total[:] = 0
        for m in range(len(chunk)):
            for c in range(len(total)):
                total[c] += chunk[m, c]


@jit
def add_chunks(start, stop, chunks, sums):
    """Columns [start, stop) of sums (C,) = Σ over the rows of chunks (K, C), in order."""
    for c in range(start, stop):
        total = 0.0
        for k in range(len(chunks)):
            total += chunks[k, c]
        sums[c] = total


@jit(reorder=True)
def chunk_statistics(start, stop, x, rows, means, squares):
    """Of each chunk: the mean, and the sum of squared distances to it."""
    for k in range(start, stop):
        chunk, mean, square = x[k * rows : (k + 1) * rows], means[k], squares[k]
        mean[:] = 0
        square[:] = 0
        for m in range(len(chunk)):
            for c in range(len(mean)):
                mean[c] += chunk[m, c]
        for c in range(len(mean)):
            mean[c] /= len(chunk)
        for m in range(len(chunk)):
            for c in range(len(mean)):
                distance = chunk[m, c] - mean[c]
                square[c] += distance * distance


@jit(fuse=False)
def merge_statistics(start, stop, means, squares, rows, count, side_by_side, mean, variance):
    """The mean and the biased variance, float64 (C,), from chunks (K, C) of `rows` rows.

    So many chunks lie `side_by_side`; those below each other have `count` rows together.
    """
    for c in range(start, stop):
        total = 0.0
        for k in range(len(means)):
            total += min(rows, count - k // side_by_side * rows) * means[k, c]
        mean[c] = total / (count * side_by_side)
        total = 0.0
        for k in range(len(means)):
            distance = means[k, c] - mean[c]
            total += squares[k, c] + min(rows, count - k // side_by_side * rows) * (distance * distance)
        variance[c] = total / (count * side_by_side)


@jit(fuse=False)
def training_scale(
    start, stop, mean, variance, gamma, beta, epsilon, own_mean, own_variance, inverse_std, scale, shift
):
    """1/√(σ² + ε), float64; in the dtype of the net: μ, σ², scale = γ / √(σ² + ε) and `normalize`'s shift.

    It makes good what rounding takes from μ: x - μ then has the digits that x has.
    """
    for c in range(start, stop):
        inverse_std[c] = 1.0 / np.sqrt(variance[c] + epsilon)
        own_mean[c], own_variance[c] = mean[c], variance[c]
        scale[c] = gamma[c] * inverse_std[c]
        shift[c] = beta[c] - gamma[c] * inverse_std[c] * (mean[c] - own_mean[c])


@jit(fuse=False)
def running_average(start, stop, running, batch, keep, gain, scale):
    """running = keep · running + gain · scale · batch."""
    for c in range(start, stop):
        running[c] = running[c] * keep + gain * (batch[c] * scale)


@jit
def inference_scale(start, stop, gamma, variance, epsilon, scale):
    """scale = γ / √(σ² + ε)."""
    for c in range(start, stop):
        scale[c] = gamma[c] / np.sqrt(variance[c] + epsilon)


@jit
def normalize(start, stop, x, y, mean, scale, shift, floor):
    """y = (x - mean) · scale + shift, at least `floor` (0: with a ReLU)."""
    x, y = x[start:stop], y[start:stop]
    for m in range(len(x)):
        for c in range(len(mean)):
            value = (x[m, c] - mean[c]) * scale[c] + shift[c]
            y[m, c] = floor if value < floor else value


@jit(reorder=True)
def chunk_gradients(start, stop, dy, x, mean, rows, sums, products):
    """Of each chunk: Σ dy and Σ dy · (x - mean); its rows hold a row of x, or several side by side."""
    means = np.empty(sums.shape[1], mean.dtype)
    for c in range(len(means)):
        means[c] = mean[c % len(mean)]
    for k in range(start, stop):
        gradients, chunk = dy[k * rows : (k + 1) * rows], x[k * rows : (k + 1) * rows]
        total, product = sums[k], products[k]
        total[:] = 0
        product[:] = 0
        for m in range(len(chunk)):
            for c in range(len(total)):
                total[c] += gradients[m, c]
                product[c] += gradients[m, c] * (chunk[m, c] - means[c])


@jit(fuse=False)
def backward_scale(
    start,
    stop,
    sums,
    products,
    batch_sums,
    batch_products,
    rows,
    mean,
    own_mean,
    gamma,
    inverse_std,
    dgamma,
    dbeta,
    factors,
):
    """∂L/∂γ, ∂L/∂β, and factors (3, C): scale, slope and shift of `normalize_backward`.

    sums, products (C,): Σ dy and Σ dy · (x - own_mean) over `rows` rows; `batch_…`: their means over
    processes. own_mean is the mean, rounded: Σ dy · (x - mean) is less by rounded · Σ dy.
    """
    for c in range(start, stop):
        rounded = mean[c] - own_mean[c]
        dbeta[c] = sums[c]
        dgamma[c] = (products[c] - rounded * sums[c]) * inverse_std[c]
        product = batch_products[c] - rounded * batch_sums[c]
        slope = -product * (inverse_std[c] * inverse_std[c]) / rows
        factors[0, c] = gamma[c] * inverse_std[c]
        factors[1, c] = slope
        factors[2, c] = -batch_sums[c] / rows - slope * rounded


@jit
def normalize_backward(start, stop, dy, x, dx, mean, scale, slope, shift):
    """dx = scale · (dy + slope · (x - mean) + shift)."""
    dy, x, dx = dy[start:stop], x[start:stop], dx[start:stop]
    for m in range(len(x)):
        for c in range(len(mean)):
            dx[m, c] = scale[c] * (dy[m, c] + (slope[c] * (x[m, c] - mean[c]) + shift[c]))
