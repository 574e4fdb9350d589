/* y = f(x), which the table has for each x from -128 to 127 */
static inline void net_lookup(int n, const int8_t table[256], const int8_t *x, int8_t *y)
{
    for (int i = 0; i < n; i++) {
        y[i] = table[x[i] + 128];
    }
}
