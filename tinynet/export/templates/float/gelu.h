/* y = x/2 (1 + erf(x / sqrt 2)) */
static inline void net_gelu(int n, const float *x, float *y)
{
    for (int i = 0; i < n; i++) {
        y[i] = 0.5f * x[i] * (1.0f + net_erff(0.7071067812f * x[i]));
    }
}
