"""Optimiser steps on flat buffers, the average over steps, and the norm that clipping needs.

NumPy makes a pass over memory for every operator; here a step reads and writes each buffer once. Scalars
arrive in the buffers' dtype, so float32 stays float32. `sum_of_squares` has one float64 partial sum per fixed
chunk; the caller adds them in order.
"""

import numpy as np

from tinynet.kernels.cpu.jit import jit


@jit
def sgd(start, stop, values, grads, velocity, rate, momentum, nesterov, shrink, decayed):
    """v ← μ v + g, θ ← θ - α v, or θ - α (g + μ v)

    values     θ (P,), changed
    grads      g (P,)
    velocity   v (P,), changed
    rate       α
    momentum   μ
    nesterov   whether the second form is taken
    shrink     1 - α · weight decay: the first `decayed` values are multiplied by it before
    decayed    so many values have weight decay
    """
    one = values.dtype.type(1)
    decayed = decayed - start
    values, grads, velocity = values[start:stop], grads[start:stop], velocity[start:stop]
    for i in range(len(values)):
        v = momentum * velocity[i] + grads[i]
        velocity[i] = v
        step = grads[i] + momentum * v if nesterov else v
        values[i] = values[i] * (shrink if i < decayed else one) - rate * step


@jit
def adam(start, stop, values, grads, m, v, rate, gain1, gain2, unbias1, unbias2, epsilon, shrink, decayed):
    """m ← m + (1-β₁)(g - m), v ← v + (1-β₂)(g² - v), θ ← θ - α m̂ / (√v̂ + ε)

    values     θ (P,), changed
    grads      g (P,)
    m, v       (P,), changed
    rate       α
    gain1, gain2         1 - β₁, 1 - β₂
    unbias1, unbias2     1 / (1 - β₁ᵗ), 1 / (1 - β₂ᵗ): they make m̂ and v̂ of m and v
    epsilon    ε
    shrink, decayed      as in `sgd`
    """
    one = values.dtype.type(1)
    decayed = decayed - start
    values, grads, m, v = values[start:stop], grads[start:stop], m[start:stop], v[start:stop]
    for i in range(len(values)):
        g = grads[i]
        m[i] += gain1 * (g - m[i])
        v[i] += gain2 * (g * g - v[i])
        step = unbias1 * m[i] / (np.sqrt(unbias2 * v[i]) + epsilon)
        values[i] = values[i] * (shrink if i < decayed else one) - rate * step


@jit
def moving_average(start, stop, average, values, gain):
    """average += gain (values - average)."""
    average, values = average[start:stop], values[start:stop]
    for i in range(len(values)):
        average[i] += gain * (values[i] - average[i])


@jit(reorder=True)
def sum_of_squares(start, stop, x, chunk, sums):
    """sums[k] = Σ x² over [k · chunk, (k + 1) · chunk)."""
    for k in range(start, stop):
        part, total = x[k * chunk : (k + 1) * chunk], 0.0
        for i in range(len(part)):
            total += np.float64(part[i]) * part[i]
        sums[k] = total


@jit(reorder=True)
def l2_penalty(start, stop, W, gradient, factor, chunk, sums):
    """sums[k] = Σ W² as above, and gradient += factor · W, if there is one."""
    for k in range(start, stop):
        sum_of_squares(k, k + 1, W, chunk, sums)
        part, slope = W[k * chunk : (k + 1) * chunk], gradient[k * chunk : (k + 1) * chunk]
        for i in range(len(slope)):
            slope[i] += factor * part[i]
