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

// y += factor · x
template <typename Real>
__global__ void add_scaled(int size, const Real *x, Real *y, Real factor) {
    int i = thread_index();
    if (i < size) y[i] += factor * x[i];
}

// result = a + b, result = value        each one number; one thread
__global__ void add(int size, const double *a, const double *b, double *result) {
    if (thread_index() < size) *result = *a + *b;
}
__global__ void put(int size, double *result, double value) {
    if (thread_index() < size) *result = value;
}

// sums (size,): thread i adds up every size-th value of x (N,), from value i on, and multiplies by factor
__global__ void add_up(int size, const double *x, int N, double factor, double *sums) {
    int i = thread_index();
    if (i >= size) return;
    double sum = 0;
    UNROLLED
    for (int n = i; n < N; n += size) sum += x[n];
    sums[i] = factor * sum;
}
