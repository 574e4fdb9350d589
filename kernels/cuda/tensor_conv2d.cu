// The kernels of conv2d.cu for float32, by tensor cores. `is_exact`: with float32's accuracy, which takes three
// products for each; else by one, of factors rounded to 11 bits.
#include "common.cuh"
#include "instructions.cuh"
#include "tiles.cuh"
#include "tensor_tile.cuh"
#include "windows.cuh"

// y = b + Σ x · K over the window, at least `floor` (0: with a ReLU); in parts: y (·, N, OH, OW, F) = Σ x · K
__global__ void __launch_bounds__(THREADS, 2)
    tensor_conv2d(int size, const float *x, const float *K, const float *b, float *y, int length, int N, int F,
                  int H, int W, int C, int OH, int OW, int KH, int KW, int down, int across, int top, int left,
                  float floor, bool is_exact) {
    const Sizes sizes = {H, W, C, OH, OW, F, KH, KW, down, across, top, left};
    forward(TensorTile<true>(is_exact), x, K, b, y, length, N, sizes, floor);
}

// dx = Σ dy · K over the windows that the pixel lies in; in parts: dx (·, N, H, W, C)
__global__ void __launch_bounds__(THREADS, 2)
    tensor_conv2d_dx(int size, const float *dy, const float *swapped, float *dx, int length, int N, int F, int H,
                     int W, int C, int OH, int OW, int KH, int KW, int down, int across, int top, int left,
                     bool is_exact) {
    const Sizes sizes = {H, W, C, OH, OW, F, KH, KW, down, across, top, left};
    backward(TensorTile<true>(is_exact), dy, swapped, dx, length, N, sizes);
}

// dK = Σ x · dy over all windows; in parts: dK (·, KH, KW, C, F)
__global__ void __launch_bounds__(THREADS, 2)
    tensor_conv2d_dK(int size, const float *x, const float *dy, float *dK, int length, int N, int F, int H, int W,
                     int C, int OH, int OW, int KH, int KW, int down, int across, int top, int left,
                     bool is_exact) {
    const Sizes sizes = {H, W, C, OH, OW, F, KH, KW, down, across, top, left};
    gradient_of_weights(TensorTile<false>(is_exact), x, dy, dK, length, N, sizes);
}
