// The products of a convolution by tiles whose pieces are gathered from the images: the inside of conv2d.cu and
// tensor_conv2d.cu, where the names are explained.

#ifndef WINDOWS_CUH
#define WINDOWS_CUH

// A number counted up in three places: (high · MIDDLE + middle) · LOW + low.
struct Counter {
    int high, middle, low;
};
__device__ inline Counter counter(int number, int middles, int lows) {
    return {number / lows / middles, number / lows % middles, number % lows};
}
__device__ inline void advance(Counter &count, int by, int middles, int lows) {
    for (count.low += by; count.low >= lows; count.low -= lows)
        if (++count.middle == middles) count.middle = 0, count.high++;
}

// The sizes of a convolution, named as in conv2d.cu.
struct Sizes {
    int H, W, C, OH, OW, F, KH, KW, down, across, top, left;
};

// Whether lines of `length` values, one behind another from `x` on, can be copied as vectors.
template <typename Real>
__device__ inline bool are_vectors(const Real *x, int length) {
    return (size_t)x % sizeof(Vector<Real>) == 0 && length % (sizeof(Vector<Real>) / sizeof(Real)) == 0;
}

// Begins to copy rows k, k + 1, … < end of a matrix (·, length), from column `begin` on.
template <typename Tile, int WIDTH>
__device__ inline void copy_rows(typename Tile::Real *piece, const typename Tile::Real *matrix, int k, int end,
                                 int begin, int length) {
    constexpr int ACROSS = Tile::COLUMNS / WIDTH, DOWN = THREADS / ACROSS;
    const int column = threadIdx.x % ACROSS * WIDTH;
    for (int row = threadIdx.x / ACROSS; row < Tile::DEPTH; row += DOWN) {
        bool is_inside = k + row < end && begin + column < length;
        copy_async<WIDTH * sizeof(*matrix)>(piece + Tile::second(row, column),
                                            is_inside ? matrix + (k + row) * length + begin + column : matrix,
                                            is_inside);
    }
}

// Which tile of a product (rows, columns), and which part of its depth, this block computes.
template <typename Tile>
struct Share {
    int rows, columns, part, first_row, first_column;

    __device__ Share(int rows, int columns) : rows(rows), columns(columns) {
        const int across = (columns + Tile::COLUMNS - 1) / Tile::COLUMNS;
        const int down = (rows + Tile::ROWS - 1) / Tile::ROWS;
        part = blockIdx.x / across / down;
        first_row = blockIdx.x / across % down * Tile::ROWS;
        first_column = blockIdx.x % across * Tile::COLUMNS;
    }

    // Adds a sum, and what came before it, to the product (parts, rows, columns); `finish` makes of all of it
    // what is written.
    template <typename Finish>
    __device__ void add(typename Tile::Real *product, int row, int column, typename Tile::Real sum, bool is_first,
                        bool is_last, Finish finish) const {
        row += first_row, column += first_column;
        if (row >= rows || column >= columns) return;
        typename Tile::Real *place = product + (part * rows + row) * columns + column;
        if (!is_first) sum += *place;
        *place = is_last ? finish(column, sum) : sum;
    }
};

// The first pixel of a window, and the number of the first pixel of its image.
struct Corner {
    int h, w, image;
};

// Begins to copy of ROWS windows on images (·, H, W, C) what lies at `tap`, the window's pixel and the channel
// that this thread copies; sets it to the next. IS_GRADIENT: a window goes backwards from its corner, and only
// every down-th pixel in every across-th column counts.
template <typename Tile, int WIDTH, bool IS_GRADIENT>
__device__ inline void copy_windows(typename Tile::Real *piece, const typename Tile::Real *x,
                                    const Corner *corners, Counter &tap, int H, int W, int C, const Sizes &s) {
    constexpr int ACROSS = Tile::DEPTH / WIDTH, DOWN = THREADS / ACROSS;
    for (int row = threadIdx.x / ACROSS; row < Tile::ROWS; row += DOWN) {
        const Corner corner = corners[row];
        int h = IS_GRADIENT ? corner.h - tap.high : corner.h + tap.high;
        int w = IS_GRADIENT ? corner.w - tap.middle : corner.w + tap.middle;
        bool is_inside = tap.high < s.KH;
        if (IS_GRADIENT && s.down * s.across > 1) {
            is_inside = is_inside && h % s.down == 0 && w % s.across == 0;
            h /= s.down, w /= s.across;
        }
        is_inside = is_inside && 0 <= h && h < H && 0 <= w && w < W;
        copy_async<WIDTH * sizeof(*x)>(piece + Tile::first(row, threadIdx.x % ACROSS * WIDTH),
                                       is_inside ? x + (corner.image + h * W + w) * C + tap.low : x, is_inside);
    }
    advance(tap, Tile::DEPTH, s.KW, C);
}

// y (·, N, OH, OW, F) = windows of x (N, H, W, C) · K (KH, KW, C, F)
// IS_GRADIENT: y (·, N, H, W, C) = windows of x (N, OH, OW, F), backwards, · K (KH, KW, F, C)
//
// The sum over KH · KW · C is cut into parts of `length`, if it is longer. finish(channel, sum) makes of a sum what
// is written.
template <typename Tile, bool IS_GRADIENT, typename Finish>
__device__ inline void multiply_windows(const Tile &empty, const typename Tile::Real *x,
                                        const typename Tile::Real *K, typename Tile::Real *y, int length, int N,
                                        const Sizes &s, Finish finish) {
    using Real = typename Tile::Real;
    __shared__ Vector<Real> memory[STAGES * Tile::STAGE_SIZE / Tile::WIDTH];
    __shared__ Corner corners[Tile::ROWS];
    const int H = IS_GRADIENT ? s.OH : s.H, W = IS_GRADIENT ? s.OW : s.W, C = IS_GRADIENT ? s.F : s.C;
    const int rows = IS_GRADIENT ? s.H : s.OH, columns = IS_GRADIENT ? s.W : s.OW, F = IS_GRADIENT ? s.C : s.F;
    const Share<Tile> share(N * rows * columns, F);
    const int begin = share.part * length, end = smaller(begin + length, s.KH * s.KW * C);

    for (int row = threadIdx.x; row < Tile::ROWS; row += THREADS) {
        const Counter at = counter(share.first_row + row, rows, columns);
        const int far = 1 << 29;  // no window reaches an image from there
        corners[row].h = at.high >= N ? -far : IS_GRADIENT ? at.middle + s.top : at.middle * s.down - s.top;
        corners[row].w = IS_GRADIENT ? at.low + s.left : at.low * s.across - s.left;
        corners[row].image = at.high * H * W;
    }
    __syncthreads();

    const bool x_has_vectors = are_vectors(x, C), K_has_vectors = are_vectors(K, F);
    const int width = x_has_vectors ? Tile::WIDTH : 1;
    Counter tap = counter(begin + threadIdx.x % (Tile::DEPTH / width) * width, s.KW, C);
    multiply_up(
        empty, (Real *)memory, end - begin,
        [&](Real *piece, int) {
            x_has_vectors ? copy_windows<Tile, Tile::WIDTH, IS_GRADIENT>(piece, x, corners, tap, H, W, C, s)
                          : copy_windows<Tile, 1, IS_GRADIENT>(piece, x, corners, tap, H, W, C, s);
        },
        [&](Real *piece, int k) {
            K_has_vectors ? copy_rows<Tile, Tile::WIDTH>(piece, K, begin + k, end, share.first_column, F)
                          : copy_rows<Tile, 1>(piece, K, begin + k, end, share.first_column, F);
        },
        [&](int row, int column, Real sum, bool is_first, bool is_last) {
            share.add(y, row, column, sum, is_first, is_last, finish);
        });
}

template <typename Tile>
__device__ inline void forward(const Tile &empty, const typename Tile::Real *x, const typename Tile::Real *K,
                               const typename Tile::Real *b, typename Tile::Real *y, int length, int N,
                               const Sizes &s, typename Tile::Real floor) {
    const bool is_whole = length >= s.KH * s.KW * s.C;
    multiply_windows<Tile, false>(empty, x, K, y, length, N, s, [&](int f, typename Tile::Real sum) {
        if (!is_whole) return sum;
        sum += b[f];
        return sum < floor ? floor : sum;
    });
}

template <typename Tile>
__device__ inline void backward(const Tile &empty, const typename Tile::Real *dy,
                                const typename Tile::Real *swapped, typename Tile::Real *dx, int length, int N,
                                const Sizes &s) {
    multiply_windows<Tile, true>(empty, dy, swapped, dx, length, N, s,
                                 [](int, typename Tile::Real sum) { return sum; });
}

// Begins to copy what the windows of the pixels `pixel`, … of y have at `tap`, and goes on to the next pixels.
template <typename Tile, int WIDTH>
__device__ inline void copy_taps(typename Tile::Real *piece, const typename Tile::Real *x, Counter &pixel,
                                 const Counter &tap, int left_over, const Sizes &s) {
    constexpr int ACROSS = Tile::ROWS / WIDTH, DOWN = THREADS / ACROSS;
    for (int k = threadIdx.x / ACROSS; k < Tile::DEPTH; k += DOWN) {
        int h = pixel.middle * s.down - s.top + tap.high, w = pixel.low * s.across - s.left + tap.middle;
        bool is_inside = k < left_over && tap.high < s.KH && 0 <= h && h < s.H && 0 <= w && w < s.W;
        copy_async<WIDTH * sizeof(*x)>(piece + Tile::first(threadIdx.x % ACROSS * WIDTH, k),
                                       is_inside ? x + ((pixel.high * s.H + h) * s.W + w) * s.C + tap.low : x,
                                       is_inside);
        advance(pixel, DOWN, s.OH, s.OW);
    }
}

// dK (·, KH · KW · C, F) = the windows of x, transposed, times dy. The sum over all pixels of y is cut into parts
// of `length`, if it is longer.
template <typename Tile>
__device__ inline void gradient_of_weights(const Tile &empty, const typename Tile::Real *x,
                                           const typename Tile::Real *dy, typename Tile::Real *dK, int length,
                                           int N, const Sizes &s) {
    using Real = typename Tile::Real;
    __shared__ Vector<Real> memory[STAGES * Tile::STAGE_SIZE / Tile::WIDTH];
    const Share<Tile> share(s.KH * s.KW * s.C, s.F);
    const int begin = share.part * length, end = smaller(begin + length, N * s.OH * s.OW);

    const bool x_has_vectors = are_vectors(x, s.C), dy_has_vectors = are_vectors(dy, s.F);
    const int width = x_has_vectors ? Tile::WIDTH : 1, across = Tile::ROWS / width;
    const Counter tap = counter(share.first_row + threadIdx.x % across * width, s.KW, s.C);
    Counter pixel = counter(begin + threadIdx.x / across, s.OH, s.OW);
    multiply_up(
        empty, (Real *)memory, end - begin,
        [&](Real *piece, int k) {
            const int left_over = end - begin - k;
            x_has_vectors ? copy_taps<Tile, Tile::WIDTH>(piece, x, pixel, tap, left_over, s)
                          : copy_taps<Tile, 1>(piece, x, pixel, tap, left_over, s);
        },
        [&](Real *piece, int k) {
            dy_has_vectors ? copy_rows<Tile, Tile::WIDTH>(piece, dy, begin + k, end, share.first_column, s.F)
                           : copy_rows<Tile, 1>(piece, dy, begin + k, end, share.first_column, s.F);
        },
        [&](int row, int column, Real sum, bool is_first, bool is_last) {
            share.add(dK, row, column, sum, is_first, is_last, [](int, Real sum) { return sum; });
        });
}

#endif
