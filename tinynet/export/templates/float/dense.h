/* y[r][o] = b[o] + sum over i of x[r][i] W[i][o]        x (rows, inputs)   W (inputs, units)   y (rows, units) */
static inline void net_dense(int rows, int inputs, int units, const float *x, const float *W, const float *b,
                             float *restrict y)
{
    for (int r = 0; r < rows; r++) {
        for (int o = 0; o < units; o++) {
            y[r * units + o] = b[o];
        }
        net_add_products(inputs, units, x + r * inputs, W, y + r * units);
    }
}
