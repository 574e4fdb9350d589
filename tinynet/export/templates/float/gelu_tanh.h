/* y = x/2 (1 + tanh u),   u = sqrt(2/pi) (x + 0.044715 x^3) */
static inline void net_gelu_tanh(int n, const float *x, float *y)
{
    for (int i = 0; i < n; i++) {
        const float u = 0.7978845608f * (x[i] + 0.044715f * x[i] * x[i] * x[i]);
        y[i] = 0.5f * x[i] * (1.0f + net_tanhf(u));
    }
}
