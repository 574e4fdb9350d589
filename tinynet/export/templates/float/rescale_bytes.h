/* y = scale x + offset        of pixels from 0 to 255 */
static inline void net_rescale_bytes(int n, float scale, float offset, const uint8_t *x, float *y)
{
    for (int i = 0; i < n; i++) {
        y[i] = scale * (float)x[i] + offset;
    }
}
