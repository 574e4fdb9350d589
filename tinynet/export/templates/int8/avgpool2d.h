/* y[i][j][c] = the mean of x[i s + u - p][j s + v - p][c] over a window; padding does not count */
static inline void net_avgpool2d(const net_window *g, const int8_t *x, int8_t *restrict y)
{
    for (int i = 0; i < g->rows; i++) {
        for (int j = 0; j < g->columns; j++) {
            for (int c = 0; c < g->channels; c++) {
                int32_t sum = 0;
                int32_t pixels = 0;
                for (int u = 0; u < g->kernel_height; u++) {
                    const int row = i * g->stride_down + u - g->pad_top;
                    for (int v = 0; v < g->kernel_width; v++) {
                        const int column = j * g->stride_right + v - g->pad_left;
                        if (row >= 0 && row < g->height && column >= 0 && column < g->width) {
                            const int8_t value = x[(row * g->width + column) * g->channels + c];
                            sum += value;
                            pixels++;
                        }
                    }
                }
                const int32_t half = sum < 0 ? -(pixels / 2) : pixels / 2; /* rounds to the nearest */
                y[(i * g->columns + j) * g->channels + c] = (int8_t)((sum + half) / pixels);
            }
        }
    }
}
