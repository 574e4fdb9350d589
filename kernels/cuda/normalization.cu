// Batch normalisation of x (M, C), and sums over rows. Sums are double for both types.
#include "common.cuh"
#include "last_block.cuh"
#include "columns.cuh"
#include "largest.cuh"

// --- sums over rows, in chunks of a fixed number of rows: one thread a chunk and channel, then one a channel ---

// sums (chunks, C): Σ over the chunk's rows of x (M, C)
template <typename Real>
__global__ void column_sums(int size, const Real *x, double *sums, int M, int C, int rows) {
    int i = thread_index();
    if (i >= size) return;
    int c = i % C, first = i / C * rows, end = smaller(M, first + rows);
    double sum = 0;
    UNROLLED
    for (int m = first; m < end; m++) sum += x[m * C + c];
    sums[i] = sum;
}

// sums (C,) = Σ over chunks (K, C), in order
template <typename Real>
__global__ void add_chunks(int size, const double *chunks, Real *sums, int K) {
    int c = thread_index();
    if (c >= size) return;
    double sum = 0;
    UNROLLED
    for (int k = 0; k < K; k++) sum += chunks[k * size + c];
    sums[c] = sum;
}

// --- batch normalisation ---

// The statistics of x (M, C), whose rows are summed in chunks of `rows`: see `Statistics` (columns.cuh).
template <typename Real>
__global__ void batch_statistics(int size, const Real *x, double *means, double *squares, Real *mean,
                                 Real *variance, unsigned *counters, int M, int C, int rows) {
    __shared__ Moments memory[THREADS];
    const Chunk chunk(M, C, rows);
    const Statistics<Real> found = {means, squares, mean, variance, counters};
    statistics(chunk, memory, found, [&](int m) { return x[m * C + chunk.channel]; });
}

// y = γ (x - μ) / √(σ² + ε) + β, at least `floor` (0: with a ReLU, -infinity: without)
//
//     x, y             (M, C)
//     mean, variance   μ and σ² (C,)        rest    (C,): what rounding took from μ
//     gamma, beta      γ and β (C,)
//
// In training, too: running averages (C,) of μ and σ² ← keep · running + (1 - keep) · batch, of σ² · unbias;
// keep is 1 where there is nothing to keep.
template <typename Real>
struct Normalization {
    const Real *mean, *rest, *variance, *gamma, *beta;
    Real *running_mean, *running_variance;
    Real epsilon, floor, keep, unbias;

    __device__ Real of(Real x, int c) const {
        const Real value = gamma[c] * ((x - mean[c] - rest[c]) / sqrt(variance[c] + epsilon)) + beta[c];
        return value < floor ? floor : value;
    }
    // Of channel c, by one thread
    __device__ void update_averages(int c) const {
        if (!(keep < 1)) return;
        running_mean[c] = keep * running_mean[c] + (1 - keep) * mean[c];
        running_variance[c] = keep * running_variance[c] + (1 - keep) * unbias * variance[c];
    }
};
template <typename Real>
__global__ void normalize(int size, const Real *x, Real *y, const Real *mean, const Real *rest,
                          const Real *variance, const Real *gamma, const Real *beta, Real *running_mean,
                          Real *running_variance, Real epsilon, Real floor, Real keep, Real unbias, int C) {
    int i = thread_index();
    if (i >= size) return;
    const Normalization<Real> norm = {mean, rest, variance, gamma, beta, running_mean, running_variance,
                                      epsilon, floor, keep, unbias};
    if (i < C) norm.update_averages(i);
    y[i] = norm.of(x[i], i % C);
}

// The same, and a max pooling by 2 x 2 of y (N, H, W, C), H and W even, which comes from a ReLU: largest.cuh
//
//     pooled, winner    (N, H / 2, W / 2, C)
template <typename Real>
__global__ void normalize_and_pool(int size, const Real *x, Real *y, Real *pooled, signed char *winner,
                                   const Real *mean, const Real *rest, const Real *variance, const Real *gamma,
                                   const Real *beta, Real *running_mean, Real *running_variance, Real epsilon,
                                   Real floor, Real keep, Real unbias, int H, int W, int C) {
    int i = thread_index();
    if (i >= size) return;
    const Normalization<Real> norm = {mean, rest, variance, gamma, beta, running_mean, running_variance,
                                      epsilon, floor, keep, unbias};
    if (i < C) norm.update_averages(i);
    const int c = i % C, w = 2 * (i / C % (W / 2)), row = 2 * (i / C / (W / 2));  // of all images together
    int place = 0;
    Real best = 0;
    for (int n = 0; n < 4; n++) {
        const int at = ((row + n / 2) * W + w + n % 2) * C + c;
        const Real value = norm.of(x[at], c);
        y[at] = value;
        if (n == 0 || is_better(value, best)) best = value, place = n;
    }
    pooled[i] = best, winner[i] = winner_of(place, best, true);
}

// ∂L/∂β = Σ dy and ∂L/∂γ = Σ dy x̂, with x̂ = (x - μ) / √(σ² + ε)
//
//     sums, products    (chunks, C): of each chunk Σ dy and Σ dy · (x - μ)
template <typename Real>
__global__ void batch_gradients(int size, const Real *dy, const Real *x, const Real *mean, const Real *rest,
                                const Real *variance, double *sums, double *products, Real *dgamma, Real *dbeta,
                                unsigned *counters, int M, int C, int rows, Real epsilon) {
    __shared__ Sums memory[THREADS];
    const Chunk chunk(M, C, rows);
    const int c = chunk.channel;
    Sums mine = {0, 0};
    if (c < C)
        UNROLLED
        for (int m = chunk.first + chunk.lane; m < chunk.end; m += LANES) {
            mine.sum += dy[m * C + c];
            mine.product += dy[m * C + c] * (x[m * C + c] - mean[c] - rest[c]);
        }
    mine = over_lanes(mine, memory);
    if (chunk.writes()) sums[chunk.number * C + c] = mine.sum, products[chunk.number * C + c] = mine.product;
    if (!is_last_block(counters + chunk.group, chunk.chunks)) return;
    mine = {0, 0};
    if (c < C)
        for (int k = chunk.lane; k < chunk.chunks; k += LANES)
            mine = together(mine, Sums{sums[k * C + c], products[k * C + c]});
    mine = over_lanes(mine, memory);
    if (chunk.writes()) {
        dbeta[c] = mine.sum;
        dgamma[c] = mine.product / sqrt((double)(variance[c] + epsilon));
    }
}

// dx = γ / √(σ² + ε) · ( dy - Σ dy / M - x̂ · Σ dy x̂ / M )
//
//     dy, x, dx        (M, C)
//     mean, variance   μ and σ² (C,) of the batch        rest    as in `normalize`
//     gamma            γ (C,)
//     dgamma, dbeta    Σ dy x̂ and Σ dy (C,)
template <typename Real>
__global__ void normalize_backward(int size, const Real *dy, const Real *x, Real *dx, const Real *mean,
                                   const Real *rest, const Real *variance, const Real *gamma, const Real *dgamma,
                                   const Real *dbeta, int M, int C, Real epsilon) {
    int i = thread_index();
    if (i >= size) return;
    int c = i % C;
    Real inverse_std = 1 / sqrt(variance[c] + epsilon);
    Real normalised = (x[i] - mean[c] - rest[c]) * inverse_std;
    dx[i] = gamma[c] * inverse_std * (dy[i] - dbeta[c] / M - normalised * (dgamma[c] / M));
}

// running = keep · running + (1 - keep) · scale · batch
template <typename Real>
__global__ void running_average(int size, Real *running, const Real *batch, Real keep, Real scale) {
    int c = thread_index();
    if (c < size) running[c] = keep * running[c] + (1 - keep) * scale * batch[c];
}
