// Sums over the rows of x (M, C), channel by channel, by one kernel.
//
// A block takes a chunk of `rows` rows and CHANNELS channels: LANES threads share a channel, so that 32 threads read
// 32 values that lie side by side. What they find is put together in order, then what the blocks have found, by
// those that come last (last_block.cuh).

#ifndef COLUMNS_CUH
#define COLUMNS_CUH

constexpr int CHANNELS = 32, LANES = THREADS / CHANNELS;  // tinynet/backends/cupy_.py

// Chunk number `number` of a group of channels, and this thread's share of it.
struct Chunk {
    int M, C, rows, group, number, chunks, first, end, channel, lane;
    __device__ Chunk(int M, int C, int rows, int group, int number)
        : M(M), C(C), rows(rows), group(group), number(number) {
        chunks = (M + rows - 1) / rows, first = number * rows, end = smaller(M, first + rows);
        channel = group * CHANNELS + threadIdx.x % CHANNELS, lane = threadIdx.x / CHANNELS;
    }
    // That of this block, where there is a block for each chunk of each group.
    __device__ Chunk(int M, int C, int rows)
        : Chunk(M, C, rows, blockIdx.x % groups_of(C), blockIdx.x / groups_of(C)) {}
    __device__ static int groups_of(int C) { return (C + CHANNELS - 1) / CHANNELS; }

    // Whether this thread writes what its channel's lanes have found.
    __device__ bool writes() const { return lane == 0 && channel < C; }
};

struct Sums {
    double sum, product;
};
__device__ inline Sums together(Sums a, Sums b) { return {a.sum + b.sum, a.product + b.product}; }

// How many values there are, their mean, and Σ (value - mean)². Both of two sets together: Chan, Golub, LeVeque,
// "Updating formulae and a pairwise algorithm for computing sample variances", 1979.
struct Moments {
    double count, mean, squares;
};
__device__ inline Moments together(Moments a, Moments b) {
    if (b.count == 0) return a;
    double count = a.count + b.count, share = b.count / count, distance = b.mean - a.mean;
    return {count, a.mean + distance * share, a.squares + b.squares + distance * distance * a.count * share};
}

// What all lanes of this thread's channel have found, put together in order. All threads come. `memory` is shared,
// and has room for something of each of them.
template <typename Found>
__device__ inline Found over_lanes(Found mine, void *memory) {
    Found *found = (Found *)memory;
    __syncthreads();  // what was there has been read
    found[threadIdx.x] = mine;
    __syncthreads();
    Found all = found[threadIdx.x % CHANNELS];
    for (int lane = 1; lane < LANES; lane++) all = together(all, found[lane * CHANNELS + threadIdx.x % CHANNELS]);
    return all;
}

// Where statistics go.
template <typename Real>
struct Statistics {
    double *means, *squares;  // (chunks, C): of each chunk the mean and Σ (value - mean)²
    Real *mean;               // (2, C): of all, and what rounding took from that
    Real *variance;           // (C,): biased
    unsigned *counters;       // (groups, chunks + MORE_COUNTERS)
};

// Chunks of which one block puts together what was found.
constexpr int CHUNKS_AT_ONCE = 64;

// The statistics of value(m) over all rows m of all chunks; it is asked for once, by the threads of a channel below C.
// Distances are taken from a value of the lane's own, or the mean of a chunk: it is at most √n standard deviations
// off the mean of its n values, so in double nothing cancels. memory: see over_lanes.
template <typename Real, typename Value>
__device__ inline void statistics(const Chunk &chunk, void *memory, const Statistics<Real> &found, Value value) {
    const int C = chunk.C, c = chunk.channel, begin = chunk.first + chunk.lane;
    Moments mine = {0, 0, 0};
    if (c < C && begin < chunk.end) {
        const double near = value(begin);
        double sum = 0, square = 0;
        UNROLLED
        for (int m = begin + LANES; m < chunk.end; m += LANES) {
            const double distance = value(m) - near;
            sum += distance, square += distance * distance;
        }
        const double count = (chunk.end - begin + LANES - 1) / LANES;
        mine = {count, near + sum / count, square - sum * sum / count};
    }
    mine = over_lanes(mine, memory);
    if (chunk.writes())
        found.means[chunk.number * C + c] = mine.mean, found.squares[chunk.number * C + c] = mine.squares;

    unsigned *counters = found.counters + chunk.group * (chunk.chunks + MORE_COUNTERS);
    put_together<CHUNKS_AT_ONCE>(chunk.number, chunk.chunks, counters, [&](int first, int end, int step) {
        const double near = c < C ? found.means[first * C + c] : 0;
        Sums all = {0, 0};  // Σ distance and Σ distance² of all values: without a division for each chunk
        if (c < C)
#pragma unroll
            for (int n = 0; n < CHUNKS_AT_ONCE / LANES; n++) {
                const int k = first + (chunk.lane + n * LANES) * step;
                if (k >= end) continue;
                const double count = smaller(chunk.M - k * chunk.rows, step * chunk.rows);
                const double distance = found.means[k * C + c] - near;
                all.sum += count * distance;
                all.product += found.squares[k * C + c] + count * distance * distance;
            }
        all = over_lanes(all, memory);
        if (!chunk.writes()) return;
        const double count = smaller(chunk.M, end * chunk.rows) - first * chunk.rows;
        const double middle = near + all.sum / count, square = all.product - all.sum * all.sum / count;
        if (end - first == chunk.chunks)
            found.mean[c] = middle, found.mean[C + c] = middle - (Real)middle, found.variance[c] = square / count;
        else
            found.means[first * C + c] = middle, found.squares[first * C + c] = square;
    });
}

#endif
