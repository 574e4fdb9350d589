/* tanh x = (1 - e^-2x) / (1 + e^-2x), by e^-2|x|, which does not overflow */
static inline float net_tanhf(float x)
{
    const float e = expf(x < 0.0f ? 2.0f * x : -2.0f * x);
    return (x < 0.0f ? e - 1.0f : 1.0f - e) / (1.0f + e);
}
