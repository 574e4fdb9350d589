/* y[k] = s[k] / sum over j of s[j],   s = max(x, 1e-7) */
static inline void net_normalize(int n, const float *x, float *y)
{
    float sum = 0.0f;
    for (int k = 0; k < n; k++) {
        y[k] = x[k] > 1e-7f ? x[k] : 1e-7f;
        sum += y[k];
    }
    for (int k = 0; k < n; k++) {
        y[k] /= sum;
    }
}
