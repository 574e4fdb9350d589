"""Activations and their backwards, softmax, and softmax with cross-entropy.

exp is our own, a polynomial without branches: the compiler then vectorises every loop here, which it cannot
do around calls of the C library. It works in float64 for float32 arrays too, so one polynomial serves both
and float32 results are rounded once, at the end.
"""

import math

import numpy as np

from tinynet.kernels.cpu.jit import jit

LOG2_E = math.log2(math.e)
LN2_HIGH = 0.693147180369123816490  # 33 bits of ln 2, so that k · LN2_HIGH is exact
LN2_LOW = 1.90821492927058770002e-10
ROUNDER = 1.5 * 2.0**52  # adding it leaves the nearest integer in the low bits of the sum
ONE_BITS = 1023 << 52  # the float64 1.0: exponent field 1023, fraction 0
LOWEST, HIGHEST = -708.0, 709.0  # beyond these 2ᵏ leaves the normal numbers
NORMAL_FLAT = 40.0  # from here on e^{-x²/2} is 0
DENSITY = 1.0 / math.sqrt(2.0 * math.pi)
GELU_SCALE = math.sqrt(2.0 / math.pi)
GELU_CUBIC = 0.044715
GELU_FLAT = 10.0  # from here on tanh u is 1, and GELU 0 or x; x³ beyond could overflow


@jit
def reduced(x):
    """(2ᵏ, p) with eˣ = 2ᵏ (1 + p): x = k ln 2 + r, |r| ≤ ln 2 / 2, and p = eʳ - 1 by 13 terms of Taylor."""
    x = np.float64(x)
    shifted = x * LOG2_E + ROUNDER
    k = shifted - ROUNDER
    r = (x - k * LN2_HIGH) - k * LN2_LOW
    p = 1.0 / 6227020800.0
    p = p * r + 1.0 / 479001600.0
    p = p * r + 1.0 / 39916800.0
    p = p * r + 1.0 / 3628800.0
    p = p * r + 1.0 / 362880.0
    p = p * r + 1.0 / 40320.0
    p = p * r + 1.0 / 5040.0
    p = p * r + 1.0 / 720.0
    p = p * r + 1.0 / 120.0
    p = p * r + 1.0 / 24.0
    p = p * r + 1.0 / 6.0
    p = p * r + 0.5
    p = p * r * r + r
    exponent = np.float64(shifted).view(np.int64) << np.int64(52)
    return np.int64(exponent + np.int64(ONE_BITS)).view(np.float64), p


@jit
def exp(x):
    """eˣ: 0 below e^-708, infinity above e^709."""
    power, p = reduced(x)
    e = power + power * p
    e = 0.0 if x < LOWEST else e
    return np.inf if x > HIGHEST else e


@jit
def expm1(x):
    """eˣ - 1, exact near 0 too."""
    power, p = reduced(x)
    e = (power - 1.0) + power * p
    e = -1.0 if x < LOWEST else e
    return np.inf if x > HIGHEST else e


@jit
def tanh(x):
    """tanh x = -t / (t + 2) with t = e^{-2|x|} - 1, the sign put back: exact near 0 too."""
    t = expm1(-2.0 * abs(np.float64(x)))
    return math.copysign(t / (t + 2.0), x)


@jit
def relu(start, stop, x, y):
    x, y = x[start:stop], y[start:stop]
    zero = x.dtype.type(0)
    for i in range(len(x)):
        y[i] = zero if x[i] < zero else x[i]  # NaN stays


@jit
def relu_backward(start, stop, dy, y, dx):
    dy, y, dx = dy[start:stop], y[start:stop], dx[start:stop]
    zero = dy.dtype.type(0)
    for i in range(len(dy)):
        dx[i] = dy[i] if y[i] > zero else zero


@jit
def leaky_relu(start, stop, x, y, slope):
    x, y = x[start:stop], y[start:stop]
    zero = x.dtype.type(0)
    for i in range(len(x)):
        y[i] = x[i] if x[i] > zero else slope * x[i]


@jit
def leaky_relu_backward(start, stop, dy, x, dx, slope):
    dy, x, dx = dy[start:stop], x[start:stop], dx[start:stop]
    zero = dy.dtype.type(0)
    for i in range(len(dy)):
        dx[i] = dy[i] if x[i] > zero else slope * dy[i]


@jit
def elu(start, stop, x, y, alpha):
    x, y = x[start:stop], y[start:stop]
    for i in range(len(x)):
        y[i] = x[i] if x[i] > 0 else alpha * expm1(x[i])


@jit
def elu_backward(start, stop, dy, y, dx, alpha):
    dy, y, dx = dy[start:stop], y[start:stop], dx[start:stop]
    zero = dy.dtype.type(0)
    for i in range(len(dy)):
        dx[i] = dy[i] if y[i] > zero else dy[i] * (y[i] + alpha)


@jit
def mills(v):
    """Mills' ratio e^{v²/2} Φ(-v) = P(v) / Q(v), v ≥ 0, to 3 · 10⁻¹⁷ of itself: see `backends.numpy_`."""
    p = 4.32904262028544642e-6
    p = p * v + 0.000111004399459045644
    p = p * v + 0.0013608403328391652
    p = p * v + 0.0103201115675456414
    p = p * v + 0.0527428701045175879
    p = p * v + 0.186086313174779466
    p = p * v + 0.445075406124296495
    p = p * v + 0.66847752713592476
    p = p * v + 0.5
    q = 0.0000108513005214954147
    q = q * v + 0.00027824677652015194
    q = q * v + 0.00342197171487329489
    q = q * v + 0.0261469422878283268
    q = q * v + 0.135595952353848326
    q = q * v + 0.491764893938899809
    q = q * v + 1.24109075834939823
    q = q * v + 2.09350638090691731
    q = q * v + 2.13483961507471858
    q = q * v + 1.0
    return p / q


@jit
def gelu(start, stop, x, y):
    x, y = x[start:stop], y[start:stop]
    for i in range(len(x)):
        v = -NORMAL_FLAT if x[i] < -NORMAL_FLAT else np.float64(x[i])
        u = NORMAL_FLAT if v > NORMAL_FLAT else v
        above = exp(-0.5 * u * u) * mills(abs(u))
        y[i] = v * (1.0 - above if v > 0.0 else above)


@jit
def gelu_backward(start, stop, dy, x, dx):
    dy, x, dx = dy[start:stop], x[start:stop], dx[start:stop]
    for i in range(len(dy)):
        v = -NORMAL_FLAT if x[i] < -NORMAL_FLAT else np.float64(x[i])
        v = NORMAL_FLAT if v > NORMAL_FLAT else v
        power = exp(-0.5 * v * v)
        above = power * mills(abs(v))
        dx[i] = dy[i] * ((1.0 - above if v > 0.0 else above) + v * power * DENSITY)


@jit
def gelu_tanh(start, stop, x, y):
    x, y = x[start:stop], y[start:stop]
    for i in range(len(x)):
        v = -GELU_FLAT if x[i] < -GELU_FLAT else np.float64(x[i])
        z = GELU_FLAT if v > GELU_FLAT else v
        y[i] = 0.5 * v * (1.0 + tanh(GELU_SCALE * (z + GELU_CUBIC * z * z * z)))


@jit
def gelu_tanh_backward(start, stop, dy, x, dx):
    dy, x, dx = dy[start:stop], x[start:stop], dx[start:stop]
    for i in range(len(dy)):
        v = -GELU_FLAT if x[i] < -GELU_FLAT else np.float64(x[i])
        v = GELU_FLAT if v > GELU_FLAT else v
        t = tanh(GELU_SCALE * (v + GELU_CUBIC * v * v * v))
        slope_of_t = (1.0 - t * t) * GELU_SCALE * (1.0 + 3.0 * GELU_CUBIC * v * v)
        dx[i] = dy[i] * (0.5 * (1.0 + t) + 0.5 * v * slope_of_t)


@jit
def sigmoid(start, stop, x, y):
    x, y = x[start:stop], y[start:stop]
    for i in range(len(x)):
        y[i] = 1.0 / (1.0 + exp(-x[i]))  # exp overflows to infinity, whose reciprocal is the right 0


@jit
def sigmoid_backward(start, stop, dy, y, dx):
    dy, y, dx = dy[start:stop], y[start:stop], dx[start:stop]
    one = dy.dtype.type(1)
    for i in range(len(dy)):
        dx[i] = dy[i] * y[i] * (one - y[i])


@jit
def tanh_forward(start, stop, x, y):
    x, y = x[start:stop], y[start:stop]
    for i in range(len(x)):
        y[i] = tanh(x[i])


@jit
def tanh_backward(start, stop, dy, y, dx):
    dy, y, dx = dy[start:stop], y[start:stop], dx[start:stop]
    one = dy.dtype.type(1)
    for i in range(len(dy)):
        dx[i] = dy[i] * (one - y[i] * y[i])


@jit
def largest(row):
    """The maximum, or NaN if there is one."""
    best = row[0]
    for k in range(len(row)):
        best = row[k] if row[k] > best or row[k] != row[k] else best
    return best


@jit
def exp_in_place(x):
    """x ← eˣ, x flat: rows are short, so this one loop over many of them is what gets vectorised."""
    for i in range(len(x)):
        x[i] = exp(x[i])


@jit
def softmax(start, stop, x, y):
    """Rows of y (N, K) = eˣ / Σ eˣ."""
    for n in range(start, stop):
        top = largest(x[n])
        for k in range(x.shape[1]):
            y[n, k] = x[n, k] - top
    exp_in_place(y[start:stop].reshape(-1))
    for n in range(start, stop):
        row, total = y[n], 0.0
        for k in range(len(row)):
            total += row[k]
        for k in range(len(row)):
            row[k] /= total


@jit
def softmax_cross_entropy(start, stop, logits, labels, gradient, losses, smoothing):
    """Each row's loss (N,), and gradient (N, K) of their mean; NaN where a label is outside 0 … K-1."""
    N, K = logits.shape
    for n in range(start, stop):
        top, mean, picked = np.float64(largest(logits[n])), 0.0, np.nan
        for k in range(K):
            shifted = logits[n, k] - top  # float64: it may be less than float32 can hold
            gradient[n, k] = shifted
            mean += shifted / K
            picked = shifted if k == labels[n] else picked
        losses[n] = -(1.0 - smoothing) * picked - (smoothing * mean if smoothing > 0 else 0.0)  # 0 · -∞ is 0
    exp_in_place(gradient[start:stop].reshape(-1))
    for n in range(start, stop):
        row, total, label = gradient[n], 0.0, labels[n]
        for k in range(K):
            total += row[k]
        losses[n] += math.log(total)
        picked = row[label] / total if 0 <= label < K else 0.0
        for k in range(K):
            row[k] = (row[k] / total - smoothing / K) / N
        if 0 <= label < K:  # in float64, and rounded once: it may be nearly 0
            row[label] = (picked - smoothing / K - (1.0 - smoothing)) / N


@jit
def soft_cross_entropy(start, stop, logits, targets, gradient, losses, smoothing):
    """As `softmax_cross_entropy`, for targets (N, K): in each row a probability for every class."""
    N, K = logits.shape
    for n in range(start, stop):
        top, loss = np.float64(largest(logits[n])), 0.0
        for k in range(K):
            shifted = logits[n, k] - top
            gradient[n, k] = shifted
            q = (1.0 - smoothing) * targets[n, k] + smoothing / K
            loss -= 0.0 if q == 0 else q * shifted  # as above
        losses[n] = loss
    exp_in_place(gradient[start:stop].reshape(-1))
    for n in range(start, stop):
        row, total = gradient[n], 0.0
        for k in range(K):
            total += row[k]
        losses[n] += math.log(total)
        for k in range(K):
            row[k] = (row[k] / total - (1.0 - smoothing) * targets[n, k] - smoothing / K) / N


@jit
def weigh(start, stop, gradient, losses, weights):
    """Multiply each row of gradient (N, K), and its loss (N,), by its weight (N,), in place."""
    for n in range(start, stop):
        weight = weights[n]
        losses[n] *= weight
        for k in range(gradient.shape[1]):
            gradient[n, k] *= weight


@jit
def mean(start, stop, x, result):
    """result (0-d) = the mean of x (N,), added up in order."""
    total = 0.0
    for n in range(len(x)):
        total += x[n]
    result[()] = total / len(x)


@jit
def place_of_largest(row):
    """Where the maximum is, the first of equals; the first NaN counts as the largest."""
    best = 0
    for k in range(len(row)):
        is_first_nan = row[k] != row[k] and row[best] == row[best]
        best = k if row[k] > row[best] or is_first_nan else best
    return best


@jit
def count_correct(start, stop, outputs, labels, result):
    """result (0-d): the rows of outputs (N, K) whose largest value, the first of equals, is the label's."""
    count = 0
    for n in range(len(labels)):
        count += place_of_largest(outputs[n]) == labels[n]
    result[()] = count


@jit
def argmax(start, stop, x, places):
    """places (N,) of the largest in each row of x (N, K), the first of equals."""
    for n in range(start, stop):
        places[n] = place_of_largest(x[n])


@jit
def cross_entropy(start, stop, scores, labels, gradient, losses, floor):
    """As `softmax_cross_entropy`, for scores (N, K), raised to `floor` and divided by their sum."""
    N, K = scores.shape
    for n in range(start, stop):
        row, total, picked = scores[n], 0.0, np.nan
        for k in range(K):
            score = floor if row[k] < floor else row[k]
            total += score
            picked = np.float64(score) if k == labels[n] else picked
        losses[n] = math.log(total / picked)
        for k in range(K):
            slope = 1.0 / total - (1.0 / picked if k == labels[n] else 0.0)
            gradient[n, k] = 0.0 if row[k] < floor else slope / N
