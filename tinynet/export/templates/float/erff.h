/* erf x to 1.5e-7. (Abramowitz & Stegun: "Handbook of mathematical functions", 1964, formula 7.1.26.) */
static inline float net_erff(float x)
{
    const float size = x < 0.0f ? -x : x;
    const float t = 1.0f / (1.0f + 0.3275911f * size);
    const float sum = t * (0.254829592f + t * (-0.284496736f + t * (1.421413741f
                      + t * (-1.453152027f + t * 1.061405429f))));
    const float y = 1.0f - sum * expf(-size * size);
    return x < 0.0f ? -y : y;
}
