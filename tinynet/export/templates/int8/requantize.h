/* sum * multiplier / 2^shift, rounded to the nearest, halves away from 0.
 * Integers alone: a processor without floating point needs one long product for it, and every processor gives
 * the same bits. The sign is set aside, as C99 leaves open what >> makes of negative numbers.
 */
static inline int32_t net_scaled(int32_t sum, uint32_t multiplier, int shift)
{
    const uint32_t size = sum < 0 ? 0u - (uint32_t)sum : (uint32_t)sum;
    const uint64_t product = (uint64_t)size * multiplier + ((uint64_t)1 << (shift - 1));
    const uint64_t rounded = product >> shift;
    const int32_t steps = rounded > INT32_MAX ? INT32_MAX : (int32_t)rounded;
    return sum < 0 ? -steps : steps;
}

/* The same plus zero, kept in -128 ... 127. */
static inline int8_t net_requantize(int32_t sum, uint32_t multiplier, int shift, int zero)
{
    const int32_t steps = net_scaled(sum, multiplier, shift);
    const int32_t q = steps < -255 ? -128 : steps > 255 ? 127 : zero + steps;
    return (int8_t)(q < -128 ? -128 : q > 127 ? 127 : q);
}
