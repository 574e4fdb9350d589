/* A window that slides over images x (height, width, channels) and gives y (rows, columns, filters).
 * Row i of y sees the rows i * stride_down - pad_top + u of x, u = 0 ... kernel_height - 1; columns likewise.
 */
typedef struct {
    int height, width, channels;
    int rows, columns, filters;
    int kernel_height, kernel_width;
    int stride_down, stride_right;
    int pad_top, pad_left;
} net_window;
