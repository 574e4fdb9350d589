/* y[i][j][f] = b[f] + sum over u, v, c of x[i s + u - p][j s + v - p][c] W[f][u][v][c]
 * with the strides s and zeros for pixels in the padding p. The columns of a window that lie in the image,
 * v = first ... last - 1, are neighbours in x and in W: one product for each of its rows.
 */
static inline void net_conv2d(const net_window *g, const net_weights *p, const int8_t *x, int8_t *restrict y)
{
    const int line = g->kernel_width * g->channels;
    for (int i = 0; i < g->rows; i++) {
        for (int j = 0; j < g->columns; j++) {
            const int top = i * g->stride_down - g->pad_top;
            const int left = j * g->stride_right - g->pad_left;
            const int first = left < 0 ? -left : 0;
            const int last = left + g->kernel_width > g->width ? g->width - left : g->kernel_width;
            for (int f = 0; f < g->filters; f++) {
                int32_t sum = p->b[f];
                for (int u = 0; u < g->kernel_height; u++) {
                    if (top + u >= 0 && top + u < g->height && first < last) {
                        const int8_t *pixels = x + ((top + u) * g->width + left + first) * g->channels;
                        const int8_t *weights = p->W + (f * g->kernel_height + u) * line + first * g->channels;
                        sum += net_dot((last - first) * g->channels, pixels, p->x_zero, weights);
                    }
                }
                y[(i * g->columns + j) * g->filters + f] =
                    net_requantize(sum, p->multiplier[f], p->shift[f], p->y_zero);
            }
        }
    }
}
