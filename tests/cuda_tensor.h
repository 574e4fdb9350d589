// The instructions of kernels/cuda/instructions.cuh for a host compiler: see there what each does.
#include <algorithm>
#include <cmath>
#include <cstdint>

template <typename To, typename From>
static To same_bits(From from) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}
static float __uint_as_float(unsigned bits) { return same_bits<float>(bits); }
static unsigned __float_as_uint(float x) { return same_bits<unsigned>(x); }

static int forgotten(int x) { return x; }

// --- asynchronous copies ---

template <int BYTES>
static void copy_async(void *to, const void *from, bool is_valid) {
    if ((uintptr_t)to % BYTES || (uintptr_t)from % BYTES)
        return emulated::fail("an asynchronous copy begins off a boundary of its own size");
    emulated::present->open.push_back({to, from, BYTES, is_valid});
    if (emulated::choices & 2) emulated::present->open.back().land();
}
static void commit_copies() {
    emulated::Thread &me = *emulated::present;
    me.groups.push_back(std::move(me.open));
    me.open.clear();
}
template <int OPEN>
static void wait_for_copies() {
    auto &groups = emulated::present->groups;
    for (; groups.size() > OPEN; groups.erase(groups.begin()))
        if (!(emulated::choices & 2))
            for (const emulated::Copy &each : groups.front()) each.land();
}

// --- the tensor core ---

namespace emulated {

struct Factors {
    unsigned a[4], b[2];
};
static float read_as_tf32(unsigned bits) { return __uint_as_float(bits & 0xFFFFE000); }

static int exponent(double x) { return (int)(same_bits<uint64_t>(x) >> 52 & 2047) - 1023; }
static double power_of_two(int exponent) { return same_bits<double>((uint64_t)(1023 + exponent) << 52); }

// x without all that is smaller than the last of the 24 bits of a float as large as `like`, towards zero.
static double cut(double x, double like) {
    const int last = exponent(like) - 23;
    return (double)(long long)(x * power_of_two(-last)) * power_of_two(last);
}

static float read_as_bfloat(unsigned half) { return __uint_as_float(half << 16); }

// sum + Σ of some products: all are aligned to the largest of them and cut off at float's 24 bits, as is their
// sum. No GPU was seen to keep fewer bits (Fasi et al., "Numerical behavior of NVIDIA tensor cores", 2021).
template <int COUNT>
static float add_up(float sum, const double (&products)[COUNT]) {
    double largest = std::fabs((double)sum), plain = sum;
    for (double each : products) largest = std::max(largest, std::fabs(each)), plain += each;
    if (largest == 0 || !std::isfinite(largest + plain)) return plain;
    double total = cut(sum, largest);
    for (double each : products) total += cut(each, largest);
    return total == 0 ? 0 : (float)cut(total, total);
}

}  // namespace emulated

static void multiply_add(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    using namespace emulated;
    Factors mine;
    std::copy(a, a + 4, mine.a), std::copy(b, b + 2, mine.b);
    const Factors *all = exchange(mine);
    for (unsigned r = 0; r < 4; r++) {
        const unsigned row = lane() / 4 + 8 * (r / 2), column = lane() % 4 * 2 + r % 2;
        for (unsigned half = 0; half < 2; half++) {
            double products[4];
            for (unsigned k = 0; k < 4; k++)
                products[k] = (double)read_as_tf32(all[row % 8 * 4 + k].a[row / 8 + 2 * half]) *
                              read_as_tf32(all[column * 4 + k].b[half]);
            d[r] = add_up(d[r], products);
        }
    }
}

static unsigned bfloats(float first, float second) {
    auto rounded = [](float x) {
        const unsigned bits = __float_as_uint(x);
        return std::isnan(x) ? 0x7FFFu : (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
    };
    return rounded(first) | rounded(second) << 16;
}
static void multiply_add_bfloats(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    using namespace emulated;
    Factors mine;
    std::copy(a, a + 4, mine.a), std::copy(b, b + 2, mine.b);
    const Factors *all = exchange(mine);
    for (unsigned r = 0; r < 4; r++) {
        const unsigned row = lane() / 4 + 8 * (r / 2), column = lane() % 4 * 2 + r % 2;
        for (unsigned half = 0; half < 2; half++) {
            double products[8];  // as many at once as an A100 adds up
            for (unsigned k = 0; k < 8; k++) {
                const unsigned right = 16 * (1 - k % 2);  // the even number is in the lower half
                products[k] = (double)read_as_bfloat(all[row % 8 * 4 + k / 2].a[row / 8 + 2 * half] << right >> 16) *
                              read_as_bfloat(all[column * 4 + k / 2].b[half] << right >> 16);
            }
            d[r] = add_up(d[r], products);
        }
    }
}
