/* y[o] = y[o] + sum over i of x[i] W[i][o]        x (inputs)   W (inputs, outputs)   y (outputs)
 * An input of 0, as ReLU gives many, adds nothing and costs nothing.
 */
static inline void net_add_products(int inputs, int outputs, const float *x, const float *W, float *restrict y)
{
    for (int i = 0; i < inputs; i++) {
        const float value = x[i];
        if (value != 0.0f) {
            const float *row = W + i * outputs;
            for (int o = 0; o < outputs; o++) {
                y[o] += value * row[o];
            }
        }
    }
}
