/* y = max(x, 0) */
static inline void net_relu(int n, const float *x, float *y)
{
    for (int i = 0; i < n; i++) {
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
    }
}
