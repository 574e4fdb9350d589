// Optimiser steps on flat buffers, the average over steps, and what clipping and L2 penalties need.
//
// What changes from step to step (the rate, the step's number, the gain) is read from the device: a step can
// then be captured once, and repeated with other numbers.
#include "common.cuh"
#include "last_block.cuh"

// v ← μ v + g,   θ ← θ - α v, or with `nesterov` θ - α (g + μ v)
//
//     values, grads, velocity   θ, g and v (P,)
//     rate                      α, on the device
//     decay, decayed            before that, the first `decayed` values are multiplied by 1 - α · decay
template <typename Real>
__global__ void sgd(int size, Real *values, const Real *grads, Real *velocity, const double *rate, Real momentum,
                    bool nesterov, double decay, int decayed) {
    int i = thread_index();
    if (i >= size) return;
    Real g = grads[i], v = momentum * velocity[i] + g, alpha = *rate;
    Real shrink = i < decayed ? 1 - *rate * decay : 1;
    velocity[i] = v;
    values[i] = values[i] * shrink - alpha * (nesterov ? g + momentum * v : v);
}

// m ← m + (1-β₁)(g - m),   v ← v + (1-β₂)(g² - v),   θ ← θ - α m̂ / (√v̂ + ε)
//
//     values, grads, m, v   θ, g, m and v (P,)
//     step, rate            t, from 1, and α, on the device: with m̂ = m / (1 - β₁ᵗ), v̂ = v / (1 - β₂ᵗ)
//     decay, decayed        as in `sgd`
//
// What all values share is computed once a block, so each thread has several values: `size` threads in all, P = count.
template <typename Real>
__global__ void adam(int size, Real *values, const Real *grads, Real *m, Real *v, int count, const double *step,
                     const double *rate, double beta1, double beta2, Real epsilon, double decay, int decayed) {
    __shared__ Real numbers[4];
    if (threadIdx.x == 0) {
        numbers[0] = *rate;
        numbers[1] = 1 / (1 - pow(beta1, *step));
        numbers[2] = 1 / (1 - pow(beta2, *step));
        numbers[3] = 1 - *rate * decay;
    }
    __syncthreads();
    const Real alpha = numbers[0], unbias1 = numbers[1], unbias2 = numbers[2], shrunk = numbers[3];
    const Real gain1 = 1 - beta1, gain2 = 1 - beta2;
    for (int i = thread_index(); i < count; i += size) {
        Real g = grads[i], shrink = i < decayed ? shrunk : 1;
        Real mean = m[i] + gain1 * (g - m[i]), square = v[i] + gain2 * (g * g - v[i]);
        m[i] = mean;
        v[i] = square;
        values[i] = values[i] * shrink - alpha * (unbias1 * mean / (sqrt(unbias2 * square) + epsilon));
    }
}

// average += gain · (values - average)
template <typename Real>
__global__ void moving_average(int size, Real *average, const Real *values, const double *gain) {
    int i = thread_index();
    if (i < size) average[i] += (Real)*gain * (values[i] - average[i]);
}

// total = Σ x² over x (length,)
//
//     sums, counter    see `sum_of_all` (last_block.cuh)
template <typename Real>
__global__ void sum_of_squares(int size, const Real *x, int length, double *sums, double *total,
                               unsigned *counter) {
    double all = 0;
    UNROLLED
    for (int i = thread_index(); i < length; i += size) all += (double)x[i] * x[i];
    if (!sum_of_all(size, all, sums, counter)) return;
    if (threadIdx.x == 0) *total = all;
}

// grads are scaled so that their norm is at most `limit`; square: their Σ g². NaN stays.
template <typename Real>
__global__ void clip(int size, Real *grads, const double *square, double limit) {
    int i = thread_index();
    double norm = sqrt(*square);
    if (i < size && !(norm <= limit)) grads[i] *= (Real)(limit / norm);
}

// result = loss + Σ λ θ², and grads += 2 λ θ
//
//     values           θ, of which each may have another λ
//     grads            (learning,): what lies beyond its end has no gradient
//     ends, rates      λ = rates[k] from ends[k - 1] (0 for the first) up to ends[k]; the last end is `count`
//     sums, counter    see `sum_of_all` (last_block.cuh)
//
// Each thread has several values: `size` threads in all.
template <typename Real>
__global__ void l2_penalty(int size, const Real *values, Real *grads, int learning, const int *ends,
                           const double *rates, int count, double *sums, const double *loss, double *result,
                           unsigned *counter) {
    double all = 0;
    for (int i = thread_index(), k = 0; i < count; i += size) {
        while (i >= ends[k]) k++;
        const double rate = rates[k];
        if (rate == 0) continue;
        all += rate * ((double)values[i] * values[i]);
        if (i < learning) grads[i] += (Real)(2 * rate) * values[i];
    }
    if (!sum_of_all(size, all, sums, counter)) return;
    if (threadIdx.x == 0) *result = *loss + all;
}
