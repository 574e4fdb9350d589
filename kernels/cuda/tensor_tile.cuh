// A tile of a product (tiles.cuh) that tensor cores multiply.

#ifndef TENSOR_TILE_CUH
#define TENSOR_TILE_CUH

// A float32 as the sum of two numbers of the 11 bits that a tensor core reads; it skips the last 13. What is
// lost is at most 2^-23 of x. The big half is rounded, by an addition that carries into the bits that stay; a
// NaN may get lost there, and is still in the small half. An infinite x has a small half that is NaN.
struct Halves {
    unsigned big, small;
};
__device__ inline Halves halves(float x) {
    unsigned big = (__float_as_uint(x) + 0x1000) & 0xFFFFE000;
    return {big, __float_as_uint(x - __uint_as_float(big))};
}

// Factors rounded to those 11 bits, by at most 2^-11 of each, and multiplied DEEP of the depth at a time. What is
// not finite stays so.
struct Tf32 {
    static constexpr int DEEP = 8;
    __device__ static unsigned round(const float *there, int) {
        const bool is_finite = fabsf(*there) <= 0x1.fffffep127f;
        return __float_as_uint(*there) + (is_finite ? 0x1000 : 0);
    }
    __device__ static void add(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
        multiply_add(d, a, b);
    }
};

// Rounded to 8 bits, by at most 2^-8 of each, in pairs. The tensor core has neighbours in the depth in a pair; here it
// gets there[0] and there[further], four along the depth, in both factors, so the sum is the same: what a warp
// reads at once then lies in different banks.
struct Bfloat {
    static constexpr int DEEP = 16;
    __device__ static unsigned round(const float *there, int further) { return bfloats(there[0], there[further]); }
    __device__ static void add(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
        multiply_add_bfloats(d, a, b);
    }
};

// What the factors are multiplied as: kernels/cuda/tiles.py.
enum Precision { FLOAT32, TF32, BF16 };

// Multiplied by the tensor cores: each warp has 32 x 32 results, in fragments of 16 x 8 (see `multiply_add`).
//
// With each factor in two halves a b = a_big b_big + a_big b_small + a_small b_big, up to float32's own error.
// A tensor core cuts off where float32 rounds: so it adds up 8 products only, and their sums are added outside.
// (Ootomo and Yokota, "Recovering single precision accuracy from tensor cores while surpassing the FP32
// theoretical peak performance", 2022.)
template <bool FIRST_ALONG, bool SECOND_ALONG>
struct TensorTile : Tile<float, FIRST_ALONG, SECOND_ALONG> {
    using Base = Tile<float, FIRST_ALONG, SECOND_ALONG>;
    static constexpr int LONGEST = 1024, DOWN = 2, ACROSS = 4;  // fragments of a warp
    int precision;
    float sums[DOWN][ACROSS][4] = {};
    __device__ explicit TensorTile(int precision) : precision(precision) {}

    // The first row and column of a fragment; the lane's place in it.
    __device__ static int first_row(int i) { return threadIdx.x / 64 * 32 + 16 * i; }
    __device__ static int first_column(int j) { return threadIdx.x / 32 % 2 * 32 + 8 * j; }
    __device__ static int group() { return threadIdx.x % 32 / 4; }
    __device__ static int member() { return threadIdx.x % 4; }

    __device__ void multiply(const float *A, const float *B) {
        A += Base::first(first_row(0) + group(), member()), B += Base::second(member(), first_column(0) + group());
        if (precision == FLOAT32)
            multiply_halves(A, B);
        else if (precision == TF32)
            multiply_rounded<Tf32>(A, B);
        else
            multiply_rounded<Bfloat>(A, B);
    }

    // A and B: where what this lane multiplies begins.
    __device__ void multiply_halves(const float *A, const float *B) {
#pragma unroll 1  // unrolled it takes more registers than two blocks at once can have
        for (int k = 0; k < Base::DEPTH; k += 8) {
            unsigned a_big[DOWN][4], a_small[DOWN][4];
#pragma unroll
            for (int i = 0; i < DOWN; i++)
#pragma unroll
                for (int r = 0; r < 4; r++) {
                    Halves a = halves(A[Base::first(16 * i + 8 * (r % 2), k + 4 * (r / 2))]);
                    a_big[i][r] = a.big, a_small[i][r] = a.small;
                }
#pragma unroll
            for (int j = 0; j < ACROSS; j++) {
                unsigned b_big[2], b_small[2];
#pragma unroll
                for (int r = 0; r < 2; r++) {
                    Halves b = halves(B[Base::second(k + 4 * r, 8 * j)]);
                    b_big[r] = b.big, b_small[r] = b.small;
                }
#pragma unroll
                for (int i = 0; i < DOWN; i++) {
                    float of_eight[4] = {};
                    multiply_add(of_eight, a_small[i], b_big);
                    multiply_add(of_eight, a_big[i], b_small);
                    multiply_add(of_eight, a_big[i], b_big);
#pragma unroll
                    for (int r = 0; r < 4; r++) sums[i][j][r] += of_eight[r];
                }
            }
        }
    }

    // What the tensor core cuts off of sums is less than what rounding the factors loses.
    template <typename Rounded>
    __device__ void multiply_rounded(const float *A, const float *B) {
        constexpr int DEEP = Rounded::DEEP;
#pragma unroll 1
        for (int k = 0; k < Base::DEPTH; k += DEEP) {
            unsigned a[DOWN][4], b[2];
#pragma unroll
            for (int i = 0; i < DOWN; i++)
#pragma unroll
                for (int r = 0; r < 4; r++)
                    a[i][r] = Rounded::round(A + Base::first(16 * i + 8 * (r % 2), k + DEEP / 2 * (r / 2)),
                                             Base::first(0, 4));
#pragma unroll
            for (int j = 0; j < ACROSS; j++) {
#pragma unroll
                for (int r = 0; r < 2; r++)
                    b[r] = Rounded::round(B + Base::second(k + DEEP / 2 * r, 8 * j), Base::second(4, 0));
#pragma unroll
                for (int i = 0; i < DOWN; i++) Rounded::add(sums[i][j], a[i], b);
            }
        }
    }

    // Calls use(row, column, sum) for each of this thread's results.
    template <typename Use>
    __device__ void for_each(Use use) const {
#pragma unroll
        for (int i = 0; i < DOWN; i++)
#pragma unroll
            for (int j = 0; j < ACROSS; j++)
#pragma unroll
                for (int r = 0; r < 4; r++)
                    use(first_row(i) + group() + 8 * (r / 2), first_column(j) + 2 * member() + r % 2,
                        sums[i][j][r]);
    }
};

#endif
