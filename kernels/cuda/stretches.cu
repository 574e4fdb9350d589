// What a step of training does besides learning, so that many can follow each other without the host: it reads
// its numbers from a plan, gathers its batch, and adds to the sums of the epoch.
//
// The plan (rows, columns) has in its first place the number of the row of the step under way. That grows by 1 at
// the step's end, when nobody reads it.
#include "common.cuh"

// now (columns,) = the step's row of the plan. With `first` in column `at_first` of it:
//
//     y, own_targets, own_weights   rows order[first], order[first + 1], … of the three below
//     x (M, length), targets (M, wide), weights (M,), these only if is_weighted
//     rescaled                      scale · y + offset, only if is_rescaled
template <typename Value, typename Target, typename Real>
__global__ void begin_step(int size, const double *plan, double *now, int columns, int at_first,
                           const long long *order, const Value *x, const Target *targets, const double *weights,
                           Value *y, Target *own_targets, double *own_weights, Real *rescaled, int N, int length,
                           int wide, bool is_weighted, bool is_rescaled, Real scale, Real offset) {
    int i = thread_index();
    if (i >= size) return;
    const double *row = plan + (long long)plan[0] * columns;
    const long long *mine = order + (long long)row[at_first];
    if (i < columns) now[i] = row[i];
    if (i < N * length) {
        const Value value = x[mine[i / length] * length + i % length];
        y[i] = value;
        if (is_rescaled) rescaled[i] = scale * (Real)value + offset;
    }
    if (i < N * wide) own_targets[i] = targets[mine[i / wide] * wide + i % wide];
    if (is_weighted && i < N) own_weights[i] = weights[mine[i]];
}

// totals (2,) += loss · samples, right; the plan's next row is that of the next step. One thread. The product is
// rounded before it is added: a fused one would give other bits than two operations.
__global__ void end_step(int size, double *plan, double *totals, const double *loss, const long long *right,
                         int samples) {
    if (thread_index() >= size) return;
    totals[0] = totals[0] + __dmul_rn(*loss, samples);
    totals[1] = totals[1] + *right;
    plan[0] += 1;
}
