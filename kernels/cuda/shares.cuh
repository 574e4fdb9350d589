// A product cut into shares, one for each block: a tile of the results, over a part of the depth.

#ifndef SHARES_CUH
#define SHARES_CUH

// Which tile of a product (rows, columns) block number `block` computes, and from where to where of its `depth`,
// which is cut into parts of `length`.
template <typename Tile>
struct Share {
    int block, rows, columns, depth, length;
    int tile, part, parts, first_row, first_column, begin, end;

    __device__ Share(int block, int rows, int columns, int depth, int length)
        : block(block), rows(rows), columns(columns), depth(depth), length(length) {
        const int across = (columns + Tile::COLUMNS - 1) / Tile::COLUMNS;
        const int down = (rows + Tile::ROWS - 1) / Tile::ROWS;
        tile = block % (across * down), part = block / (across * down);
        parts = larger(1, (depth + length - 1) / length);
        first_row = tile / across * Tile::ROWS, first_column = tile % across * Tile::COLUMNS;
        begin = part * length, end = smaller(begin + length, depth);
    }
    // The same, computed anew: nothing of it is kept in registers in between.
    __device__ Share again() const { return Share(forgotten(block), rows, columns, depth, length); }

    // The place of a result in its part of the sums (parts, rows, columns).
    __device__ int place(int of_part, int row, int column) const {
        return (of_part * rows + row) * columns + column;
    }
    // Calls use(row, column) for each result of the tile, by all threads of the block.
    template <typename Use>
    __device__ void for_each(Use use) const {
        for (int i = threadIdx.x; i < Tile::ROWS * Tile::COLUMNS; i += THREADS) {
            const int row = first_row + i / Tile::COLUMNS, column = first_column + i % Tile::COLUMNS;
            if (row < rows && column < columns) use(row, column);
        }
    }
};

// Parts whose sums one block adds up.
constexpr int TOGETHER = 8;

// Adds up the parts of a product as blocks come to an end (put_together). write(row, column, sum) gets the whole
// sums, in the block that is last of all: whether this is the one.
template <typename Tile, typename Write>
__device__ inline bool add_parts(const Share<Tile> &share, typename Tile::Real *sums, unsigned *counters,
                                 Write write) {
    counters += share.tile * (share.parts + MORE_COUNTERS);
    return put_together<TOGETHER>(share.part, share.parts, counters, [&](int first, int end, int step) {
        share.for_each([&](int row, int column) {
            typename Tile::Real sum = 0;
#pragma unroll
            for (int n = 0; n < TOGETHER; n++)
                if (first + n * step < end) sum += sums[share.place(first + n * step, row, column)];
            if (end - first == share.parts)
                write(row, column, sum);
            else
                sums[share.place(first, row, column)] = sum;
        });
    });
}

// Multiplies a share up (see multiply_up). Where `is_direct` (in one part), finish(column, sum) of each is written to
// y (rows, columns) at once; else by way of `sums`: their parts are added up, and write(row, column, sum) is called.
// A row is line lines[row - first_row] of y or of its part of the sums, if there are `lines`, else line `row`.
// Whether this block has finished its tile; what other threads of it have written is there after a barrier.
template <typename Tile, typename CopyFirst, typename CopySecond, typename Finish, typename Write>
__device__ inline bool multiply_share(const Tile &empty, typename Tile::Real *memory, const Share<Tile> &share,
                                      bool is_direct, typename Tile::Real *y, typename Tile::Real *sums,
                                      unsigned *counters, CopyFirst copy_first, CopySecond copy_second,
                                      const int *lines, Finish finish, Write write) {
    using Real = typename Tile::Real;
    if (!is_direct) y = sums + share.place(share.part, 0, 0);
    multiply_up(empty, memory, share.end - share.begin, copy_first, copy_second,
                [&](int row, int column, Real sum, bool is_first, bool is_last) {
                    // forgotten: else it is kept in registers all the time
                    const int line = lines ? lines[forgotten(row)] : share.first_row + row;
                    row += share.first_row, column += share.first_column;
                    if (row >= share.rows || column >= share.columns) return;
                    Real *there = y + line * share.columns + column;
                    if (!is_first) sum += *there;
                    *there = is_direct && is_last ? finish(column, sum) : sum;
                });
    return is_direct || add_parts(share.again(), sums, counters, write);
}

#endif
