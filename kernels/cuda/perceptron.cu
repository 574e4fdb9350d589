// Training steps of a small net, as many as are asked for, by one launch that nobody interrupts.
//
//     x   (N, I)    a batch, gathered from the data set and rescaled
//     h   (N, H)    max(x W + b, 0)         W (I, H)   b (H)
//     z   (N, K)    h V + c                 V (H, K)   c (K)      without a hidden layer z = x W + b, and H = K
//
// There is a block for each of the H units, and all are on the device at once. Block j owns column j of W, b_j
// and row j of V, with their moments: they stay in its shared memory from the first step to the last. c is small,
// and every block has its own. In a step
//
//   1. block j computes column j of h and writes it, with its row of V, where all can read;
//   2. all blocks wait for each other, once;
//   3. each computes all of z, the loss and ∂L/∂z from what is there: the same bits in each;
//   4. and then the gradients of what it owns, which it moves by Adam.
//
// What is exchanged has two places, for one step and the next. A block that is ahead may write one while others
// still read the other. It is never two steps ahead, for it waits for them in between.
#include "common.cuh"
#include "instructions.cuh"
#include "grid.cuh"

constexpr int MOST_ROWS = 256;      // N, at most: tinynet/persistent.py
constexpr int MOST_SCORES = 4096;   // N · K
constexpr int MOST_OWNED = 1152;    // I + 1 + 2 K

// A row of the plan: tinynet/stretch.py.
enum { STEP, UPDATE, RATE, GAIN, FIRST, BATCH, EPOCH, COLUMNS };

// The sizes of the net; and where its parameters begin in the flat buffers.
struct Perceptron {
    int N, I, H, K, W, b, V, c;
    bool has_hidden;

    // What a block owns is numbered: column j of W, b_j, row j of V, c.
    __device__ int bias() const { return I; }
    __device__ int row() const { return I + 1; }
    __device__ int last() const { return I + 1 + K; }
    __device__ int owned() const { return has_hidden ? I + 1 + 2 * K : I + 1; }
    __device__ int place(int number, int unit) const {
        if (number < bias()) return W + number * H + unit;
        if (number == bias()) return b + unit;
        if (number < last()) return V + unit * K + number - row();
        return c + number - last();
    }
    __device__ bool decays(int number) const { return number != bias() && number < last(); }
    // Whether this block keeps that number when the launch ends: one does.
    __device__ bool keeps(int number) const { return number < last() || blockIdx.x == 0; }
};

// The loss of logits z (K,) and its gradient in their place: `softmax_cross_entropy` of losses.cu.
__device__ inline double loss_of_logits(float *z, long long label, int N, int K, double smoothing) {
    float top = z[0];
    for (int k = 1; k < K; k++) top = z[k] > top ? z[k] : top;
    const double picked = 0 <= label && label < K ? (double)z[label] - top : nan("");
    double sum = 0, mean = 0;
    for (int k = 0; k < K; k++) {
        double shifted = (double)z[k] - top;
        sum += z[k] = exp((float)shifted);
        mean += shifted / K;
    }
    for (int k = 0; k < K; k++) {
        double q = (k == label ? 1 - smoothing : 0) + smoothing / K;
        z[k] = (z[k] / sum - q) / N;
    }
    return log(sum) - (1 - smoothing) * picked - (smoothing > 0 ? smoothing * mean : 0);
}

// The same of sigmoids s (K,) that are divided by their sum, by the logits: `cross_entropy` of losses.cu, and
// `sigmoid_backward`.
__device__ inline double loss_of_sigmoids(float *s, long long label, int N, int K, float floor) {
    double sum = 0, picked = nan("");
    for (int k = 0; k < K; k++) {
        float score = s[k] < floor ? floor : s[k];
        sum += score;
        if (k == label) picked = score;
    }
    for (int k = 0; k < K; k++) {
        double slope = 1 / sum - (k == label ? 1 / picked : 0);
        float g = s[k] < floor ? 0 : slope / N;
        s[k] = g * s[k] * (1 - s[k]);
    }
    return log(sum / picked);
}

// Where the largest of y (K,) is: `place_of_largest` of losses.cu.
__device__ inline int largest_of(const float *y, int K) {
    int best = 0;
    for (int k = 1; k < K; k++) {
        bool is_first_nan = y[k] != y[k] && y[best] == y[best];
        if (y[k] > y[best] || is_first_nan) best = k;
    }
    return best;
}

// `count` steps.
//
//     images, labels           the data set (M, I), (M,)
//     order                    int64 (M,): a step learns the samples order[first], …, order[first + N - 1];
//                              where the data are `taken`, M = N, they are the samples of the one step to do
//     plan, totals             as in tinynet/stretch.py
//     last_loss                the loss of the last step
//     values, means, squares   the flat buffers of the parameters and of Adam's moments
//     exchanged                (2, H · (N + K)): what blocks tell each other
//     arrived                  (H,): see `wait_for_all_blocks`
//     has_sigmoids             outputs are sigmoids of z, and their loss `cross_entropy` with this `floor`; else
//                              the loss is that of logits, with this `smoothing`
//     scale, offset            of the pixels
//     beta1, …, decay          as in `adam`
template <typename Pixel>
__global__ void __launch_bounds__(256, 2)
    train_perceptron(int size, const Pixel *images, const long long *labels, const long long *order, double *plan,
                     double *totals, double *last_loss, float *values, float *means, float *squares,
                     float *exchanged, unsigned *arrived, int count, int N, int I, int H, int K, int W, int b, int V,
                     int c, bool is_taken, bool has_hidden, bool has_sigmoids, float scale, float offset, double smoothing,
                     float floor, double beta1, double beta2, float gain1, float gain2, float epsilon,
                     double decay) {
    const Perceptron net = {N, I, H, K, W, b, V, c, has_hidden};
    __shared__ float own[MOST_OWNED];
    __shared__ float own_means[MOST_OWNED];
    __shared__ float own_squares[MOST_OWNED];
    __shared__ float scores[MOST_SCORES];    // z, then ∂L/∂z
    __shared__ float activity[MOST_ROWS];    // this unit's, of each sample
    __shared__ float slopes[MOST_ROWS];      // and ∂L/∂ of what goes into it
    __shared__ double losses[MOST_ROWS];
    __shared__ bool right[MOST_ROWS];
    __shared__ int places[MOST_ROWS];        // of the samples, in the data set
    __shared__ float numbers[4];
    const int unit = blockIdx.x, lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int begin = (int)plan[0];
    unsigned times = arrived[unit];

    for (int i = threadIdx.x; i < net.owned(); i += blockDim.x) {
        const int place = net.place(i, unit);
        own[i] = values[place], own_means[i] = means[place], own_squares[i] = squares[place];
    }

    for (int step = 0; step < count; step++) {
        const double *now = plan + (begin + step) * COLUMNS;
        const long long *batch = order + (int)now[FIRST];
        float *const told = exchanged + step % 2 * H * (N + K), *const rows = told + H * N;
        for (int n = threadIdx.x; n < N; n += blockDim.x) places[n] = is_taken ? n : batch[n];
        __syncthreads();

        for (int n = warp; n < N; n += blockDim.x / 32) {
            const Pixel *x = images + places[n] * I;
            float sum = 0;
            UNROLLED
            for (int i = lane; i < I; i += 32) sum += own[i] * (scale * (float)x[i] + offset);
            for (int bit = 16; bit > 0; bit /= 2) sum += __shfl_xor_sync(~0u, sum, bit);
            sum += own[net.bias()];
            if (has_hidden) sum = sum < 0 ? 0 : sum;
            if (lane == 0) activity[n] = told[unit * N + n] = sum;
        }
        if (has_hidden)
            for (int k = threadIdx.x; k < K; k += blockDim.x) rows[unit * K + k] = own[net.row() + k];
        wait_for_all_blocks(arrived, ++times);

        for (int i = threadIdx.x; i < N * K; i += blockDim.x) {
            const int n = i % N, k = i / N;
            float sum = 0;
            if (has_hidden) {
                UNROLLED
                for (int j = 0; j < H; j++) sum += told[j * N + n] * rows[j * K + k];
                sum += own[net.last() + k];
            } else {
                sum = told[k * N + n];
            }
            scores[n * K + k] = has_sigmoids ? 1 / (1 + exp(-sum)) : sum;
        }
        __syncthreads();
        if (threadIdx.x == blockDim.x - 1) {  // it has no sample of a batch that is not full
            numbers[0] = now[RATE];
            numbers[1] = 1 / (1 - pow(beta1, now[UPDATE]));
            numbers[2] = 1 / (1 - pow(beta2, now[UPDATE]));
            numbers[3] = 1 - now[RATE] * decay;
        }
        for (int n = threadIdx.x; n < N; n += blockDim.x) {
            float *y = scores + n * K;
            const long long label = labels[places[n]];
            right[n] = largest_of(y, K) == label;
            losses[n] = has_sigmoids ? loss_of_sigmoids(y, label, N, K, floor)
                                     : loss_of_logits(y, label, N, K, smoothing);
            float sum = 0;
            if (has_hidden)
                for (int k = 0; k < K; k++) sum += scores[n * K + k] * own[net.row() + k];
            slopes[n] = !has_hidden ? scores[n * K + unit] : activity[n] > 0 ? sum : 0;
        }
        __syncthreads();

        for (int i = threadIdx.x; i < net.owned(); i += blockDim.x) {
            float g = 0;
            if (i < net.bias()) {
                UNROLLED
                for (int n = 0; n < N; n++) g += (scale * (float)images[places[n] * I + i] + offset) * slopes[n];
            } else if (i == net.bias()) {
                for (int n = 0; n < N; n++) g += slopes[n];
            } else if (i < net.last()) {
                for (int n = 0; n < N; n++) g += activity[n] * scores[n * K + i - net.row()];
            } else {
                for (int n = 0; n < N; n++) g += scores[n * K + i - net.last()];
            }
            const float mean = own_means[i] + gain1 * (g - own_means[i]);
            const float square = own_squares[i] + gain2 * (g * g - own_squares[i]);
            const float shrink = net.decays(i) ? numbers[3] : 1;
            own_means[i] = mean, own_squares[i] = square;
            own[i] = own[i] * shrink -
                     numbers[0] * (numbers[1] * mean / (sqrt(numbers[2] * square) + epsilon));
        }
        if (unit == 0 && threadIdx.x == 0) {
            double sum = 0;
            for (int n = 0; n < N; n++) sum += losses[n], totals[1] += right[n];
            *last_loss = 1.0 / N * sum;
            totals[0] += __dmul_rn(*last_loss, N);
        }
        __syncthreads();
    }

    for (int i = threadIdx.x; i < net.owned(); i += blockDim.x) {
        if (!net.keeps(i)) continue;
        const int place = net.place(i, unit);
        values[place] = own[i], means[place] = own_means[i], squares[place] = own_squares[i];
    }
    if (unit == 0 && threadIdx.x == 0) plan[0] = begin + count;
}
