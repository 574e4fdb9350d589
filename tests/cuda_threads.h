// The threads of a launch for a host compiler, with all by which they work together.
//
// Each thread is a fiber: it has a stack of its own and runs until it waits. A barrier or a shuffle lets it go
// on when all have come; where some cannot come, the launch fails and says so. Blocks run one after the other;
// in a cooperative launch all are there at once, and may wait for each other. What a GPU leaves open is chosen
// by `schedule`, and a kernel must be right under every choice.
//     bit 0    blocks, and threads of a block, run from the last to the first, or from the first to the last
//     bit 1    an asynchronous copy is done when it is waited for, or at once; and shared memory holds NaN when a
//              block begins, or 0
//     the rest    0: blocks take turns whenever their threads wait. 1: a block runs as far as it can. Else warps
//                 run as far as they can, in an order of chance, of which this number is the seed
#include <math.h>
#include <setjmp.h>
#include <string.h>
#include <ucontext.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <deque>
#include <memory>
#include <random>
#include <tuple>
#include <utility>
#include <vector>

#define __global__ static
#define __device__
#define __launch_bounds__(...)

// Results that are rounded before anything else is done with them.
#define ROUNDED(name, expression)                  \
    static inline double name(double a, double b) { \
        volatile double result = expression;       \
        return result;                             \
    }
ROUNDED(__dadd_rn, a + b)
ROUNDED(__dsub_rn, a - b)
ROUNDED(__dmul_rn, a * b)
ROUNDED(__ddiv_rn, a / b)
static inline double __dsqrt_rn(double a) { return sqrt(a); }

struct Dimension {
    unsigned x;
};
static Dimension blockIdx, blockDim, gridDim, threadIdx;

namespace emulated {

constexpr unsigned LANES = 32;
constexpr std::size_t STACK = 128 << 10, SHARED_MEMORY = 48 << 10;

enum Wait { NOTHING, BARRIER, WARP, SPIN, ENDED };
struct Copy {
    void *to;
    const void *from;
    std::size_t bytes;
    bool is_valid;
    void land() const { is_valid ? memcpy(to, from, bytes) : memset(to, 0, bytes); }
};
struct Thread {
    unsigned number = 0, block = 0, exchanges = 0;
    Wait waits = NOTHING;
    bool has_begun = false, has_fenced = false;
    jmp_buf place;
    ucontext_t start;
    std::unique_ptr<char[]> stack{new char[STACK]};
    std::vector<Copy> open;
    std::vector<std::vector<Copy>> groups;
};
static std::deque<Thread> threads;  // of the blocks that are there, block by block
static Thread *present;
static jmp_buf scheduler;
static unsigned choices;
static std::minstd_rand chance;
static const char *problem;
static void (*kernel)(void *);
static void *kernel_data;

// Lets the present thread wait: others run, and it goes on when it is let.
static void wait_for(Wait what) {
    present->waits = what;
    if (_setjmp(present->place) == 0) _longjmp(scheduler, 1);
}

// Gives up the launch.
static void fail(const char *why) {
    problem = why;
    wait_for(ENDED);
}

static void all_kernels() {
    for (;;) {
        kernel(kernel_data);
        wait_for(ENDED);
    }
}

static void run_until_it_waits(Thread &thread) {
    present = &thread, threadIdx.x = thread.number, blockIdx.x = thread.block;
    if (_setjmp(scheduler) != 0) return;
    if (thread.has_begun) _longjmp(thread.place, 1);
    thread.has_begun = true;
    getcontext(&thread.start);
    thread.start.uc_stack.ss_sp = thread.stack.get(), thread.start.uc_stack.ss_size = STACK;
    makecontext(&thread.start, all_kernels, 0);
    setcontext(&thread.start);
}

static unsigned count(Wait what, unsigned begin, unsigned end) {
    unsigned found = 0;
    for (unsigned i = begin; i < end; i++) found += threads[i].waits == what;
    return found;
}

// Lets those go on who waited for each other and are all here; whether there were any.
static bool release(unsigned begin, unsigned end, Wait what) {
    if (count(what, begin, end) < end - begin) return false;
    for (unsigned i = begin; i < end; i++) threads[i].waits = NOTHING;
    return true;
}

struct SharedMemory {
    alignas(16) char bytes[SHARED_MEMORY];
    std::size_t used;
};
static std::deque<SharedMemory> shared_memories;  // of the blocks that are there
static unsigned first_block;
static unsigned long group_number;

// What the __shared__ declaration in LINE names: the same memory for all threads of a block.
template <typename T, std::size_t COUNT, int LINE>
T *shared() {
    static unsigned long declared_in;
    static std::vector<T *> places;
    if (declared_in != group_number) declared_in = group_number, places.assign(shared_memories.size(), nullptr);
    T *&place = places[blockIdx.x - first_block];
    if (!place) {
        SharedMemory &memory = shared_memories[blockIdx.x - first_block];
        place = reinterpret_cast<T *>(memory.bytes + memory.used);
        memory.used += (COUNT * sizeof(T) + 15) / 16 * 16;
        if (memory.used > SHARED_MEMORY) fail("a block declares more than 48 KiB of shared memory");
        memset(place, choices & 2 ? 0 : 0xFF, COUNT * sizeof(T));
    }
    return place;
}

// The i-th of `count` to run.
static unsigned in_order(unsigned i, unsigned count) { return choices & 1 ? i : count - 1 - i; }

// Lets the threads [begin, end), whole warps of a block, run until each waits; whether one came to a new place.
static bool run_warps(unsigned begin, unsigned end) {
    bool some = false;
    for (unsigned i = begin; i < end; i++) {
        Thread &next = threads[begin + in_order(i - begin, end - begin)];
        if (next.waits != NOTHING) continue;
        run_until_it_waits(next);
        if (problem) return false;
        some |= next.waits != SPIN;
    }
    for (unsigned first = begin; first < end; first += LANES)
        some |= release(first, std::min(first + LANES, end), WARP);
    return some;
}

// Parts of the present blocks, `length` threads of each, in the order in which they are to run.
static std::vector<std::pair<unsigned, unsigned>> parts(unsigned blocks, unsigned size, unsigned length) {
    std::vector<std::pair<unsigned, unsigned>> found;
    for (unsigned i = 0; i < blocks; i++)
        for (unsigned begin = 0, block = in_order(i, blocks) * size; begin < size; begin += length)
            found.push_back({block + begin, block + std::min(begin + length, size)});
    return found;
}

// Lets all blocks run; whether one thread came to a new place.
static bool run_blocks(unsigned blocks, unsigned size) {
    const unsigned way = choices >> 2;
    bool some = false;
    auto order = parts(blocks, size, way > 1 ? LANES : size);
    if (way > 1) std::shuffle(order.begin(), order.end(), chance);
    for (auto [begin, end] : order)
        do {
            const bool moved = run_warps(begin, end), met = release(begin / size * size, begin / size * size + size, BARRIER);
            if (problem) return false;
            if (!moved && !met) break;
            some = true;
        } while (way);
    return some;
}

// Lets those go on who look again and again for what another block writes; whether there were any.
static bool look_again() {
    bool some = false;
    for (Thread &thread : threads)
        if (thread.waits == SPIN) thread.waits = NOTHING, some = true;
    return some;
}

// Runs `blocks` blocks of `size` threads that are there at once.
static void run_together(unsigned first, unsigned blocks, unsigned size) {
    first_block = first, group_number++, chance.seed(choices);
    shared_memories.resize(blocks), threads.resize(blocks * size);
    for (SharedMemory &each : shared_memories) each.used = 0;
    for (unsigned i = 0; i < blocks * size; i++) {
        threads[i].number = i % size, threads[i].block = first + i / size, threads[i].waits = NOTHING;
        threads[i].has_fenced = false, threads[i].open.clear(), threads[i].groups.clear();
    }
    for (bool looked = false; count(ENDED, 0, blocks * size) < blocks * size;) {
        const bool some = run_blocks(blocks, size);
        if (problem) return;
        if (!some && (looked || !look_again()))
            return (void)(problem = "threads wait for others that do not come there");
        looked = !some;
    }
}

// kernel(*arguments[0], *arguments[1], …) for every thread of every block. Returns what is wrong with the kernel,
// or null.
template <typename... Types, std::size_t... I>
const char *run(void (*function)(Types...), unsigned blocks, unsigned size, bool together, void **arguments,
                std::index_sequence<I...>) {
    auto call = [&] { function(*static_cast<Types *>(arguments[I])...); };
    kernel = [](void *data) { (*static_cast<decltype(call) *>(data))(); };
    kernel_data = &call, blockDim.x = size, gridDim.x = blocks, problem = nullptr;
    if (together)
        run_together(0, blocks, size);
    else
        for (unsigned i = 0; !problem && i < blocks; i++) run_together(in_order(i, blocks), 1, size);
    if (problem)
        for (Thread &thread : threads) thread.has_begun = false;  // what it was at is given up
    return problem;
}
template <typename... Types>
const char *run(void (*function)(Types...), unsigned blocks, unsigned size, bool together, void **arguments) {
    return run(function, blocks, size, together, arguments, std::index_sequence_for<Types...>());
}

// What each lane of a warp posts, for all of them to read: [lane]. It lasts until the exchange after the next.
template <typename T>
const T *exchange(const T &mine) {
    static std::deque<std::array<T, 2 * LANES>> boards;  // one for each warp
    Thread &me = *present;
    const std::size_t warps = (blockDim.x + LANES - 1) / LANES;
    boards.resize(std::max(boards.size(), shared_memories.size() * warps));
    T *board = boards[(me.block - first_block) * warps + me.number / LANES].data() + me.exchanges++ % 2 * LANES;
    board[me.number % LANES] = mine;
    wait_for(WARP);
    return board;
}
static unsigned lane() { return present->number % LANES; }

template <typename T>
T shuffle(unsigned mask, T value, unsigned from) {
    if (mask != ~0u) fail("a shuffle of less than a warp is not emulated");
    const T *all = exchange(value);
    return all[from < LANES ? from : lane()];
}

}  // namespace emulated

extern "C" void schedule(unsigned choices) { emulated::choices = choices; }

static void __syncthreads() { emulated::wait_for(emulated::BARRIER); }
// What a fence is for cannot go wrong here. But a block that tells others of its work, by counting, must have had
// all its threads fence before.
static void __threadfence() { emulated::present->has_fenced = true; }
static unsigned atomicInc(unsigned *counter, unsigned most) {
    const unsigned first = (emulated::present->block - emulated::first_block) * blockDim.x;
    for (unsigned i = first; i < first + blockDim.x; i++) {
        if (!emulated::threads[i].has_fenced) emulated::fail("a block counts before all its threads have fenced");
        emulated::threads[i].has_fenced = false;
    }
    const unsigned before = *counter;
    *counter = before >= most ? 0 : before + 1;
    return before;
}
static void look_again_later() { emulated::wait_for(emulated::SPIN); }
static void __syncwarp() { emulated::wait_for(emulated::WARP); }
template <typename T>
T __shfl_sync(unsigned mask, T value, int from) {
    return emulated::shuffle(mask, value, from % 32u);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int bits) {
    return emulated::shuffle(mask, value, emulated::lane() ^ bits);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned by) {
    return emulated::shuffle(mask, value, emulated::lane() + by);
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned by) {
    return emulated::shuffle(mask, value, emulated::lane() - by);
}
