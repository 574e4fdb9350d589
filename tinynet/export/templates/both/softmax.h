/* y[k] = e^x[k] / sum over j of e^x[j]        of each row; the largest is taken off first, so e^x stays finite */
static inline void net_softmax(int rows, int n, const float *x, float *y)
{
    for (int r = 0; r < rows; r++, x += n, y += n) {
        float largest = x[0];
        for (int k = 1; k < n; k++) {
            largest = x[k] > largest ? x[k] : largest;
        }
        float sum = 0.0f;
        for (int k = 0; k < n; k++) {
            y[k] = expf(x[k] - largest);
            sum += y[k];
        }
        for (int k = 0; k < n; k++) {
            y[k] /= sum;
        }
    }
}
