/* y[i][j][c] = the largest x[i s + u - p][j s + v - p][c] of a window; padding does not count */
static inline void net_maxpool2d(const net_window *g, const float *x, float *restrict y)
{
    for (int i = 0; i < g->rows; i++) {
        for (int j = 0; j < g->columns; j++) {
            for (int c = 0; c < g->channels; c++) {
                float largest = -FLT_MAX;
                for (int u = 0; u < g->kernel_height; u++) {
                    const int row = i * g->stride_down + u - g->pad_top;
                    for (int v = 0; v < g->kernel_width; v++) {
                        const int column = j * g->stride_right + v - g->pad_left;
                        if (row >= 0 && row < g->height && column >= 0 && column < g->width) {
                            const float value = x[(row * g->width + column) * g->channels + c];
                            largest = value > largest ? value : largest;
                        }
                    }
                }
                y[(i * g->columns + j) * g->channels + c] = largest;
            }
        }
    }
}
