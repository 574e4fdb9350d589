// Instructions of the GPU that C++ has no name for. Where there is no GPU, the tests have their own of the same
// names (tests/cuda_tensor.h).

#ifndef INSTRUCTIONS_CUH
#define INSTRUCTIONS_CUH
#ifdef __CUDACC__

#if __CUDA_ARCH__ >= 800
#define SM_80(instruction) instruction
#else
#define SM_80(instruction)
#endif

// Begin to copy BYTES (4, 8 or 16) from global to shared memory; zeros, where `is_valid` is false. Both ends lie
// on a boundary of BYTES. Before sm_80 the copy is made at once.
template <int BYTES>
__device__ inline void copy_async(void *to, const void *from, bool is_valid) {
#if __CUDA_ARCH__ >= 800
    unsigned there = (unsigned)__cvta_generic_to_shared(to);
    int bytes = is_valid ? BYTES : 0;
    if (BYTES == 16)
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(there), "l"(from), "r"(bytes)
                     : "memory");
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], %3, %2;" ::"r"(there), "l"(from), "r"(bytes),
                     "n"(BYTES)
                     : "memory");
#else
    struct alignas(BYTES) Piece {
        int words[BYTES / 4];
    };
    *(Piece *)to = is_valid ? *(const Piece *)from : Piece();
#endif
}

// What this thread has begun to copy since the last call becomes a group.
__device__ inline void commit_copies() { SM_80(asm volatile("cp.async.commit_group;" ::: "memory")); }

// Wait until at most the OPEN last groups of this thread are under way. What other threads copied is there after
// a barrier.
template <int OPEN>
__device__ inline void wait_for_copies() {
    SM_80(asm volatile("cp.async.wait_group %0;" ::"n"(OPEN) : "memory"));
}

// x, but the compiler does not know: what follows from it is computed anew rather than kept in registers.
__device__ inline int forgotten(int x) {
    asm volatile("" : "+r"(x));
    return x;
}

// In a loop that reads again and again what another block will write.
__device__ inline void look_again_later() {
#if __CUDA_ARCH__ >= 700
    __nanosleep(20);
#endif
}

// D (16, 8) += A (16, 8) · B (8, 8) by a whole warp. Lane l = 4 g + t holds
//     d[r] = D[g + 8 · (r / 2), 2 t + r % 2]
//     a[r] = A[g + 8 · (r % 2), t + 4 · (r / 2)]
//     b[r] = B[t + 4 r, g]
// Of a and b, float32, the last 13 bits are not read.
__device__ inline void multiply_add(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    SM_80(asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
                       "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                       : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                       : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1])));
}

// Two numbers rounded to bfloat16, 8 bits and the exponent of a float32, to the nearest, ties to even; the first in the
// lower half.
__device__ inline unsigned bfloats(float first, float second) {
    unsigned both = 0;
    SM_80(asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(second), "f"(first)));
    return both;
}

// D (16, 8) += A (16, 16) · B (16, 8), of bfloat16, by a whole warp. Lane l = 4 g + t holds d as above, and pairs
//     a[r] = A[g + 8 · (r % 2), 2 t + 8 · (r / 2) and the next]
//     b[r] = B[2 t + 8 r and the next, g]
__device__ inline void multiply_add_bfloats(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    SM_80(asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                       "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                       : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                       : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1])));
}

#endif
#endif
