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

// The same of targets t (N, K), in each row a probability for every class: q = (1 - ε) t + ε / K
template <typename Real>
__global__ void soft_cross_entropy(int size, const Real *logits, const double *targets, Real *gradient,
                                   double *losses, int K, double smoothing) {
    int n = thread_index();
    if (n >= size) return;
    const Real *z = logits + n * K;
    const double *t = targets + n * K;
    Real *g = gradient + n * K;
    Real top = z[0];
    for (int k = 1; k < K; k++) top = z[k] > top ? z[k] : top;
    double sum = 0, loss = 0;
    for (int k = 0; k < K; k++) {
        double shifted = (double)z[k] - top;
        sum += g[k] = exp((Real)shifted);
        double q = (1 - smoothing) * t[k] + smoothing / K;
        loss -= q == 0 ? 0 : q * shifted;  // as above
    }
    losses[n] = log(sum) + loss;
    for (int k = 0; k < K; k++) g[k] = (g[k] / sum - (1 - smoothing) * t[k] - smoothing / K) / size;
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

// right (N,): whether the largest of a row of outputs (N, K) is the label's
template <typename Real>
__global__ void is_right(int size, const Real *outputs, const long long *labels, bool *right, int K) {
    int n = thread_index();
    if (n >= size) return;
    right[n] = place_of_largest(outputs + n * K, K) == labels[n];
}

// places (N,) of the largest in each row of x (N, K)
template <typename Real>
__global__ void argmax(int size, const Real *x, long long *places, int K) {
    int n = thread_index();
    if (n >= size) return;
    places[n] = place_of_largest(x + n * K, K);
}

// result = how many of flags (N,) are true        one thread
__global__ void count(int size, const bool *flags, int N, long long *result) {
    if (thread_index() >= size) return;
    long long sum = 0;
    UNROLLED
    for (int n = 0; n < N; n++) sum += flags[n];
    *result = sum;
}
