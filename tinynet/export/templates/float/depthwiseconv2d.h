/* y[i][j][f] = b[f] + sum over u, v of x[i s + u - p][j s + v - p][f / m] W[u][v][f]
 * with the strides s, zeros for pixels in the padding p, and m = filters / channels
 */
static inline void net_depthwiseconv2d(const net_window *g, const float *x, const float *W, const float *b,
                                       float *restrict y)
{
    const int multiplier = g->filters / g->channels;
    for (int i = 0; i < g->rows; i++) {
        for (int j = 0; j < g->columns; j++) {
            float *out = y + (i * g->columns + j) * g->filters;
            for (int f = 0; f < g->filters; f++) {
                out[f] = b[f];
            }
            for (int u = 0; u < g->kernel_height; u++) {
                const int row = i * g->stride_down + u - g->pad_top;
                for (int v = 0; v < g->kernel_width; v++) {
                    const int column = j * g->stride_right + v - g->pad_left;
                    if (row >= 0 && row < g->height && column >= 0 && column < g->width) {
                        const float *pixel = x + (row * g->width + column) * g->channels;
                        const float *weights = W + (u * g->kernel_width + v) * g->filters;
                        for (int f = 0; f < g->filters; f++) {
                            out[f] += pixel[f / multiplier] * weights[f];
                        }
                    }
                }
            }
        }
    }
}
