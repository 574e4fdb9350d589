"""Random words (Philox4x32-10, as `tinynet.rng` defines them) and dropout, which consumes them.

A block of four words depends on its number alone, so any part of the array can be drawn by itself. Words are
drawn a few hundred blocks at a time into four short columns, one per word of a block: that loop has unit
stride and is vectorised. The use of the words follows while they are in the first-level cache, so dropout
never writes its random words to memory.
"""

import numpy as np

from tinynet.kernels.cpu.jit import jit

MULTIPLIER_0, MULTIPLIER_1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
KEY_STEP_0, KEY_STEP_1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
ROUNDS = 10
LOW, HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
BATCH = 256  # blocks drawn at a time: 4 KiB of words


@jit
def draw(first, words, key):
    """words (4, BATCH): column j is block shift + first + j.

    key: seed low, seed high, step, layer, stream, shift
    """
    for j in range(BATCH):
        c0, c1, c2, c3 = key[5] + np.uint64(first + j), key[2], key[3], key[4]
        k0, k1 = key[0], key[1]
        for _ in range(ROUNDS):
            product0, product1 = c0 * MULTIPLIER_0, c2 * MULTIPLIER_1
            c0, c1 = (product1 >> HALF) ^ c1 ^ k0, product1 & LOW
            c2, c3 = (product0 >> HALF) ^ c3 ^ k1, product0 & LOW
            k0, k1 = (k0 + KEY_STEP_0) & LOW, (k1 + KEY_STEP_1) & LOW
        words[0, j], words[1, j], words[2, j], words[3, j] = c0, c1, c2, c3


@jit
def random_bits(start, stop, bits, key):
    """Words [start, stop) of the array `bits`; start is a multiple of 4."""
    words = np.empty((4, BATCH), np.uint32)
    for base in range(start, stop, 4 * BATCH):
        draw(base // 4, words, key)
        out = bits[base : min(base + 4 * BATCH, stop)]
        for i in range(len(out)):
            out[i] = words[i & 3, i >> 2]


@jit
def dropout(start, stop, x, y, keep, key, step, threshold, scale):
    """keep = word ≥ threshold, y = scale · x where kept, else 0 · x (NaN stays); start is a multiple of 4.

    The key's step is step[0] (float64).
    """
    key = (key[0], key[1], np.uint64(step[0]) & LOW, key[3], key[4], key[5])
    words = np.empty((4, BATCH), np.uint32)
    zero = scale - scale
    for base in range(start, stop, 4 * BATCH):
        draw(base // 4, words, key)
        end = min(base + 4 * BATCH, stop)
        source, target, kept = x[base:end], y[base:end], keep[base:end]
        for i in range(len(source)):
            kept[i] = words[i & 3, i >> 2] >= threshold
        for i in range(len(source)):
            target[i] = source[i] * (scale if kept[i] else zero)


@jit
def dropout_backward(start, stop, dy, keep, dx, scale):
    dy, keep, dx = dy[start:stop], keep[start:stop], dx[start:stop]
    zero = scale - scale
    for i in range(len(dy)):
        dx[i] = dy[i] * (scale if keep[i] else zero)
