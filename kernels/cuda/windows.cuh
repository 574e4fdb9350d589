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
#pragma unroll
    for (int n = 0; n < Tile::DEPTH / DOWN; n++) {
        const int row = threadIdx.x / ACROSS + n * DOWN;
        bool is_inside = k + row < end && begin + column < length;
        copy_async<WIDTH * sizeof(*matrix)>(piece + Tile::second(row, column),
                                            is_inside ? matrix + (k + row) * length + begin + column : matrix,
                                            is_inside);
    }
}

// The first pixel of a window, and the number of the first pixel of its image.
struct Corner {
    int h, w, image;
};

// Begins to copy of ROWS windows on images (·, H, W, C) what lies at `tap`, the window's pixel and the channel
// that this thread copies. IS_GRADIENT: a window goes backwards from its corner, and only
// every down-th pixel in every across-th column counts.
template <typename Tile, int WIDTH, bool IS_GRADIENT>
__device__ inline void copy_windows(typename Tile::Real *piece, const typename Tile::Real *x,
                                    const Corner *corners, const Counter &tap, int H, int W, int C, const Sizes &s) {
    constexpr int ACROSS = Tile::DEPTH / WIDTH, DOWN = THREADS / ACROSS;
#pragma unroll
    for (int n = 0; n < Tile::ROWS / DOWN; n++) {
        const int row = threadIdx.x / ACROSS + n * DOWN;
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
}

// Begins to copy what the filters of COLUMNS channels of x, from `begin` on, have at `tap`: the window's pixel and
// the channel of y that this thread copies. K (KH, KW, C, F)
template <typename Tile, int WIDTH>
__device__ inline void copy_filters(typename Tile::Real *piece, const typename Tile::Real *K, int begin,
                                    const Counter &tap, const Sizes &s) {
    constexpr int ACROSS = Tile::DEPTH / WIDTH, DOWN = THREADS / ACROSS;
    const int pixel = tap.high * s.KW + tap.middle;
#pragma unroll
    for (int n = 0; n < Tile::COLUMNS / DOWN; n++) {
        const int column = threadIdx.x / ACROSS + n * DOWN;
        const bool is_inside = tap.high < s.KH && begin + column < s.C;
        copy_async<WIDTH * sizeof(*K)>(piece + Tile::second(threadIdx.x % ACROSS * WIDTH, column),
                                       is_inside ? K + (pixel * s.C + begin + column) * s.F + tap.low : K,
                                       is_inside);
    }
}

// The image, line and column of the result that is row number `row` of a product. Where results are pooled, the four
// of each 2 x 2 are neighbours.
__device__ inline Counter result_of(int row, bool is_pooled, int rows, int columns) {
    if (!is_pooled) return counter(row, rows, columns);
    const Counter at = counter(row / 4, rows / 2, columns / 2);
    return {at.high, 2 * at.middle + row / 2 % 2, 2 * at.low + row % 2};
}
__device__ inline int pixel_of(int row, bool is_pooled, const Sizes &s) {
    const Counter at = result_of(row, is_pooled, s.OH, s.OW);
    return (at.high * s.OH + at.middle) * s.OW + at.low;
}

// The first pixel of each window, of those that a tile's rows are. IS_GRADIENT: as in copy_windows.
template <typename Tile, bool IS_GRADIENT>
__device__ inline void find_corners(Corner *corners, int first_row, bool is_pooled, int N, const Sizes &s) {
    const int rows = IS_GRADIENT ? s.H : s.OH, columns = IS_GRADIENT ? s.W : s.OW;
    for (int row = threadIdx.x; row < Tile::ROWS; row += THREADS) {
        const Counter at = result_of(first_row + row, is_pooled, rows, columns);
        const int far = 1 << 29;  // no window reaches an image from there
        corners[row].h = at.high >= N ? -far : IS_GRADIENT ? at.middle + s.top : at.middle * s.down - s.top;
        corners[row].w = IS_GRADIENT ? at.low + s.left : at.low * s.across - s.left;
        corners[row].image = at.high * (IS_GRADIENT ? s.OH * s.OW : s.H * s.W);
    }
    __syncthreads();
}

// What a thread copies first of a part that begins at `begin`, along the depth.
template <typename Tile>
__device__ inline Counter first_tap(int begin, bool has_vectors, int middles, int lows) {
    const int width = has_vectors ? Tile::WIDTH : 1;
    return counter(begin + threadIdx.x % (Tile::DEPTH / width) * width, middles, lows);
}

// What a convolution does for a max pooling by 2 x 2 behind it, of y whose sides are even, and a batch normalisation.
template <typename Real>
struct Behind {
    bool is_pooled;
    Real *y;              // (N, OH / 2, OW / 2, F): the largest of each window
    signed char *winner;  // likewise: largest.cuh, of a ReLU
    bool finds_statistics;
    Statistics<Real> found;  // of y, pooled if it is: columns.cuh
};

// A tile of y (rows, columns), finished by this block, is pooled.
template <typename Tile>
__device__ inline void pool_tile(const Share<Tile> &share, const typename Tile::Real *y, const Sizes &s,
                                 const Behind<typename Tile::Real> &behind) {
    using Real = typename Tile::Real;
    __syncthreads();  // all of the tile is there
    for (int i = threadIdx.x; i < Tile::ROWS / 4 * Tile::COLUMNS; i += THREADS) {
        const int row = i / Tile::COLUMNS * 4, column = share.first_column + i % Tile::COLUMNS;
        if (share.first_row + row >= share.rows || column >= share.columns) continue;
        const int pixel = pixel_of(share.first_row + row, true, s);
        int place = 0;
        Real best = y[pixel * share.columns + column];
        for (int n = 1; n < 4; n++) {
            const Real value = y[(pixel + n / 2 * s.OW + n % 2) * share.columns + column];
            if (is_better(value, best)) best = value, place = n;
        }
        const int there = (share.first_row + row) / 4 * share.columns + column;
        behind.y[there] = best, behind.winner[there] = winner_of(place, best, true);
    }
}

// The statistics of y, finished by this block: so many rows of a tile each are one of y's. They are a chunk.
template <typename Tile>
__device__ inline void statistics_of_tile(const Share<Tile> &share, const typename Tile::Real *y, int each,
                                          void *memory, const Statistics<typename Tile::Real> &found) {
    __syncthreads();  // all of the tile's results are there
    const int end = smaller(share.first_column + Tile::COLUMNS, share.columns);
    for (int column = share.first_column; column < end; column += CHANNELS) {
        const Chunk chunk(share.rows / each, share.columns, Tile::ROWS / each, column / CHANNELS,
                          share.first_row / Tile::ROWS);
        statistics(chunk, memory, found, [&](int m) { return y[m * share.columns + chunk.channel]; });
    }
}

// y (N, OH, OW, F) = windows of x (N, H, W, C) · K (KH, KW, C, F) + b (F), with the activation behind, and what else
// there is `behind`. The sum over KH · KW · C is cut into parts of `length`, if it is longer.
template <typename Tile>
__device__ inline void forward(const Tile &empty, typename Tile::Real *memory, Corner *corners, int *lines,
                               const typename Tile::Real *x, const typename Tile::Real *K,
                               const typename Tile::Real *b, typename Tile::Real *y, typename Tile::Real *sums,
                               unsigned *counters, int length, typename Tile::Real alpha,
                               const Behind<typename Tile::Real> &behind, int N, const Sizes &s) {
    using Real = typename Tile::Real;
    const Share<Tile> share(blockIdx.x, N * s.OH * s.OW, s.F, s.KH * s.KW * s.C, length);
    const bool is_direct = share.parts == 1;  // else sums are in order, and y is written later
    for (int row = threadIdx.x; row < Tile::ROWS; row += THREADS)
        lines[row] = pixel_of(share.first_row + row, behind.is_pooled && is_direct, s);
    find_corners<Tile, false>(corners, share.first_row, behind.is_pooled, N, s);
    const bool x_has_vectors = are_vectors(x, s.C), K_has_vectors = are_vectors(K, s.F);
    Counter tap = first_tap<Tile>(share.begin, x_has_vectors, s.KW, s.C);
    auto finish = [&](int f, Real sum) { return activated(sum + b[f], alpha); };
    const bool is_finished = multiply_share(
        empty, memory, share, is_direct, y, sums, counters,
        [&](Real *piece, int) {
            x_has_vectors ? copy_windows<Tile, Tile::WIDTH, false>(piece, x, corners, tap, s.H, s.W, s.C, s)
                          : copy_windows<Tile, 1, false>(piece, x, corners, tap, s.H, s.W, s.C, s);
            advance(tap, Tile::DEPTH, s.KW, s.C);
        },
        [&](Real *piece, int k) {
            k += share.begin;
            K_has_vectors ? copy_rows<Tile, Tile::WIDTH>(piece, K, k, share.end, share.first_column, s.F)
                          : copy_rows<Tile, 1>(piece, K, k, share.end, share.first_column, s.F);
        },
        lines, finish,
        [&](int row, int f, Real sum) { y[pixel_of(row, behind.is_pooled, s) * s.F + f] = finish(f, sum); });
    if (!is_finished) return;
    if (behind.is_pooled) pool_tile(share.again(), y, s, behind);
    if (behind.finds_statistics)
        statistics_of_tile(share.again(), behind.is_pooled ? behind.y : y, behind.is_pooled ? 4 : 1, memory,
                           behind.found);
}

// dx (N, H, W, C) = windows of dy (N, OH, OW, F), backwards, · K (KH, KW, C, F) with its channels swapped, carried
// back through what lies before. The sum over KH · KW · F is cut into parts of `length`, if it is longer.
template <typename Tile>
__device__ inline void gradient_of_images(const Tile &empty, typename Tile::Real *memory, Corner *corners,
                                          int block, const typename Tile::Real *dy, const typename Tile::Real *K,
                                          typename Tile::Real *dx, typename Tile::Real *sums, unsigned *counters,
                                          int length, const Before<typename Tile::Real> &before, int N,
                                          const Sizes &s) {
    using Real = typename Tile::Real;
    const Share<Tile> share(block, N * s.H * s.W, s.C, s.KH * s.KW * s.F, length);
    find_corners<Tile, true>(corners, share.first_row, false, N, s);
    const bool are_both_vectors = are_vectors(dy, s.F) && are_vectors(K, s.F);
    Counter tap = first_tap<Tile>(share.begin, are_both_vectors, s.KW, s.F);
    multiply_share(
        empty, memory, share, share.parts == 1, dx, sums, counters,
        [&](Real *piece, int) {
            are_both_vectors
                ? copy_windows<Tile, Tile::WIDTH, true>(piece, dy, corners, tap, s.OH, s.OW, s.F, s)
                : copy_windows<Tile, 1, true>(piece, dy, corners, tap, s.OH, s.OW, s.F, s);
        },
        [&](Real *piece, int) {
            are_both_vectors ? copy_filters<Tile, Tile::WIDTH>(piece, K, share.first_column, tap, s)
                             : copy_filters<Tile, 1>(piece, K, share.first_column, tap, s);
            advance(tap, Tile::DEPTH, s.KW, s.F);
        },
        nullptr, [](int, Real sum) { return sum; },
        [&](int row, int c, Real sum) { dx[row * s.C + c] = before.back(sum, row * s.C + c); });
    if (share.parts > 1 || !before.is_there()) return;
    __syncthreads();  // while sums take all registers there is no room for this; they are in cache
    share.again().for_each([&](int row, int c) { dx[row * s.C + c] = before.back(dx[row * s.C + c], row * s.C + c); });
}

// What b is multiplied by, as if it were the weights of one more input.
template <typename Real>
__device__ const Vector<Real> ONE = {{1}};

// Begins to copy what the windows of the pixels `pixel`, … of y have at `tap`, and goes on to the next pixels.
// Behind the last tap there is ONE.
template <typename Tile, int WIDTH>
__device__ inline void copy_taps(typename Tile::Real *piece, const typename Tile::Real *x, Counter &pixel,
                                 const Counter &tap, int left_over, const Sizes &s) {
    constexpr int ACROSS = Tile::ROWS / WIDTH, DOWN = THREADS / ACROSS;
    const bool is_behind = tap.high == s.KH && tap.middle == 0 && tap.low == 0;
#pragma unroll
    for (int n = 0; n < Tile::DEPTH / DOWN; n++) {
        const int k = threadIdx.x / ACROSS + n * DOWN;
        int h = pixel.middle * s.down - s.top + tap.high, w = pixel.low * s.across - s.left + tap.middle;
        bool is_inside = tap.high < s.KH && 0 <= h && h < s.H && 0 <= w && w < s.W;
        const typename Tile::Real *from = x;
        if (is_inside) from = x + ((pixel.high * s.H + h) * s.W + w) * s.C + tap.low;
        if (is_behind) from = ONE<typename Tile::Real>.at;
        copy_async<WIDTH * sizeof(*x)>(piece + Tile::first(threadIdx.x % ACROSS * WIDTH, k), from,
                                       k < left_over && (is_inside || is_behind));
        advance(pixel, DOWN, s.OH, s.OW);
    }
}

// dK (KH · KW · C, F) = the windows of x, transposed, · dy, and in one more row db (F) = Σ dy. The sum over all
// pixels of y is cut into parts of `length`, if it is longer.
template <typename Tile>
__device__ inline void gradient_of_weights(const Tile &empty, typename Tile::Real *memory, int block,
                                           const typename Tile::Real *x, const typename Tile::Real *dy,
                                           typename Tile::Real *dK, typename Tile::Real *db,
                                           typename Tile::Real *sums, unsigned *counters, int length, int N,
                                           const Sizes &s) {
    using Real = typename Tile::Real;
    const int taps = s.KH * s.KW * s.C;
    const Share<Tile> share(block, taps + 1, s.F, N * s.OH * s.OW, length);
    const bool is_direct = share.parts == 1 && share.first_row + Tile::ROWS <= taps;  // db is elsewhere
    const bool x_has_vectors = are_vectors(x, s.C), dy_has_vectors = are_vectors(dy, s.F);
    const int width = x_has_vectors ? Tile::WIDTH : 1, across = Tile::ROWS / width;
    const Counter tap = counter(share.first_row + threadIdx.x % across * width, s.KW, s.C);
    Counter pixel = counter(share.begin + threadIdx.x / across, s.OH, s.OW);
    multiply_share(
        empty, memory, share, is_direct, dK, sums, counters,
        [&](Real *piece, int k) {
            const int left_over = share.end - share.begin - k;
            x_has_vectors ? copy_taps<Tile, Tile::WIDTH>(piece, x, pixel, tap, left_over, s)
                          : copy_taps<Tile, 1>(piece, x, pixel, tap, left_over, s);
        },
        [&](Real *piece, int k) {
            k += share.begin;
            dy_has_vectors ? copy_rows<Tile, Tile::WIDTH>(piece, dy, k, share.end, share.first_column, s.F)
                           : copy_rows<Tile, 1>(piece, dy, k, share.end, share.first_column, s.F);
        },
        nullptr, [](int, Real sum) { return sum; },
        [&](int row, int f, Real sum) { (row < taps ? dK[row * s.F + f] : db[f]) = sum; });
}

#endif
