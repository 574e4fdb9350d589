// Convolution as a product whose first factor is never written: implicit GEMM.
//
//     x, dx          (N, H, W, C)
//     y, dy          (N, OH, OW, F)
//     K, dK          (KH, KW, C, F): the weights        b, db   (F)
//     down, across   the stride
//     top, left      the padding: window (oh, ow) begins at pixel (oh · down - top, ow · across - left)
//
// A dense layer is the same on images of one pixel, which is the window, too: x (N, 1, 1, C), K (1, 1, C, F).
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
//  4. What is done with a result anyway is done before it is written: the bias and the activation behind (y), the
//     backward of activation and dropout before (dx), Σ dy as the gradient of the weight of an input that is
//     always 1 (db). dK and dx both read dy, and neither needs the other: one launch has blocks for both.
//  5. What reads y next finds it in cache, if the block that has finished a tile does it at once: a max pooling, for
//     which the four pixels of a window are neighbours in the tile, and the statistics for a batch normalisation,
//     which blocks that come last put together. y is written all the same: nobody has to know.
//
// dx is the convolution of dy by K with its channels swapped, windows read backwards. dK is a product over all
// pixels of y. A sum that is long, and of a product with few tiles, is cut into parts of `length` for as many
// blocks; the last block adds them up (shares.cuh). The shape alone decides how it is cut and what is added to
// what, so the same input gives the same bits, whatever the GPU does first.
//
//     sums       (parts, values of the result): of the parts, if there are several
//     counters   (tiles, parts + MORE_COUNTERS): see last_block.cuh
//     alpha      of the activation; keep, scale, before: see neighbours.cuh
//     pooled, winner    y behind a max pooling by 2 x 2: see `Behind` (windows.cuh)
//     means, squares, mean, variance, statistics_counters    see `Statistics` (columns.cuh); a tile is a chunk
#include "common.cuh"
#include "instructions.cuh"
#include "tiles.cuh"
#include "last_block.cuh"
#include "columns.cuh"
#include "shares.cuh"
#include "neighbours.cuh"
#include "largest.cuh"
#include "windows.cuh"

// y = b + Σ x · K over the window, and the activation of that; then what is `Behind`
template <typename Real>
__global__ void __launch_bounds__(THREADS, 2)
    conv2d(int size, const Real *x, const Real *K, const Real *b, Real *y, Real *sums, unsigned *counters,
           int length, Real alpha, bool is_pooled, Real *pooled, signed char *winner, bool finds_statistics,
           double *means, double *squares, Real *mean, Real *variance, unsigned *statistics_counters, int N, int F,
           int H, int W, int C, int OH, int OW, int KH, int KW, int down, int across, int top, int left) {
    using Product = PlainTile<Real, true, false>;
    __shared__ Vector<Real> memory[Product::VECTORS];
    __shared__ Corner corners[Product::ROWS];
    __shared__ int lines[Product::ROWS];
    const Sizes sizes = {H, W, C, OH, OW, F, KH, KW, down, across, top, left};
    const Behind<Real> behind = {is_pooled, pooled, winner, finds_statistics,
                                 {means, squares, mean, variance, statistics_counters}};
    forward(Product(), (Real *)memory, corners, lines, x, K, b, y, sums, counters, length, alpha, behind, N, sizes);
}

// dK = Σ x · dy over all windows, db = Σ dy, by the first `dK_blocks`; by the others
// dx = Σ dy · K over the windows that the pixel lies in
template <typename Real>
__global__ void __launch_bounds__(THREADS, 2)
    conv2d_backward(int size, const Real *dy, const Real *x, const Real *K, Real *dK, Real *db, Real *dK_sums,
                    unsigned *dK_counters, int dK_length, int dK_blocks, Real *dx, Real *dx_sums,
                    unsigned *dx_counters, int dx_length, const bool *keep, Real scale, const Real *before,
                    Real alpha, int N, int F, int H, int W, int C, int OH, int OW, int KH, int KW, int down,
                    int across, int top, int left) {
    using Weights = PlainTile<Real, false, false>;
    using Images = PlainTile<Real, true, true>;
    __shared__ Vector<Real> memory[larger(Weights::VECTORS, Images::VECTORS)];
    __shared__ Corner corners[Images::ROWS];
    const Sizes sizes = {H, W, C, OH, OW, F, KH, KW, down, across, top, left};
    const int block = blockIdx.x;
    if (block < dK_blocks)
        gradient_of_weights(Weights(), (Real *)memory, block, x, dy, dK, db, dK_sums, dK_counters, dK_length, N,
                            sizes);
    else
        gradient_of_images(Images(), (Real *)memory, corners, block - dK_blocks, dy, K, dx, dx_sums, dx_counters,
                           dx_length, Before<Real>{keep, scale, before, alpha}, N, sizes);
}
