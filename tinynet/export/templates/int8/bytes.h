/* y = what the table has for each pixel from 0 to 255: its scaling and quantisation in one */
static inline void net_bytes(int n, const int8_t table[256], const uint8_t *x, int8_t *y)
{
    for (int i = 0; i < n; i++) {
        y[i] = table[x[i]];
    }
}
