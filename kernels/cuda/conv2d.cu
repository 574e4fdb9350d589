// Convolution as a product whose first factor is never written: implicit GEMM.
//
//     x, dx          (N, H, W, C)
//     y, dy          (N, OH, OW, F)
//     K, dK          (KH, KW, C, F): the weights        b   (F)
//     down, across   the stride
//     top, left      the padding: window (oh, ow) begins at pixel (oh · down - top, ow · across - left)
//
// The story of its versions:
//
//  1. im2col.cu writes each window as a row, and cuBLAS multiplies these rows by K. A pixel is written KH · KW
//     times and read again as often: for a window of 3 x 3 over C = F channels the memory moves 9 values written
//     and 9 read for each value of x. (Chellapilla, Puri, Simard 2006.) `--conv im2col` still does this.
//  2. Here a block takes a tile of y and copies the piece of the rows that it multiplies next straight from x
//     into shared memory. No row exists elsewhere. While a piece is multiplied two more are under way. (Chetlur
//     et al., "cuDNN: efficient primitives for deep learning", 2014.)
//  3. Where tensor cores are faster they multiply the same pieces, each float32 in two halves:
//     tensor_conv2d.cu.
//
// dx is the convolution of dy by K with its channels swapped, windows read backwards. dK is a product over all
// pixels of y. A sum that is long, and of a product with few tiles, is cut into parts of `length` for as many
// blocks; add_parts adds them up in order. The shape alone decides how it is cut, so the same input gives the same
// bits, whatever the GPU does first.
#include "common.cuh"
#include "instructions.cuh"
#include "tiles.cuh"
#include "windows.cuh"

// y = b + Σ x · K over the window, at least `floor` (0: with a ReLU); in parts: y (·, N, OH, OW, F) = Σ x · K
template <typename Real>
__global__ void __launch_bounds__(THREADS, 2)
    conv2d(int size, const Real *x, const Real *K, const Real *b, Real *y, int length, int N, int F, int H, int W,
           int C, int OH, int OW, int KH, int KW, int down, int across, int top, int left, Real floor) {
    const Sizes sizes = {H, W, C, OH, OW, F, KH, KW, down, across, top, left};
    forward(PlainTile<Real, true>(), x, K, b, y, length, N, sizes, floor);
}

// K (KH · KW, C, F) with its channels swapped: (KH · KW, F, C), a filter for each channel of x
template <typename Real>
__global__ void swap_channels(int size, const Real *K, Real *swapped, int C, int F) {
    int i = thread_index();
    if (i >= size) return;
    int c = i % C, f = i / C % F, tap = i / C / F;
    swapped[i] = K[(tap * C + c) * F + f];
}

// dx = Σ dy · K over the windows that the pixel lies in; in parts: dx (·, N, H, W, C)
template <typename Real>
__global__ void __launch_bounds__(THREADS, 2)
    conv2d_dx(int size, const Real *dy, const Real *swapped, Real *dx, int length, int N, int F, int H, int W, int C,
              int OH, int OW, int KH, int KW, int down, int across, int top, int left) {
    const Sizes sizes = {H, W, C, OH, OW, F, KH, KW, down, across, top, left};
    backward(PlainTile<Real, true>(), dy, swapped, dx, length, N, sizes);
}

// dK = Σ x · dy over all windows; in parts: dK (·, KH, KW, C, F)
template <typename Real>
__global__ void __launch_bounds__(THREADS, 2)
    conv2d_dK(int size, const Real *x, const Real *dy, Real *dK, int length, int N, int F, int H, int W, int C,
              int OH, int OW, int KH, int KW, int down, int across, int top, int left) {
    const Sizes sizes = {H, W, C, OH, OW, F, KH, KW, down, across, top, left};
    gradient_of_weights(PlainTile<Real, false>(), x, dy, dK, length, N, sizes);
}

// y (size,) = Σ over the parts (count, size), in order
template <typename Real>
__global__ void add_parts(int size, const Real *parts, Real *y, int count) {
    int i = thread_index();
    if (i >= size) return;
    double sum = 0;
    UNROLLED
    for (int part = 0; part < count; part++) sum += parts[part * size + i];
    y[i] = sum;
}
