// Random words, and dropout, which consumes them.
#include "common.cuh"
#include "philox.cuh"

// The words from number `first` on; one thread a block.
//
//     bits        (count,)
//     low, high   the two words of the seed
//     step        on the device
__global__ void random_bits(int size, unsigned *bits, int count, unsigned low, unsigned high, const double *step,
                            unsigned layer, unsigned stream, unsigned first) {
    int block = thread_index();
    if (block >= size) return;
    unsigned words[4];
    draw(first / 4 + block, low, high, (unsigned)*step, layer, stream, words);
    int begin = 4 * block - (int)(first % 4);
    for (int i = larger(0, begin); i < smaller(count, begin + 4); i++) bits[i] = words[i - begin];
}

// keep = word ≥ threshold,   y = scale · x where kept, else 0 · x (NaN stays); one thread a block.
//
//     x, y, keep   (count,); the other arguments are those of `random_bits`
template <typename Real>
__global__ void dropout(int size, const Real *x, Real *y, bool *keep, int count, unsigned low, unsigned high,
                        const double *step, unsigned layer, unsigned stream, unsigned first, long long threshold,
                        Real scale) {
    int block = thread_index();
    if (block >= size) return;
    unsigned words[4];
    draw(first / 4 + block, low, high, (unsigned)*step, layer, stream, words);
    int begin = 4 * block - (int)(first % 4);
    for (int i = larger(0, begin); i < smaller(count, begin + 4); i++) {
        keep[i] = words[i - begin] >= threshold;
        y[i] = x[i] * (keep[i] ? scale : (Real)0);
    }
}

// dx = dy · scale where kept, else 0
template <typename Real>
__global__ void dropout_backward(int size, const Real *dy, const bool *keep, Real *dx, Real scale) {
    int i = thread_index();
    if (i < size) dx[i] = dy[i] * (keep[i] ? scale : (Real)0);
}
