/* y[r][o] = b[o] + sum over i of x[r][i] W[o][i]        x (rows, inputs)   W (units, inputs)   y (rows, units)
 * The last layer: its scores keep more than 8 bits, as the best of them may be near one another.
 */
static inline void net_dense_scores(int rows, int inputs, int units, const net_weights *p, const int8_t *x,
                                    int32_t *restrict y)
{
    for (int r = 0; r < rows; r++) {
        for (int o = 0; o < units; o++) {
            const int32_t sum = p->b[o] + net_dot(inputs, x + r * inputs, p->x_zero, p->W + o * inputs);
            y[r * units + o] = net_scaled(sum, p->multiplier[o], p->shift[o]);
        }
    }
}
