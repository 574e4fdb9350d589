/* A real number r is kept as q = r / scale + zero, rounded, in -128 ... 127: `zero` is what stands for 0.
 * Weights have a scale for each output o and no zero. A sum of 32 bits over (x - x_zero) W counts in steps of
 * scale_x scale_W[o]; y counts in steps of scale_y. So a sum is multiplied by
 * scale_x scale_W[o] / scale_y = multiplier[o] / 2^shift[o].
 */
typedef struct {
    const int8_t *W;
    const int32_t *b;
    const uint32_t *multiplier;
    const uint8_t *shift;
    int x_zero, y_zero;
} net_weights;
