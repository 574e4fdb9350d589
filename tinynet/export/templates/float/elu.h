/* y = x where x > 0, else alpha (e^x - 1) */
static inline void net_elu(int n, float alpha, const float *x, float *y)
{
    for (int i = 0; i < n; i++) {
        y[i] = x[i] > 0.0f ? x[i] : alpha * (expf(x[i]) - 1.0f);
    }
}
