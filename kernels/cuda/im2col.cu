// im2col and its transpose col2im: with them a convolution is a product.
//
//     x              (N, H, W, C)
//     cols           (N, OH, OW, KH, KW, C)
//     down, across   the stride
//     top, left      the padding: window (oh, ow) begins at pixel (oh · down - top, ow · across - left)
#include "common.cuh"

// cols[n, oh, ow, u, v, c] = x[n, oh · down - top + u, ow · across - left + v, c], 0 outside the image
template <typename Real>
__global__ void im2col(int size, const Real *x, Real *cols, int H, int W, int C, int OH, int OW, int KH, int KW,
                       int down, int across, int top, int left) {
    int i = thread_index();
    if (i >= size) return;
    int c = i % C, v = i / C % KW, u = i / C / KW % KH;
    int window = i / C / KW / KH;
    int ow = window % OW, oh = window / OW % OH, n = window / OW / OH;
    int h = oh * down - top + u, w = ow * across - left + v;
    bool is_inside = 0 <= h && h < H && 0 <= w && w < W;
    cols[i] = is_inside ? x[((n * H + h) * W + w) * C + c] : (Real)0;
}

// x[n, h, w, c] = the sum of all the places of cols that im2col would have filled from it
template <typename Real>
__global__ void col2im(int size, const Real *cols, Real *x, int H, int W, int C, int OH, int OW, int KH, int KW,
                       int down, int across, int top, int left) {
    int i = thread_index();
    if (i >= size) return;
    int c = i % C, w = i / C % W, h = i / C / W % H, n = i / C / W / H;
    int end_oh = end_of_windows(h + top, down, OH), end_ow = end_of_windows(w + left, across, OW);
    Real sum = 0;
    for (int oh = first_window(h + top, KH, down); oh < end_oh; oh++)
        for (int ow = first_window(w + left, KW, across); ow < end_ow; ow++) {
            int u = h + top - oh * down, v = w + left - ow * across;
            sum += cols[((((n * OH + oh) * OW + ow) * KH + u) * KW + v) * C + c];
        }
    x[i] = sum;
}
