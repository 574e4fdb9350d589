/* y = a + b: each is brought to the steps of y by its own factor / 2^shift, and their sum is rounded once */
static inline void net_add(int n, int32_t a_factor, int a_zero, int32_t b_factor, int b_zero, int shift,
                           int y_zero, const int8_t *a, const int8_t *b, int8_t *y)
{
    for (int i = 0; i < n; i++) {
        const int32_t sum = (a[i] - a_zero) * a_factor + (b[i] - b_zero) * b_factor;
        y[i] = net_requantize(sum, 1u, shift, y_zero);
    }
}
