/* y = x / scale + zero, rounded, kept in -128 ... 127 */
static inline void net_quantize(int n, float per_unit, int zero, const float *x, int8_t *y)
{
    for (int i = 0; i < n; i++) {
        float q = per_unit * x[i];
        q = q < -256.0f ? -256.0f : q > 256.0f ? 256.0f : q;
        const int rounded = zero + (int)(q < 0.0f ? q - 0.5f : q + 0.5f);
        y[i] = (int8_t)(rounded < -128 ? -128 : rounded > 127 ? 127 : rounded);
    }
}
