/* y = 1 / (1 + e^-x), by e^-|x|, which does not overflow */
static inline void net_sigmoid(int n, const float *x, float *y)
{
    for (int i = 0; i < n; i++) {
        const float e = expf(x[i] < 0.0f ? x[i] : -x[i]);
        y[i] = (x[i] < 0.0f ? e : 1.0f) / (1.0f + e);
    }
}
