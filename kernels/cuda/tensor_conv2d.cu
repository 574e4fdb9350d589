// The kernels of conv2d.cu for float32, by tensor cores. `precision` 0: with float32's accuracy, which takes three
// products for each; 1, 2: by one, of factors rounded to 11 bits (TF32) or to 8 (bfloat16).
#include "common.cuh"
#include "instructions.cuh"
#include "tiles.cuh"
#include "tensor_tile.cuh"
#include "last_block.cuh"
#include "columns.cuh"
#include "shares.cuh"
#include "neighbours.cuh"
#include "largest.cuh"
#include "windows.cuh"

// y = b + Σ x · K over the window, and the activation of that; then what is `Behind`
__global__ void __launch_bounds__(THREADS, 2)
    tensor_conv2d(int size, const float *x, const float *K, const float *b, float *y, float *sums,
                  unsigned *counters, int length, float alpha, bool is_pooled, float *pooled, signed char *winner,
                  bool finds_statistics, double *means, double *squares, float *mean, float *variance,
                  unsigned *statistics_counters, int N, int F, int H, int W, int C, int OH, int OW, int KH, int KW,
                  int down, int across, int top, int left, int precision) {
    using Product = TensorTile<true, false>;
    __shared__ Vector<float> memory[Product::VECTORS];
    __shared__ Corner corners[Product::ROWS];
    __shared__ int lines[Product::ROWS];
    const Sizes sizes = {H, W, C, OH, OW, F, KH, KW, down, across, top, left};
    const Behind<float> behind = {is_pooled, pooled, winner, finds_statistics,
                                  {means, squares, mean, variance, statistics_counters}};
    forward(Product(precision), (float *)memory, corners, lines, x, K, b, y, sums, counters, length, alpha, behind, N,
            sizes);
}

// dK = Σ x · dy over all windows, db = Σ dy, by the first `dK_blocks`; by the others
// dx = Σ dy · K over the windows that the pixel lies in
__global__ void __launch_bounds__(THREADS, 2)
    tensor_conv2d_backward(int size, const float *dy, const float *x, const float *K, float *dK, float *db,
                           float *dK_sums, unsigned *dK_counters, int dK_length, int dK_blocks, float *dx,
                           float *dx_sums, unsigned *dx_counters, int dx_length, const bool *keep, float scale,
                           const float *before, float alpha, int N, int F, int H, int W, int C, int OH, int OW,
                           int KH, int KW, int down, int across, int top, int left, int precision) {
    using Weights = TensorTile<false, false>;
    using Images = TensorTile<true, true>;
    __shared__ Vector<float> memory[larger(Weights::VECTORS, Images::VECTORS)];
    __shared__ Corner corners[Images::ROWS];
    const Sizes sizes = {H, W, C, OH, OW, F, KH, KW, down, across, top, left};
    const int block = blockIdx.x;
    if (block < dK_blocks)
        gradient_of_weights(Weights(precision), (float *)memory, block, x, dy, dK, db, dK_sums, dK_counters,
                            dK_length, N, sizes);
    else
        gradient_of_images(Images(precision), (float *)memory, corners, block - dK_blocks, dy, K, dx, dx_sums,
                           dx_counters, dx_length, Before<float>{keep, scale, before, alpha}, N, sizes);
}
