/* y[c] = the mean over i of x[i][c]        x (pixels, channels)   y (channels); the multiplier divides by pixels */
static inline void net_globalaveragepool(int pixels, int channels, uint32_t multiplier, int shift, int x_zero,
                                         int y_zero, const int8_t *x, int8_t *restrict y)
{
    for (int c = 0; c < channels; c++) {
        int32_t sum = 0;
        for (int i = 0; i < pixels; i++) {
            sum += x[i * channels + c] - x_zero;
        }
        y[c] = net_requantize(sum, multiplier, shift, y_zero);
    }
}
