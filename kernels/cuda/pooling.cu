// Max and average pooling, forward and backward.
//
//     x, dx          (N, H, W, C)
//     y, dy          (N, OH, OW, C)
//     winner         like y: the number u · KW + v of the window's pixel that is largest, in a byte if it fits
//     KH, KW         pixels of a window
//     down, across   the stride
//     top, left      the padding: window (oh, ow) begins at pixel (oh · down - top, ow · across - left)
//
// A window is clipped to the image; padding is never read. A backward has one thread a pixel, which gathers
// from the windows it lies in.
#include "common.cuh"
#include "last_block.cuh"
#include "columns.cuh"
#include "largest.cuh"

// y = the largest of a window, and the pixel that won: see largest.cuh.
template <typename Real, typename Place>
__device__ Real largest(int i, const Real *x, Real *y, Place *winner, int H, int W, int C, int OH, int OW, int KH,
                        int KW, int down, int across, int top, int left, bool positive) {
    int c = i % C, ow = i / C % OW, oh = i / C / OW % OH, n = i / C / OW / OH;
    int h = oh * down - top, w = ow * across - left;
    int place = -1;
    Real best = 0;
    for (int u = larger(0, -h); u < smaller(KH, H - h); u++)
        for (int v = larger(0, -w); v < smaller(KW, W - w); v++) {
            Real value = x[((n * H + h + u) * W + w + v) * C + c];
            if (place < 0 || is_better(value, best)) best = value, place = u * KW + v;
        }
    y[i] = best;
    winner[i] = winner_of(place, best, positive);
    return best;
}
template <typename Real, typename Place>
__global__ void maxpool(int size, const Real *x, Real *y, Place *winner, int H, int W, int C, int OH, int OW,
                        int KH, int KW, int down, int across, int top, int left, bool positive) {
    int i = thread_index();
    if (i < size) largest(i, x, y, winner, H, W, C, OH, OW, KH, KW, down, across, top, left, positive);
}

// The same, with the statistics of y (M, C), M = N · OH · OW, for a batch normalisation that follows: it need not
// read y for them. The other arrays: see `Statistics` (columns.cuh).
template <typename Real, typename Place>
__global__ void maxpool_statistics(int size, const Real *x, Real *y, Place *winner, double *means, double *squares,
                                   Real *mean, Real *variance, unsigned *counters, int M, int rows, int H, int W,
                                   int C, int OH, int OW, int KH, int KW, int down, int across, int top, int left,
                                   bool positive) {
    __shared__ Moments memory[THREADS];
    const Chunk chunk(M, C, rows);
    const Statistics<Real> found = {means, squares, mean, variance, counters};
    statistics(chunk, memory, found, [&](int m) {
        return largest(m * C + chunk.channel, x, y, winner, H, W, C, OH, OW, KH, KW, down, across, top, left,
                       positive);
    });
}

// dx = Σ dy of the windows that the pixel won
template <typename Real, typename Place>
__global__ void maxpool_backward(int size, const Real *dy, const Place *winner, Real *dx, int H, int W, int C,
                                 int OH, int OW, int KH, int KW, int down, int across, int top, int left) {
    int i = thread_index();
    if (i >= size) return;
    int c = i % C, w = i / C % W, h = i / C / W % H, n = i / C / W / H;
    int end_oh = end_of_windows(h + top, down, OH), end_ow = end_of_windows(w + left, across, OW);
    Real sum = 0;
    for (int oh = first_window(h + top, KH, down); oh < end_oh; oh++)
        for (int ow = first_window(w + left, KW, across); ow < end_ow; ow++) {
            int u = h + top - oh * down, v = w + left - ow * across;
            int window = ((n * OH + oh) * OW + ow) * C + c;
            if (winner[window] == u * KW + v) sum += dy[window];
        }
    dx[i] = sum;
}

// How many pixels of a line of `extent` lie in window number `o`.
__device__ inline int pixels_of(int o, int stride, int corner, int window, int extent) {
    int first = o * stride - corner;
    return smaller(window, extent - first) - larger(0, -first);
}

// y = the mean of a window
template <typename Real>
__global__ void avgpool(int size, const Real *x, Real *y, int H, int W, int C, int OH, int OW, int KH, int KW,
                        int down, int across, int top, int left) {
    int i = thread_index();
    if (i >= size) return;
    int c = i % C, ow = i / C % OW, oh = i / C / OW % OH, n = i / C / OW / OH;
    int h = oh * down - top, w = ow * across - left;
    double sum = 0;  // a window may be the whole image
    for (int u = larger(0, -h); u < smaller(KH, H - h); u++)
        for (int v = larger(0, -w); v < smaller(KW, W - w); v++)
            sum += x[((n * H + h + u) * W + w + v) * C + c];
    y[i] = sum / (pixels_of(oh, down, top, KH, H) * pixels_of(ow, across, left, KW, W));
}

// dx = Σ dy / (pixels of the window) over the windows that the pixel lies in
template <typename Real>
__global__ void avgpool_backward(int size, const Real *dy, Real *dx, int H, int W, int C, int OH, int OW,
                                 int KH, int KW, int down, int across, int top, int left) {
    int i = thread_index();
    if (i >= size) return;
    int c = i % C, w = i / C % W, h = i / C / W % H, n = i / C / W / H;
    int end_oh = end_of_windows(h + top, down, OH), end_ow = end_of_windows(w + left, across, OW);
    Real sum = 0;
    for (int oh = first_window(h + top, KH, down); oh < end_oh; oh++)
        for (int ow = first_window(w + left, KW, across); ow < end_ow; ow++) {
            int pixels = pixels_of(oh, down, top, KH, H) * pixels_of(ow, across, left, KW, W);
            sum += dy[((n * OH + oh) * OW + ow) * C + c] / pixels;
        }
    dx[i] = sum;
}
