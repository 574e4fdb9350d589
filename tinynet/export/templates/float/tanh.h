/* y = tanh x */
static inline void net_tanh(int n, const float *x, float *y)
{
    for (int i = 0; i < n; i++) {
        y[i] = net_tanhf(x[i]);
    }
}
