// The losses with their gradients, and how many rows are right. One thread a row; the last block adds up what they
// have found (last_block.cuh).
//
//     weights    (N,): each row's loss and gradient is multiplied by its own, if `is_weighted`
//     losses     (N,): of each row                     loss    their sum / N, one number
//     counts     (blocks,): right rows of each block   count   how many rows are largest at their label
//     counter    see last_block.cuh
#include "common.cuh"
#include "last_block.cuh"

// where the largest in a row (K,) is, the first of equals; the first NaN counts as the largest
template <typename Real>
__device__ int place_of_largest(const Real *row, int K) {
    int best = 0;
    for (int k = 1; k < K; k++) {
        bool is_first_nan = row[k] != row[k] && row[best] == row[best];
        if (row[k] > row[best] || is_first_nan) best = k;
    }
    return best;
}

// What the kernels here do at their end: count this thread's row if it `is_right`; weigh each row, of K classes; add
// up. No losses: they only count.
template <typename Real>
__device__ void conclude(int size, bool is_right, double *counts, long long *count, const double *weights,
                         bool is_weighted, Real *gradient, double *losses, double *loss, unsigned *counter, int K) {
    int n = thread_index();
    if (n < size && is_weighted) {
        losses[n] *= weights[n];
        for (int k = 0; k < K; k++) gradient[n * K + k] *= weights[n];
    }
    double right = is_right;
    if (!sum_of_all(size, right, counts, counter)) return;
    if (threadIdx.x == 0) *count = right;
    if (!losses) return;
    double sum = sum_by_block(losses, size);
    if (threadIdx.x == 0) *loss = sum / size;
}

// With p = softmax(z), K classes, N rows, smoothing ε and q = (1 - ε) · [k = label] + ε / K:
//
//     losses (N,) = -Σ q log p        gradient (N, K) = (p - q) / N
//
// logits z (N, K), labels (N,). NaN where a label is outside 0 … K-1.
template <typename Real>
__device__ double loss_of_row(int size, const Real *z, long long label, Real *g, int K, double smoothing) {
    Real top = z[0];
    for (int k = 1; k < K; k++) top = z[k] > top ? z[k] : top;
    double sum = 0, mean = 0;
    for (int k = 0; k < K; k++) {
        double shifted = (double)z[k] - top;  // it may be less than a float can hold
        sum += g[k] = exp((Real)shifted);
        mean += shifted / K;
    }
    double picked = 0 <= label && label < K ? (double)z[label] - top : nan("");
    for (int k = 0; k < K; k++) {
        double q = (k == label ? 1 - smoothing : 0) + smoothing / K;
        g[k] = (g[k] / sum - q) / size;
    }
    return log(sum) - (1 - smoothing) * picked - (smoothing > 0 ? smoothing * mean : 0);  // 0 · -∞ is 0
}
template <typename Real>
__global__ void softmax_cross_entropy(int size, const Real *logits, const long long *labels, double *counts,
                                      long long *count, const double *weights, bool is_weighted, Real *gradient,
                                      double *losses, double *loss, unsigned *counter, int K, double smoothing) {
    int n = thread_index();
    if (n < size) losses[n] = loss_of_row(size, logits + n * K, labels[n], gradient + n * K, K, smoothing);
    bool is_right = n < size && place_of_largest(logits + n * K, K) == labels[n];
    conclude(size, is_right, counts, count, weights, is_weighted, gradient, losses, loss, counter, K);
}

// The same of targets t (N, K), in each row a probability for every class: q = (1 - ε) t + ε / K. Nothing is counted.
template <typename Real>
__device__ double soft_loss_of_row(int size, const Real *z, const double *t, Real *g, int K, double smoothing) {
    Real top = z[0];
    for (int k = 1; k < K; k++) top = z[k] > top ? z[k] : top;
    double sum = 0, loss = 0;
    for (int k = 0; k < K; k++) {
        double shifted = (double)z[k] - top;
        sum += g[k] = exp((Real)shifted);
        double q = (1 - smoothing) * t[k] + smoothing / K;
        loss -= q == 0 ? 0 : q * shifted;  // as above
    }
    for (int k = 0; k < K; k++) g[k] = (g[k] / sum - (1 - smoothing) * t[k] - smoothing / K) / size;
    return log(sum) + loss;
}
template <typename Real>
__global__ void soft_cross_entropy(int size, const Real *logits, const double *targets, double *counts,
                                   long long *count, const double *weights, bool is_weighted, Real *gradient,
                                   double *losses, double *loss, unsigned *counter, int K, double smoothing) {
    int n = thread_index();
    if (n < size)
        losses[n] = soft_loss_of_row(size, logits + n * K, targets + n * K, gradient + n * K, K, smoothing);
    conclude(size, false, counts, count, weights, is_weighted, gradient, losses, loss, counter, K);
}

// The same of scores s (N, K) that are divided by their sum, none taken to be less than `floor`:
//
//     losses = log(Σ s / s_label)        gradient = ( 1 / Σ s - [k = label] / s ) / N, 0 where s was raised
template <typename Real>
__device__ double loss_of_scores(int size, const Real *s, long long label, Real *g, int K, Real floor) {
    double sum = 0, picked = nan("");
    for (int k = 0; k < K; k++) {
        Real score = s[k] < floor ? floor : s[k];
        sum += score;
        if (k == label) picked = score;
    }
    for (int k = 0; k < K; k++) {
        double slope = 1 / sum - (k == label ? 1 / picked : 0);
        g[k] = s[k] < floor ? 0 : slope / size;
    }
    return log(sum / picked);
}
template <typename Real>
__global__ void cross_entropy(int size, const Real *scores, const long long *labels, double *counts,
                              long long *count, const double *weights, bool is_weighted, Real *gradient,
                              double *losses, double *loss, unsigned *counter, int K, Real floor) {
    int n = thread_index();
    if (n < size) losses[n] = loss_of_scores(size, scores + n * K, labels[n], gradient + n * K, K, floor);
    bool is_right = n < size && place_of_largest(scores + n * K, K) == labels[n];
    conclude(size, is_right, counts, count, weights, is_weighted, gradient, losses, loss, counter, K);
}

// How many rows of outputs (N, K) are largest at their label (N,), of their own
template <typename Real>
__global__ void count_correct(int size, const Real *outputs, const long long *labels, double *counts,
                              long long *count, unsigned *counter, int K) {
    int n = thread_index();
    bool is_right = n < size && place_of_largest(outputs + n * K, K) == labels[n];
    conclude<Real>(size, is_right, counts, count, nullptr, false, nullptr, nullptr, nullptr, counter, K);
}

// places (N,) of the largest in each row of x (N, K)
template <typename Real>
__global__ void argmax(int size, const Real *x, long long *places, int K) {
    int n = thread_index();
    if (n >= size) return;
    places[n] = place_of_largest(x + n * K, K);
}
