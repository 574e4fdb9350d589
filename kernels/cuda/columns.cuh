// Sums over the rows of x (M, C), channel by channel, by one kernel.
//
// A block takes a chunk of `rows` rows and CHANNELS channels: LANES threads share a channel, so that 32 threads read
// 32 values that lie side by side. What they find is put together in order, then what the blocks have found, by the
// last block (last_block.cuh).

#ifndef COLUMNS_CUH
#define COLUMNS_CUH

constexpr int CHANNELS = 32, LANES = THREADS / CHANNELS;  // tinynet/backends/cupy_.py

// The chunk of this block, and this thread's share of it.
struct Chunk {
    int M, C, rows, group, number, chunks, first, end, channel, lane;
    __device__ Chunk(int M, int C, int rows) : M(M), C(C), rows(rows) {
        const int groups = (C + CHANNELS - 1) / CHANNELS;
        group = blockIdx.x % groups, number = blockIdx.x / groups, chunks = (M + rows - 1) / rows;
        first = number * rows, end = smaller(M, first + rows);
        channel = group * CHANNELS + threadIdx.x % CHANNELS, lane = threadIdx.x / CHANNELS;
    }
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

// What all lanes of this thread's channel have found, put together in order. All threads come.
template <typename Found>
__device__ inline Found over_lanes(Found mine) {
    __shared__ Found found[THREADS];
    __syncthreads();  // those before have been read
    found[threadIdx.x] = mine;
    __syncthreads();
    Found all = found[threadIdx.x % CHANNELS];
    for (int lane = 1; lane < LANES; lane++) all = together(all, found[lane * CHANNELS + threadIdx.x % CHANNELS]);
    return all;
}

// The mean (C,) and biased variance (C,) of value(m) over all rows m, which it is asked for once, by the threads of
// a channel below C. means, squares (chunks, C): of each chunk. Distances are taken from a value of the lane's own:
// it is at most √n standard deviations off the mean of its n values, so in double nothing cancels.
template <typename Real, typename Value>
__device__ inline void statistics(const Chunk &chunk, double *means, double *squares, Real *mean, Real *variance,
                                  unsigned *counters, Value value) {
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
    mine = over_lanes(mine);
    if (chunk.writes()) means[chunk.number * C + c] = mine.mean, squares[chunk.number * C + c] = mine.squares;
    if (!is_last_block(counters + chunk.group, chunk.chunks)) return;

    Sums all = {0, 0};  // first Σ value, then, about their mean, Σ of squared distances: without a division each
    auto count = [&](int k) { return (double)smaller(chunk.rows, chunk.M - k * chunk.rows); };
    if (c < C)
        UNROLLED
        for (int k = chunk.lane; k < chunk.chunks; k += LANES) all.sum += count(k) * means[k * C + c];
    const double middle = over_lanes(all).sum / chunk.M;
    if (c < C)
        UNROLLED
        for (int k = chunk.lane; k < chunk.chunks; k += LANES) {
            const double distance = means[k * C + c] - middle;
            all.product += squares[k * C + c] + distance * distance * count(k);
        }
    all = over_lanes(all);
    if (chunk.writes()) mean[c] = middle, variance[c] = all.product / chunk.M;
}

#endif
