/* y[i][j][c] = the mean of x[i s + u - p][j s + v - p][c] over a window; padding does not count */
static inline void net_avgpool2d(const net_window *g, const float *x, float *restrict y)
{
    for (int i = 0; i < g->rows; i++) {
        for (int j = 0; j < g->columns; j++) {
            for (int c = 0; c < g->channels; c++) {
                float sum = 0.0f;
                int pixels = 0;
                for (int u = 0; u < g->kernel_height; u++) {
                    const int row = i * g->stride_down + u - g->pad_top;
                    for (int v = 0; v < g->kernel_width; v++) {
                        const int column = j * g->stride_right + v - g->pad_left;
                        if (row >= 0 && row < g->height && column >= 0 && column < g->width) {
                            const float value = x[(row * g->width + column) * g->channels + c];
                            sum += value;
                            pixels++;
                        }
                    }
                }
                y[(i * g->columns + j) * g->channels + c] = sum / (float)pixels;
            }
        }
    }
}
