/* y = a + b */
static inline void net_add(int n, const float *a, const float *b, float *y)
{
    for (int i = 0; i < n; i++) {
        y[i] = a[i] + b[i];
    }
}
