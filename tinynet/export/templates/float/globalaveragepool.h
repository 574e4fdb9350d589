/* y[c] = the mean over i of x[i][c]        x (pixels, channels)   y (channels) */
static inline void net_globalaveragepool(int pixels, int channels, const float *x, float *restrict y)
{
    for (int c = 0; c < channels; c++) {
        float sum = 0.0f;
        for (int i = 0; i < pixels; i++) {
            sum += x[i * channels + c];
        }
        y[c] = sum / (float)pixels;
    }
}
