// How a kernel goes on with what all its blocks have made: the block that comes last does it.
//
// Blocks run in any order, and none may wait for another. But each can tell, when it is done, whether the others
// are. So a sum over the whole array needs no second kernel. Which block is last is left to chance; what it adds
// up, and in which order, is not, so the bits are the same. (NVIDIA's example threadFenceReduction.)

#ifndef LAST_BLOCK_CUH
#define LAST_BLOCK_CUH

// Whether this block is the last of `blocks` that ask, each once; it then sees what the others wrote before they
// asked. All threads of a block ask together. The counter is 0 before the first asks and behind the last.
__device__ inline bool is_last_block(unsigned *counter, int blocks) {
    __shared__ bool is_last[1];
    __threadfence();  // what this thread wrote is there for all, before its block counts as done
    __syncthreads();
    if (threadIdx.x == 0) *is_last = atomicInc(counter, blocks - 1) == blocks - 1;
    __syncthreads();
    __threadfence();
    return *is_last;
}

// Counters that a result has besides one for each of its parts.
constexpr int MORE_COUNTERS = 3;  // kernels/cuda/tiles.py

// Puts together what blocks have made as they come to an end, `parts` of them, this one number `part`: of every
// AT_ONCE parts the last block does it, of every AT_ONCE of these the last of their blocks, and so on. It calls
// put(first, end, step) to put those in [first, end), each `step` parts by now, where part `first` was. Whether this
// block is the last of all. What is put to what does not depend on who is last.
template <int AT_ONCE, typename Put>
__device__ inline bool put_together(int part, int parts, unsigned *counters, Put put) {
    int step = 1;
    do {
        const int first = part / (step * AT_ONCE) * (step * AT_ONCE);
        const int end = smaller(parts, first + step * AT_ONCE);
        if (!is_last_block(counters + first, (end - first + step - 1) / step)) return false;
        put(first, end, step);
        step *= AT_ONCE, counters++;
    } while (step < parts);
    return true;
}

// Σ of `mine` over the threads of a block, in the same order each time. All threads come, and all get it.
__device__ inline double sum_of_block(double mine) {
    __shared__ double sums[THREADS];
    __syncthreads();  // the sum before has been read
    sums[threadIdx.x] = mine;
    for (int half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
    }
    __syncthreads();
    return sums[0];
}

// Σ of x (N,) by a block, likewise.
__device__ inline double sum_by_block(const double *x, int N) {
    double sum = 0;
    UNROLLED
    for (int n = threadIdx.x; n < N; n += THREADS) sum += x[n];
    return sum_of_block(sum);
}

// Σ of `mine` over all `size` threads, by the last block, whose threads all get it as `mine`. Whether this is that
// block. sums (blocks,): of each block. All threads of a block come.
__device__ inline bool sum_of_all(int size, double &mine, double *sums, unsigned *counter) {
    const int blocks = (size + THREADS - 1) / THREADS;
    mine = sum_of_block(mine);
    if (threadIdx.x == 0) sums[blockIdx.x] = mine;
    if (!is_last_block(counter, blocks)) return false;
    mine = sum_by_block(sums, blocks);
    return true;
}

#endif
