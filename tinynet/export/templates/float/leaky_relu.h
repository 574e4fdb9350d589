/* y = x where x > 0, else slope x */
static inline void net_leaky_relu(int n, float slope, const float *x, float *y)
{
    for (int i = 0; i < n; i++) {
        y[i] = x[i] > 0.0f ? x[i] : slope * x[i];
    }
}
