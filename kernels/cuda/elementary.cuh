// Sine, cosine and exponential with the bits of tinynet/elementary.py, which says how they come about.

#ifndef ELEMENTARY_CUH
#define ELEMENTARY_CUH

// A float64 number whose every operation is rounded by itself: the compiler fuses no product with a sum.
struct Rounded {
    double value;
    Rounded() = default;
    __device__ Rounded(double value) : value(value) {}
};
__device__ inline Rounded operator+(Rounded a, Rounded b) { return __dadd_rn(a.value, b.value); }
__device__ inline Rounded operator-(Rounded a, Rounded b) { return __dsub_rn(a.value, b.value); }
__device__ inline Rounded operator*(Rounded a, Rounded b) { return __dmul_rn(a.value, b.value); }
__device__ inline Rounded operator/(Rounded a, Rounded b) { return __ddiv_rn(a.value, b.value); }
__device__ inline Rounded operator-(Rounded a) { return -a.value; }

__device__ constexpr double factorial(int k) { return k < 2 ? 1 : k * factorial(k - 1); }

// 1 / FIRST! + y / (FIRST + EVERY)! + … until LAST!
template <int FIRST, int LAST, int EVERY>
__device__ inline Rounded series(Rounded y) {
    constexpr double coefficient = 1 / factorial(FIRST);
    if constexpr (FIRST == LAST)
        return coefficient;
    else
        return series<FIRST + EVERY, LAST, EVERY>(y) * y + coefficient;
}

// sin x and cos x for |x| at most 10
__device__ inline void sine_and_cosine(Rounded x, Rounded *sine, Rounded *cosine) {
    const double quarters = rint((x * 0.6366197723675814).value);
    const Rounded rest = x - Rounded(quarters) * 1.5707963267341256 - Rounded(quarters) * 6.077100506506192e-11;
    const Rounded y = -(rest * rest);
    const Rounded s = rest + rest * y * series<3, 17, 2>(y), c = Rounded(1) + y * series<2, 16, 2>(y);
    const int number = (int)quarters;
    *sine = number & 1 ? c : s, *cosine = number & 1 ? s : c;
    if (number & 2) *sine = -*sine;
    if ((number + 1) & 2) *cosine = -*cosine;
}

// e to the power x, for |x| at most 1.1
__device__ inline Rounded exponential(Rounded x) { return Rounded(1) + x * series<1, 20, 1>(x); }

#endif
