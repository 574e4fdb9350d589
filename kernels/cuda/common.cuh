// What every kernel here has in common.
//
// One thread computes one element of the result, and gathers all that it is made of. In some kernels a whole
// block computes a piece of the result: its threads share memory and wait for each other. In any case no two
// threads write to one place of the result at a time, nothing is added atomically but the number of blocks that are
// done (last_block.cuh), and the same input gives the same bits.
// A CPU can run all of it, thread by thread (tests/cuda_threads.h).
//
// The first parameter of a kernel is how many threads have work; a launch may start a few more, to fill the
// last block. Arrays are C-contiguous and lie one value behind another; images are (N, H, W, C). Real is float
// or double.

#ifndef COMMON_CUH
#define COMMON_CUH

constexpr int THREADS = 256;  // of a block: kernels/cuda/device.py

// Before a loop that adds up: 16 values are read at a time, and still added in order.
#define UNROLLED _Pragma("unroll 16")

// The index of this thread in the launch.
__device__ inline int thread_index() { return blockIdx.x * blockDim.x + threadIdx.x; }

// The larger and the smaller of two whole numbers.
__device__ constexpr int larger(int a, int b) { return a > b ? a : b; }
__device__ constexpr int smaller(int a, int b) { return a < b ? a : b; }

// The first and, one further, the last window that holds pixel number `at` of a padded line: window o covers
// [o · stride, o · stride + extent), and there are `windows` of them.
__device__ inline int first_window(int at, int extent, int stride) {
    return at < extent ? 0 : (at - extent) / stride + 1;
}
__device__ inline int end_of_windows(int at, int stride, int windows) { return smaller(windows, at / stride + 1); }

#endif
