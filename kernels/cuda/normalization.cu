// Batch normalisation of x (M, C), and sums over rows.
//
// Rows are summed in chunks of a fixed number of rows, one thread a chunk and channel; then one thread a channel
// goes over the chunks, in order. Sums are double for both types. The variance is taken about the chunk's own
// mean, so nothing cancels. (Chan, Golub, LeVeque: "Updating formulae and a pairwise algorithm for computing
// sample variances", 1979.)
#include "common.cuh"

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

// Of each chunk: the mean, and the sum of squared distances to it.
template <typename Real>
__global__ void chunk_statistics(int size, const Real *x, double *means, double *squares, int M, int C, int rows) {
    int i = thread_index();
    if (i >= size) return;
    int c = i % C, first = i / C * rows, end = smaller(M, first + rows);
    double sum = 0, square = 0;
    UNROLLED
    for (int m = first; m < end; m++) sum += x[m * C + c];
    double mean = sum / (end - first);
    UNROLLED
    for (int m = first; m < end; m++) square += (x[m * C + c] - mean) * (x[m * C + c] - mean);
    means[i] = mean;
    squares[i] = square;
}

// mean (C,) and biased variance (C,) of all M rows, out of those of K chunks
template <typename Real>
__global__ void add_statistics(int size, const double *means, const double *squares, Real *mean, Real *variance,
                               int M, int K, int rows) {
    int c = thread_index();
    if (c >= size) return;
    double sum = 0, square = 0;
    UNROLLED
    for (int k = 0; k < K; k++) sum += means[k * size + c] * smaller(rows, M - k * rows);
    double middle = sum / M;
    UNROLLED
    for (int k = 0; k < K; k++) {
        double distance = means[k * size + c] - middle;
        square += squares[k * size + c] + distance * distance * smaller(rows, M - k * rows);
    }
    mean[c] = middle;
    variance[c] = square / M;
}

// y = γ (x - μ) / √(σ² + ε) + β, at least `floor` (0: with a ReLU, -infinity: without)
//
//     x, y             (M, C)
//     mean, variance   μ and σ² (C,)
//     gamma, beta      γ and β (C,)
template <typename Real>
__global__ void normalize(int size, const Real *x, Real *y, const Real *mean, const Real *variance,
                          const Real *gamma, const Real *beta, int C, Real epsilon, Real floor) {
    int i = thread_index();
    if (i >= size) return;
    int c = i % C;
    Real value = gamma[c] * ((x[i] - mean[c]) / sqrt(variance[c] + epsilon)) + beta[c];
    y[i] = value < floor ? floor : value;
}

// Of each chunk: Σ dy and Σ dy · (x - μ).
template <typename Real>
__global__ void chunk_gradients(int size, const Real *dy, const Real *x, const Real *mean, double *sums,
                                double *products, int M, int C, int rows) {
    int i = thread_index();
    if (i >= size) return;
    int c = i % C, first = i / C * rows, end = smaller(M, first + rows);
    double sum = 0, product = 0;
    UNROLLED
    for (int m = first; m < end; m++) {
        sum += dy[m * C + c];
        product += dy[m * C + c] * (x[m * C + c] - mean[c]);
    }
    sums[i] = sum;
    products[i] = product;
}

// ∂L/∂β = Σ dy and ∂L/∂γ = Σ dy x̂, with x̂ = (x - μ) / √(σ² + ε), out of the sums of K chunks
template <typename Real>
__global__ void add_gradients(int size, const double *sums, const double *products, const Real *variance,
                              Real *dgamma, Real *dbeta, int K, Real epsilon) {
    int c = thread_index();
    if (c >= size) return;
    double sum = 0, product = 0;
    UNROLLED
    for (int k = 0; k < K; k++) {
        sum += sums[k * size + c];
        product += products[k * size + c];
    }
    dbeta[c] = sum;
    dgamma[c] = product / sqrt((double)(variance[c] + epsilon));
}

// dx = γ / √(σ² + ε) · ( dy - Σ dy / M - x̂ · Σ dy x̂ / M )
//
//     dy, x, dx        (M, C)
//     mean, variance   μ and σ² (C,) of the batch
//     gamma            γ (C,)
//     dgamma, dbeta    Σ dy x̂ and Σ dy (C,)
template <typename Real>
__global__ void normalize_backward(int size, const Real *dy, const Real *x, Real *dx, const Real *mean,
                                   const Real *variance, const Real *gamma, const Real *dgamma,
                                   const Real *dbeta, int M, int C, Real epsilon) {
    int i = thread_index();
    if (i >= size) return;
    int c = i % C;
    Real inverse_std = 1 / sqrt(variance[c] + epsilon);
    Real normalised = (x[i] - mean[c]) * inverse_std;
    dx[i] = gamma[c] * inverse_std * (dy[i] - dbeta[c] / M - normalised * (dgamma[c] / M));
}

// running = keep · running + (1 - keep) · scale · batch
template <typename Real>
__global__ void running_average(int size, Real *running, const Real *batch, Real keep, Real scale) {
    int c = thread_index();
    if (c < size) running[c] = keep * running[c] + (1 - keep) * scale * batch[c];
}
