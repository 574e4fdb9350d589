/* y = scale x + offset */
static inline void net_rescale(int n, float scale, float offset, const float *x, float *y)
{
    for (int i = 0; i < n; i++) {
        y[i] = scale * x[i] + offset;
    }
}
