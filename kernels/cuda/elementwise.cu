// Passes over arrays: rescaling, the sum of two branches, the bias (with a ReLU), gathering rows; and sums of a few numbers.
#include "common.cuh"

// y = scale · x + offset        x of any real type
template <typename Real, typename Value>
__global__ void rescale(int size, const Value *x, Real *y, Real scale, Real offset) {
    int i = thread_index();
    if (i < size) y[i] = scale * (Real)x[i] + offset;
}

// y = f + s, at least `floor` (0: a ReLU, -infinity: none). NaN stays.
template <typename Real>
__global__ void residual(int size, const Real *f, const Real *s, Real *y, Real floor) {
    int i = thread_index();
    if (i >= size) return;
    Real value = f[i] + s[i];
    y[i] = value < floor ? floor : value;
}

// y (M, C) += b (C,), then at least `floor` (0: a ReLU, -infinity: none). NaN stays.
template <typename Real>
__global__ void add_bias(int size, Real *y, const Real *b, int C, Real floor) {
    int i = thread_index();
    if (i >= size) return;
    Real value = y[i] + b[i % C];
    y[i] = value < floor ? floor : value;
}

// y (N, length) = rows index (N,) of x (M, length)
template <typename Value>
__global__ void take(int size, const Value *x, const long long *index, Value *y, int length) {
    int i = thread_index();
    if (i < size) y[i] = x[index[i / length] * length + i % length];
}

// result = value        one number; one thread
__global__ void put(int size, double *result, double value) {
    if (thread_index() < size) *result = value;
}
