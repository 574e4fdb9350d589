// Distorting images: what is drawn for each, a smooth random field, and the gather of each new pixel from the old
// image.
//
// What is drawn are whole numbers, made by operations that round alike everywhere (elementary.cuh). All the rest is
// arithmetic on whole numbers that the types hold exactly. So uint8 pixels are the same bits on every machine,
// however the compiler fuses and orders it.
#include "common.cuh"
#include "elementary.cuh"
#include "philox.cuh"

__device__ inline long long whole(Rounded x) { return (long long)rint(x.value); }

// The row of `places` of an image: tinynet/distortions.py, `affine`.
__device__ inline void affine(long long *place, int H, int W, Rounded rotation, Rounded down, Rounded right,
                              Rounded scale, Rounded shear) {
    Rounded sin, cos, rise, run;
    sine_and_cosine(rotation, &sin, &cos);
    sine_and_cosine(shear, &rise, &run);
    const Rounded slope = rise / run, middle = (H - 1) / 2.0, centre = (W - 1) / 2.0;
    const Rounded a = cos / scale, b = sin / scale;
    const Rounded d = (slope * cos - sin) / scale, e = (slope * sin + cos) / scale;
    const Rounded c = middle - a * (middle + down) - b * (centre + right);
    const Rounded f = centre - d * (middle + down) - e * (centre + right);
    const Rounded all[6] = {a, b, c, d, e, f};
    for (int k = 0; k < 6; k++) place[k] = whole(all[k] * 65536);
}

// The row of `erased` of an image: tinynet/distortions.py, `rectangles`.
__device__ inline void rectangle(long long *erased, int H, int W, Rounded area, Rounded ratio, Rounded vertical,
                                 Rounded horizontal) {
    const Rounded pixels = area * H * W;
    const double height = fmin(rint(__dsqrt_rn((pixels * ratio).value)), (double)H);
    const double width = fmin(rint((pixels / fmax(height, 1.0)).value), (double)W);
    const double top = floor((vertical * (Rounded(H) - height + 1)).value);
    const double left = floor((horizontal * (Rounded(W) - width + 1)).value);
    erased[0] = (long long)top, erased[1] = (long long)(top + height);
    erased[2] = (long long)left, erased[3] = (long long)(left + width);
}

// What is done to images `first`, first + 1, … of those that the key draws for; one thread an image.
//
//     places, contrast, erased   (N, 6), (N,) and (N, 4): see `warp`
//     growth                     (N,): see `grow`
//     low … stream               the key, as in philox.cu
//     first                      on the device, like the step
//     rotation … stroke          the limits: tinynet/distortions.py
__global__ void distortions(int size, long long *places, long long *contrast, long long *erased,
                            long long *growth, unsigned low, unsigned high, const double *step, unsigned layer,
                            unsigned stream, const double *first, int H, int W, double rotation, double shift,
                            double scale, double shear, double stretch, double erase, double stroke) {
    const int n = thread_index();
    if (n >= size) return;
    const unsigned begin = 10 * ((unsigned)*first + n);  // an even number: the ten words lie in three blocks
    unsigned words[12];
    for (int i = 0; i < 3; i++) draw(begin / 4 + i, low, high, (unsigned)*step, layer, stream, words + 4 * i);
    Rounded u[10], either[10];  // from 0 and from -1 to just below 1
    for (int i = 0; i < 10; i++) {
        u[i] = Rounded((begin % 4 ? words[i + 2] : words[i]) >> 8) * (1.0 / (1 << 24));
        either[i] = Rounded(2) * u[i] - 1;
    }
    constexpr double RADIAN = 3.141592653589793 / 180, LOG_RATIO = 1.0986122886681098;  // of 3
    affine(places + 6 * n, H, W, Rounded(rotation) * either[0] * RADIAN, Rounded(shift) * H * either[1],
           Rounded(shift) * W * either[2], Rounded(scale) * either[3] + 1, Rounded(shear) * either[4] * RADIAN);
    contrast[n] = whole((Rounded(stretch) * either[5] + 1) * 256);
    rectangle(erased + 4 * n, H, W, Rounded(erase) * u[6], exponential(Rounded(LOG_RATIO) * either[7]), u[8],
              u[9]);
    constexpr unsigned GROWTH_LAYER = 2;
    const unsigned at = (unsigned)*first + n;
    draw(at / 4, low, high, (unsigned)*step, GROWTH_LAYER, stream, words);
    const Rounded wider = Rounded(words[at % 4] >> 8) * (1.0 / (1 << 24));
    growth[n] = whole((Rounded(1.5) * wider - 0.5) * stroke * 256);
}

// A pass of growth: each pixel goes towards the largest (of an image that shrinks, the smallest) of itself and
// its eight neighbours, by the share of a pixel that is left after the passes before.
//
//     x, y       (N, H, W, C)
//     growth     (N,), in 256ths of a pixel
//     before     the passes before
//     is_whole   pixels are rounded to 0 … 255
template <typename Pixel>
__global__ void grow(int size, const Pixel *x, const long long *growth, Pixel *y, int H, int W, int C, int before,
                     bool is_whole) {
    int index = thread_index();
    if (index >= size) return;
    int c = index % C, j = index / C % W, i = index / C / W % H;
    int n = index / C / W / H;
    bool grows = growth[n] > 0;
    long long left = (grows ? growth[n] : -growth[n]) - 256 * before;
    const Pixel here = x[index];
    Pixel extreme = here;
    for (int u = i > 0 ? i - 1 : 0; u <= (i < H - 1 ? i + 1 : i); u++)
        for (int v = j > 0 ? j - 1 : 0; v <= (j < W - 1 ? j + 1 : j); v++) {
            Pixel other = x[((n * H + u) * W + v) * C + c];
            if (grows ? other > extreme : other < extreme) extreme = other;
        }
    double share = (left < 0 ? 0 : left > 256 ? 256 : left) / 256.0;
    double way = share * ((double)extreme - (double)here);
    if (is_whole) way = grows ? floor(way + 0.5) : -floor(0.5 - way);
    y[index] = (Pixel)(here + way);
}

// A random field, smoothed along columns, then along rows.
//
//     noise     (N, 2, H, W): a byte r stands for 2r - 255
//     taps      (reach + 1,): the weight of each distance
//     between   (N, 2, H, W): sums along columns
//     field     (N, 2, H, W): sums along rows, times `gain`, rounded
__global__ void weigh_columns(int size, const unsigned char *noise, const float *taps, float *between, int H,
                              int W, int reach) {
    int i = thread_index();
    if (i >= size) return;
    int row = i / W % H;
    float sum = 0;
    for (int t = -smaller(reach, row); t <= smaller(reach, H - 1 - row); t++)
        sum += taps[t < 0 ? -t : t] * (2 * (float)noise[i + t * W] - 255);
    between[i] = sum;
}
__global__ void weigh_rows(int size, const float *between, const float *taps, int *field, int W, int reach,
                           float gain) {
    int i = thread_index();
    if (i >= size) return;
    int column = i % W;
    float sum = 0;
    for (int t = -smaller(reach, column); t <= smaller(reach, W - 1 - column); t++)
        sum += taps[t < 0 ? -t : t] * between[i + t];
    field[i] = (int)rint(sum * gain);
}

// mean (N,): that of all the values of an image x (N, length), in 65536ths; rounded if is_whole
template <typename Real, typename Pixel>
__global__ void image_means(int size, const Pixel *x, Real *mean, int length, bool is_whole) {
    int n = thread_index();
    if (n >= size) return;
    double sum = 0;
    UNROLLED
    for (int k = 0; k < length; k++) sum += x[n * length + k];
    double value = 65536 * sum / length;
    mean[n] = is_whole ? rint(value) : value;
}

// On one axis of `extent` pixels: where a new pixel comes from, in 256ths, at most one pixel outside.
__device__ inline int locate(long long place, int extent) {
    long long at = (place + 128) >> 8;
    return at < -256 ? -256 : at > 256 * extent ? 256 * extent : (int)at;
}

// Each pixel of y is gathered from x: bilinear, to a 256th of a pixel, with zeros around the image.
//
//     x          (N, H, W, C)
//     places     (N, 6) = a … f: pixel (i, j) comes from row a i + b j + c, column d i + e j + f, in 65536ths
//     contrast   (N,): a factor about the mean, in 256ths
//     erased     (N, 4) = first row, end, first column, end of the rectangle that becomes 0
//     field      (N, 2, H, W), added to the places if is_bent
//     mean       (N,), in 65536ths
//     y          (N, H, W, C)
//     is_whole   pixels are rounded to 0 … 255; Real holds the sums
template <typename Real, typename Pixel>
__global__ void warp(int size, const Pixel *x, const long long *places, const long long *contrast,
                     const long long *erased, const int *field, const Real *mean, Pixel *y, int H, int W, int C,
                     bool is_bent, bool is_whole) {
    int index = thread_index();
    if (index >= size) return;
    int c = index % C, j = index / C % W, i = index / C / W % H;
    int n = index / C / W / H;
    const long long *p = places + 6 * n, *e = erased + 4 * n;
    long long row = p[0] * i + p[1] * j + p[2], column = p[3] * i + p[4] * j + p[5];
    if (is_bent) {
        row += field[((2 * n) * H + i) * W + j];
        column += field[((2 * n + 1) * H + i) * W + j];
    }
    int down = locate(row, H), across = locate(column, W);
    int top = down >> 8, left = across >> 8;
    Real below = down & 255, beside = across & 255;
    Real corner[2][2];
    for (int u = 0; u < 2; u++)
        for (int v = 0; v < 2; v++) {
            bool is_inside = 0 <= top + u && top + u < H && 0 <= left + v && left + v < W;
            corner[u][v] = is_inside ? (Real)x[((n * H + top + u) * W + left + v) * C + c] : (Real)0;
        }
    Real upper = (256 - beside) * corner[0][0] + beside * corner[0][1];
    Real lower = (256 - beside) * corner[1][0] + beside * corner[1][1];
    Real factor = contrast[n];
    Real value = (256 - below) * upper + below * lower;
    value = (factor * value + (256 - factor) * mean[n]) * (Real)(1.0 / (1 << 24));
    if (is_whole) {
        value = floor(value + (Real)0.5);
        value = value < 0 ? 0 : value > 255 ? 255 : value;
    }
    bool is_erased = e[0] <= i && i < e[1] && e[2] <= j && j < e[3];
    y[index] = is_erased ? (Pixel)0 : (Pixel)value;
}
