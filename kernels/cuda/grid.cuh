// How all blocks of a launch wait for each other. The launch must be cooperative: all blocks are there at once.

#ifndef GRID_CUH
#define GRID_CUH

// Waits until every block has come here; then each sees what all wrote before.
//
//     arrived   (blocks,): how often each block has come, in this launch and all before; 0 in the beginning
//     times     how often this block has, with this time
//
// A block tells the others by a number of its own: nothing is added atomically.
__device__ inline void wait_for_all_blocks(volatile unsigned *arrived, unsigned times) {
    __syncthreads();
    if (threadIdx.x == 0) {
        __threadfence();  // what the block wrote is there for all, before it counts as here
        arrived[blockIdx.x] = times;
    }
    for (unsigned block = threadIdx.x; block < gridDim.x; block += blockDim.x)
        while ((int)(arrived[block] - times) < 0) look_again_later();  // also where the count begins anew
    __threadfence();
    __syncthreads();
}

#endif
