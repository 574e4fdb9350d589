// What a step of training does besides learning, so that many can follow each other without the host: it reads
// its numbers from a plan, gathers its batch, and adds to the sums of the epoch.
#include "common.cuh"

// now (columns,) = the row of plan (rows, columns) whose number stands in its first place; that then grows by 1.
// One thread.
__global__ void next_row(int size, double *plan, double *now, int columns) {
    if (thread_index() >= size) return;
    long long row = (long long)plan[0];
    for (int k = 0; k < columns; k++) now[k] = plan[row * columns + k];
    plan[0] = row + 1;
}

// y (N, length) = rows order[first], order[first + 1], … of x (M, length)        first: on the device
template <typename Value>
__global__ void take_part(int size, const Value *x, const long long *order, const double *first, Value *y,
                          int length) {
    int i = thread_index();
    if (i < size) y[i] = x[order[(long long)*first + i / length] * length + i % length];
}

// y (N, length) = rows first, first + 1, … of x (M, length)        first: on the device
template <typename Value>
__global__ void rows_from(int size, const Value *x, const double *first, Value *y, int length) {
    int i = thread_index();
    if (i < size) y[i] = x[(long long)*first * length + i];
}

// totals (2,) += loss · samples, right        one thread; not fused, which would round once instead of twice
__global__ void add_to_totals(int size, double *totals, const double *loss, const long long *right, int samples) {
    if (thread_index() >= size) return;
    totals[0] = totals[0] + __dmul_rn(*loss, samples);
    totals[1] = totals[1] + *right;
}
