// The losses with their gradients, and how many rows are right. One thread a row; what it adds up is added
// over the rows by `add_up` (elementwise.cu) and `count`.
#include "common.cuh"

// With p = softmax(z), K classes, N rows, smoothing ε and q = (1 - ε) · [k = label] + ε / K:
//
//     losses (N,) = -Σ q log p        gradient (N, K) = (p - q) / N
//
// logits z (N, K), labels (N,). NaN where a label is outside 0 … K-1.
template <typename Real>
__global__ void softmax_cross_entropy(int size, const Real *logits, const long long *labels, Real *gradient,
                                      double *losses, int K, double smoothing) {
    int n = thread_index();
    if (n >= size) return;
    const Real *z = logits + n * K;
    Real *g = gradient + n * K;
    long long label = labels[n];
    Real top = z[0];
    for (int k = 1; k < K; k++) top = z[k] > top ? z[k] : top;
    double sum = 0, mean = 0;
    for (int k = 0; k < K; k++) {
        double shifted = (double)z[k] - top;  // it may be less than a float can hold
        sum += g[k] = exp((Real)shifted);
        mean += shifted / K;
    }
    double picked = 0 <= label && label < K ? (double)z[label] - top : nan("");
    losses[n] = log(sum) - (1 - smoothing) * picked - (smoothing > 0 ? smoothing * mean : 0);  // 0 · -∞ is 0
    for (int k = 0; k < K; k++) {
        double q = (k == label ? 1 - smoothing : 0) + smoothing / K;
        g[k] = (g[k] / sum - q) / size;
    }
}

// The same of scores s (N, K) that are divided by their sum, none taken to be less than `floor`:
//
//     losses = log(Σ s / s_label)        gradient = ( 1 / Σ s - [k = label] / s ) / N, 0 where s was raised
template <typename Real>
__global__ void cross_entropy(int size, const Real *scores, const long long *labels, Real *gradient,
                              double *losses, int K, Real floor) {
    int n = thread_index();
    if (n >= size) return;
    const Real *s = scores + n * K;
    long long label = labels[n];
    double sum = 0, picked = nan("");
    for (int k = 0; k < K; k++) {
        Real score = s[k] < floor ? floor : s[k];
        sum += score;
        if (k == label) picked = score;
    }
    losses[n] = log(sum / picked);
    for (int k = 0; k < K; k++) {
        double slope = 1 / sum - (k == label ? 1 / picked : 0);
        gradient[n * K + k] = s[k] < floor ? 0 : slope / size;
    }
}

// each row of gradient (N, K), and its loss (N,), times its weight (N,), in place
template <typename Real>
__global__ void weigh(int size, const double *weights, Real *gradient, double *losses, int K) {
    int n = thread_index();
    if (n >= size) return;
    losses[n] *= weights[n];
    for (int k = 0; k < K; k++) gradient[n * K + k] *= weights[n];
}

// right (N,): whether the largest of a row of outputs (N, K), the first of equals, is the label's; the first
// NaN counts as the largest
template <typename Real>
__global__ void is_right(int size, const Real *outputs, const long long *labels, bool *right, int K) {
    int n = thread_index();
    if (n >= size) return;
    const Real *row = outputs + n * K;
    int best = 0;
    for (int k = 1; k < K; k++) {
        bool is_first_nan = row[k] != row[k] && row[best] == row[best];
        if (row[k] > row[best] || is_first_nan) best = k;
    }
    right[n] = best == labels[n];
}

// result = how many of flags (N,) are true        one thread
__global__ void count(int size, const bool *flags, int N, long long *result) {
    if (thread_index() >= size) return;
    long long sum = 0;
    UNROLLED
    for (int n = 0; n < N; n++) sum += flags[n];
    *result = sum;
}
