// The rule of a max pooling.

#ifndef LARGEST_CUH
#define LARGEST_CUH

// Whether `value` takes the place of the best that came before it: the first of equal ones stays, and a NaN, which is
// larger than all.
template <typename Real>
__device__ inline bool is_better(Real value, Real best) {
    return best == best && !(value <= best);  // not (≤) is true for a larger value and for NaN
}

// The pixel of a window to which its gradient goes: none (-1) if the values come from a ReLU (`positive`), whose
// gradient is 0 where the best is not above 0.
template <typename Real>
__device__ inline int winner_of(int place, Real best, bool positive) {
    return positive && !(best > 0) ? -1 : place;
}

#endif
