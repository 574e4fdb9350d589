// What a layer with weights does for its neighbours while it has their values in registers: the activation behind
// it as it writes y, and the backward of what lies before it as it writes dx. Each saves a pass over memory.

#ifndef NEIGHBOURS_CUH
#define NEIGHBOURS_CUH

// The activation behind, by its `alpha`: an ELU's; 0 for a ReLU; -1 for none. NaN stays.
template <typename Real>
__device__ inline Real activated(Real value, Real alpha) {
    if (!(value < 0) || alpha < 0) return value;
    return alpha == 0 ? (Real)0 : alpha * expm1(value);
}

// The dropout before, and the activation before that.
template <typename Real>
struct Before {
    const bool *keep;  // of the dropout, which multiplies by scale; a scale of 0: there is none
    Real scale;
    const Real *y;  // what the activation wrote, which is of this `alpha`
    Real alpha;

    __device__ bool is_there() const { return scale > 0 || alpha >= 0; }

    // d = ∂L/∂x of value i, carried back through both
    __device__ Real back(Real d, int i) const {
        if (scale > 0) d *= keep[i] ? scale : (Real)0;
        if (alpha < 0 || y[i] > 0) return d;
        return alpha == 0 ? (Real)0 : d * (y[i] + alpha);
    }
};

#endif
