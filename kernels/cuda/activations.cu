// Activations y = f(x), each with its backward dx = dy · f'(x); softmax along rows.
#include "common.cuh"

// y = max(x, 0): NaN stays        dx = dy where y > 0, else 0
template <typename Real>
__global__ void relu(int size, const Real *x, Real *y) {
    int i = thread_index();
    if (i < size) y[i] = x[i] < 0 ? (Real)0 : x[i];
}
template <typename Real>
__global__ void relu_backward(int size, const Real *dy, const Real *y, Real *dx) {
    int i = thread_index();
    if (i < size) dx[i] = y[i] > 0 ? dy[i] : (Real)0;
}

// y = x where x > 0, else slope · x        dx = dy or slope · dy
template <typename Real>
__global__ void leaky_relu(int size, const Real *x, Real *y, Real slope) {
    int i = thread_index();
    if (i < size) y[i] = x[i] > 0 ? x[i] : slope * x[i];
}
template <typename Real>
__global__ void leaky_relu_backward(int size, const Real *dy, const Real *x, Real *dx, Real slope) {
    int i = thread_index();
    if (i < size) dx[i] = x[i] > 0 ? dy[i] : slope * dy[i];
}

// y = x where x > 0, else alpha · (eˣ - 1)        dx = dy or dy · (y + alpha)
template <typename Real>
__global__ void elu(int size, const Real *x, Real *y, Real alpha) {
    int i = thread_index();
    if (i < size) y[i] = x[i] > 0 ? x[i] : alpha * expm1(x[i]);
}
template <typename Real>
__global__ void elu_backward(int size, const Real *dy, const Real *y, Real *dx, Real alpha) {
    int i = thread_index();
    if (i < size) dx[i] = y[i] > 0 ? dy[i] : dy[i] * (y[i] + alpha);
}

// y = x · Φ(x),   Φ(x) = (1 + erf(x/√2)) / 2 = erfc(-x/√2) / 2        dx = dy · ( Φ(x) + x · φ(x) )
const double ROOT_HALF = 0.7071067811865476;
const double NORMAL_DENSITY = 0.3989422804014327;  // 1/√(2π)
const double NORMAL_FLAT = 40;                      // from here on e^{-x²/2} is 0
template <typename Real>
__device__ Real normal_below(Real x) {
    return (Real)0.5 * erfc(-(Real)ROOT_HALF * x);
}
template <typename Real>
__global__ void gelu(int size, const Real *x, Real *y) {
    int i = thread_index();
    if (i >= size) return;
    Real v = x[i] < -NORMAL_FLAT ? (Real)-NORMAL_FLAT : x[i];
    y[i] = v * normal_below(v);
}
template <typename Real>
__global__ void gelu_backward(int size, const Real *dy, const Real *x, Real *dx) {
    int i = thread_index();
    if (i >= size) return;
    Real v = x[i] < -NORMAL_FLAT ? (Real)-NORMAL_FLAT : x[i];
    v = v > NORMAL_FLAT ? (Real)NORMAL_FLAT : v;
    dx[i] = dy[i] * (normal_below(v) + v * (Real)NORMAL_DENSITY * exp((Real)-0.5 * v * v));
}

// y = x/2 · (1 + t),   t = tanh(√(2/π) · (x + 0.044715 x³))
// dx = dy · ( (1 + t)/2 + x/2 · (1 - t²) · √(2/π) · (1 + 3 · 0.044715 x²) )
const double GELU_SCALE = 0.7978845608028654;
const double GELU_CUBIC = 0.044715;
const double GELU_FLAT = 10;  // from here on t is 1, and GELU 0 or x; x³ beyond could overflow
template <typename Real>
__device__ Real gelu_t(Real x) {
    return tanh((Real)GELU_SCALE * (x + (Real)GELU_CUBIC * x * x * x));
}
template <typename Real>
__device__ Real at_least_flat(Real x) {
    return x < -GELU_FLAT ? (Real)-GELU_FLAT : x;
}
template <typename Real>
__device__ Real at_most_flat(Real x) {
    return x > GELU_FLAT ? (Real)GELU_FLAT : x;
}
template <typename Real>
__global__ void gelu_tanh(int size, const Real *x, Real *y) {
    int i = thread_index();
    if (i >= size) return;
    Real v = at_least_flat(x[i]);
    y[i] = (Real)0.5 * v * (1 + gelu_t(at_most_flat(v)));
}
template <typename Real>
__global__ void gelu_tanh_backward(int size, const Real *dy, const Real *x, Real *dx) {
    int i = thread_index();
    if (i >= size) return;
    Real v = at_most_flat(at_least_flat(x[i])), t = gelu_t(v);
    Real slope_of_t = (1 - t * t) * (Real)GELU_SCALE * (1 + 3 * (Real)GELU_CUBIC * v * v);
    dx[i] = dy[i] * ((Real)0.5 * (1 + t) + (Real)0.5 * v * slope_of_t);
}

// y = 1 / (1 + e⁻ˣ): e⁻ˣ may be infinite, and its reciprocal is the right 0        dx = dy · y · (1 - y)
template <typename Real>
__global__ void sigmoid(int size, const Real *x, Real *y) {
    int i = thread_index();
    if (i < size) y[i] = 1 / (1 + exp(-x[i]));
}
template <typename Real>
__global__ void sigmoid_backward(int size, const Real *dy, const Real *y, Real *dx) {
    int i = thread_index();
    if (i < size) dx[i] = dy[i] * y[i] * (1 - y[i]);
}

// y = tanh x        dx = dy · (1 - y²)
template <typename Real>
__global__ void tanh_forward(int size, const Real *x, Real *y) {
    int i = thread_index();
    if (i < size) y[i] = tanh(x[i]);
}
template <typename Real>
__global__ void tanh_backward(int size, const Real *dy, const Real *y, Real *dx) {
    int i = thread_index();
    if (i < size) dx[i] = dy[i] * (1 - y[i] * y[i]);
}

// y = eˣ / Σ eˣ along the rows of x (N, K)        dx = y · (dy - Σ dy · y)        one thread a row
template <typename Real>
__global__ void softmax(int size, const Real *x, Real *y, int K) {
    int n = thread_index();
    if (n >= size) return;
    x += n * K, y += n * K;
    Real top = x[0], sum = 0;
    for (int k = 1; k < K; k++) top = x[k] > top ? x[k] : top;
    for (int k = 0; k < K; k++) sum += y[k] = exp(x[k] - top);
    for (int k = 0; k < K; k++) y[k] /= sum;
}
template <typename Real>
__global__ void softmax_backward(int size, const Real *dy, const Real *y, Real *dx, int K) {
    int n = thread_index();
    if (n >= size) return;
    dy += n * K, y += n * K, dx += n * K;
    Real sum = 0;
    for (int k = 0; k < K; k++) sum += dy[k] * y[k];
    for (int k = 0; k < K; k++) dx[k] = y[k] * (dy[k] - sum);
}
