/* sum over i of (x[i] - zero) w[i] */
static inline int32_t net_dot(int n, const int8_t *x, int zero, const int8_t *w)
{
    int32_t sum = 0;
    for (int i = 0; i < n; i++) {
        sum += (x[i] - zero) * w[i];
    }
    return sum;
}
