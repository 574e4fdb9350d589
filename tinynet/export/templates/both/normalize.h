/* y[k] = s[k] / sum over j of s[j],   s = max(x, FLT_MIN)        of each row */
static inline void net_normalize(int rows, int n, const float *x, float *y)
{
    for (int r = 0; r < rows; r++, x += n, y += n) {
        float sum = 0.0f;
        for (int k = 0; k < n; k++) {
            y[k] = x[k] > FLT_MIN ? x[k] : FLT_MIN;
            sum += y[k];
        }
        for (int k = 0; k < n; k++) {
            y[k] /= sum;
        }
    }
}
