// Depthwise convolution, forward and backward: channel f of the output is made of channel f / M of x alone.
//
//     x, dx          (N, H, W, C)
//     y, dy          (N, OH, OW, C·M)
//     K              (KH, KW, C·M): the weights        b   (C·M)
//     down, across   the stride
//     top, left      the padding: window (oh, ow) begins at pixel (oh · down - top, ow · across - left)
//
// A window is clipped to the image; padding is never read.
#include "common.cuh"

// y = b + Σ x · K over the window, at least `floor` (0: with a ReLU)
template <typename Real>
__global__ void depthwise(int size, const Real *x, const Real *K, const Real *b, Real *y, int M, int H, int W,
                          int C, int OH, int OW, int KH, int KW, int down, int across, int top, int left,
                          Real floor) {
    int i = thread_index();
    if (i >= size) return;
    int F = C * M, f = i % F, ow = i / F % OW, oh = i / F / OW % OH, n = i / F / OW / OH;
    int h = oh * down - top, w = ow * across - left;
    Real sum = b[f];
    for (int u = larger(0, -h); u < smaller(KH, H - h); u++)
        for (int v = larger(0, -w); v < smaller(KW, W - w); v++)
            sum += x[((n * H + h + u) * W + w + v) * C + f / M] * K[(u * KW + v) * F + f];
    y[i] = sum < floor ? floor : sum;
}

// dx = Σ dy · K over the windows that the pixel lies in, and over the M channels made of its own
template <typename Real>
__global__ void depthwise_dx(int size, const Real *dy, const Real *K, Real *dx, int M, int H, int W, int C,
                             int OH, int OW, int KH, int KW, int down, int across, int top, int left) {
    int i = thread_index();
    if (i >= size) return;
    int F = C * M, c = i % C, w = i / C % W, h = i / C / W % H, n = i / C / W / H;
    int end_oh = end_of_windows(h + top, down, OH), end_ow = end_of_windows(w + left, across, OW);
    Real sum = 0;
    for (int oh = first_window(h + top, KH, down); oh < end_oh; oh++)
        for (int ow = first_window(w + left, KW, across); ow < end_ow; ow++) {
            int u = h + top - oh * down, v = w + left - ow * across;
            for (int f = c * M; f < c * M + M; f++)
                sum += dy[((n * OH + oh) * OW + ow) * F + f] * K[(u * KW + v) * F + f];
        }
    dx[i] = sum;
}

// Of each chunk of `rows` windows, all windows counted through the images: sums (chunks, KH, KW, C·M), the sum
// of dy · x, x being the pixel at (u, v) of the window. `windows`: how many there are.
template <typename Real>
__global__ void depthwise_dW(int size, const Real *dy, const Real *x, double *sums, int windows, int rows, int M,
                             int H, int W, int C, int OH, int OW, int KH, int KW, int down, int across, int top,
                             int left) {
    int i = thread_index();
    if (i >= size) return;
    int F = C * M, f = i % F, v = i / F % KW, u = i / F / KW % KH, chunk = i / F / KW / KH;
    double sum = 0;
    for (int at = chunk * rows; at < smaller((chunk + 1) * rows, windows); at++) {
        int ow = at % OW, oh = at / OW % OH, n = at / OW / OH;
        int h = oh * down - top + u, w = ow * across - left + v;
        if (0 <= h && h < H && 0 <= w && w < W) sum += dy[at * F + f] * x[((n * H + h) * W + w) * C + f / M];
    }
    sums[i] = sum;
}
