// A block's share of a product (M, K) · (K, N): a tile of ROWS x COLUMNS results, which its threads keep in
// registers and multiply up from pieces of both factors in shared memory, DEPTH of K at a time.
//
//     piece of the first factor     (ROWS, DEPTH) if it lies along its depth, else (DEPTH, ROWS)
//     piece of the second factor    (COLUMNS, DEPTH) if it lies along its depth, else (DEPTH, COLUMNS)
//
// Lines are longer than what they hold, so that threads that read at once read from different banks.

#ifndef TILES_CUH
#define TILES_CUH

constexpr int STAGES = 3;     // pieces of each factor that are in shared memory at once

// What is read or copied at once.
template <typename Real>
struct alignas(16) Vector {
    Real at[16 / sizeof(Real)];
};

template <typename Number, bool IS_FIRST_ALONG_DEPTH, bool IS_SECOND_ALONG_DEPTH>
struct Tile {
    using Real = Number;
    static constexpr bool FIRST_ALONG = IS_FIRST_ALONG_DEPTH, SECOND_ALONG = IS_SECOND_ALONG_DEPTH;
    static constexpr int WIDTH = 16 / sizeof(Real);  // values of a Vector
    static constexpr int ROWS = 32 * WIDTH, COLUMNS = 64, DEPTH = 4 * WIDTH;
    static constexpr int FIRST_LINE = FIRST_ALONG ? DEPTH + WIDTH : ROWS + 2 * WIDTH;
    static constexpr int SECOND_LINE = SECOND_ALONG ? DEPTH + WIDTH : COLUMNS + 2 * WIDTH;
    static constexpr int FIRST_SIZE = (FIRST_ALONG ? ROWS : DEPTH) * FIRST_LINE;
    static constexpr int STAGE_SIZE = FIRST_SIZE + (SECOND_ALONG ? COLUMNS : DEPTH) * SECOND_LINE;
    static constexpr int VECTORS = STAGES * STAGE_SIZE / WIDTH;  // of shared memory

    // Where a value lies in its piece.
    __device__ static int first(int row, int k) {
        return FIRST_ALONG ? row * FIRST_LINE + k : k * FIRST_LINE + row;
    }
    __device__ static int second(int k, int column) {
        return SECOND_ALONG ? column * SECOND_LINE + k : k * SECOND_LINE + column;
    }
};

// A tile also says how many products are added up one after the other, LONGEST: with them grows the error.

// Multiplied by each thread for itself: it has every 16th row and every 16th column, or vectors of them.
template <typename Real, bool FIRST_ALONG, bool SECOND_ALONG>
struct PlainTile : Tile<Real, FIRST_ALONG, SECOND_ALONG> {
    using Base = Tile<Real, FIRST_ALONG, SECOND_ALONG>;
    static constexpr int LONGEST = 512, WIDTH = Base::WIDTH;
    static constexpr int MY_ROWS = Base::ROWS / 16, MY_COLUMNS = Base::COLUMNS / 16;
    Real sums[MY_ROWS][MY_COLUMNS] = {};

    template <bool ALONG>
    __device__ static int spread(int i, int thread) {
        return ALONG ? thread + 16 * i : i / WIDTH * 16 * WIDTH + thread * WIDTH + i % WIDTH;
    }
    __device__ static int row(int i) { return spread<FIRST_ALONG>(i, threadIdx.x / 16); }
    __device__ static int column(int j) { return spread<SECOND_ALONG>(j, threadIdx.x % 16); }

    // What this thread needs of a piece for WIDTH products; place(i, k) is where its i-th line has number k.
    template <bool ALONG, int COUNT, typename Place>
    __device__ static void read(Real (&values)[WIDTH][COUNT], const Real *piece, Place place) {
#pragma unroll
        for (int i = 0; i < COUNT; i += ALONG ? 1 : WIDTH)
#pragma unroll
            for (int k = 0; k < (ALONG ? 1 : WIDTH); k++) {
                const Vector<Real> found = *(const Vector<Real> *)(piece + place(i, k));
#pragma unroll
                for (int w = 0; w < WIDTH; w++) (ALONG ? values[w][i] : values[k][i + w]) = found.at[w];
            }
    }

    __device__ void multiply(const Real *A, const Real *B) {
#pragma unroll 1  // as in TensorTile
        for (int k = 0; k < Base::DEPTH; k += WIDTH) {
            Real a[WIDTH][MY_ROWS], b[WIDTH][MY_COLUMNS];
            read<FIRST_ALONG>(a, A, [&](int i, int n) { return Base::first(row(i), k + n); });
            read<SECOND_ALONG>(b, B, [&](int j, int n) { return Base::second(k + n, column(j)); });
#pragma unroll
            for (int n = 0; n < WIDTH; n++)
#pragma unroll
                for (int i = 0; i < MY_ROWS; i++)
#pragma unroll
                    for (int j = 0; j < MY_COLUMNS; j++) sums[i][j] += a[n][i] * b[n][j];
        }
    }

    // Calls use(row, column, sum) for each of this thread's results.
    template <typename Use>
    __device__ void for_each(Use use) const {
#pragma unroll
        for (int i = 0; i < MY_ROWS; i++)
#pragma unroll
            for (int j = 0; j < MY_COLUMNS; j++) use(row(i), column(j), sums[i][j]);
    }
};

// Multiplies a tile, `empty` as yet, up over all of K = `depth`. copy_first(piece, k) and copy_second(piece, k)
// begin to copy what the factors have from k on, zeros behind their ends; they are called for each k once, one
// after the other. add(row, column, sum, is_first, is_last) takes the sums of LONGEST products each.
//
// While one piece is multiplied the next ones arrive.
template <typename Tile, typename CopyFirst, typename CopySecond, typename Add>
__device__ inline void multiply_up(const Tile empty, typename Tile::Real *memory, int depth,
                                   CopyFirst copy_first, CopySecond copy_second, Add add) {
    const int steps = (depth + Tile::DEPTH - 1) / Tile::DEPTH;
    auto copy = [&](int step) {
        typename Tile::Real *stage = memory + step % STAGES * Tile::STAGE_SIZE;
        if (step < steps) {
            copy_first(stage, step * Tile::DEPTH);
            copy_second(stage + Tile::FIRST_SIZE, step * Tile::DEPTH);
        }
        commit_copies();
    };
    Tile tile = empty;
    for (int step = 0; step < STAGES - 1; step++) copy(step);
    for (int step = 0; step < steps; step++) {
        wait_for_copies<STAGES - 2>();
        __syncthreads();  // all have come to this step: its piece is here, that of the last step is free
        copy(step + STAGES - 1);
        const typename Tile::Real *stage = memory + step % STAGES * Tile::STAGE_SIZE;
        tile.multiply(stage, stage + Tile::FIRST_SIZE);
        const int done = (step + 1) * Tile::DEPTH;
        if (done % Tile::LONGEST == 0 || done >= depth) {
            tile.for_each([&](int row, int column, typename Tile::Real sum) {
                add(row, column, sum, done <= Tile::LONGEST, done >= depth);
            });
            tile = empty;
        }
    }
}

#endif
