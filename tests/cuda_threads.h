// The threads of a block for a host compiler, with all by which they work together.
//
// Each thread is a fiber: it has a stack of its own and runs until it waits. A barrier or a shuffle lets it go
// on when all have come; where some cannot come, the launch fails and says so. What a GPU leaves open is chosen
// by `schedule`, and a kernel must be right under every choice.
//     bit 0    blocks, and threads of a block, run from the last to the first, or from the first to the last
//     bit 1    an asynchronous copy is done when it is waited for, or at once
//     bit 1    shared memory holds NaN when a block begins, or 0
#include <math.h>
#include <setjmp.h>
#include <string.h>
#include <ucontext.h>

#include <cstddef>
#include <memory>
#include <tuple>
#include <utility>
#include <vector>

#define __global__ static
#define __device__
#define __launch_bounds__(...)

// A product that is rounded before it is added to anything.
static inline double __dmul_rn(double a, double b) {
    volatile double product = a * b;
    return product;
}

struct Dimension {
    unsigned x;
};
static Dimension blockIdx, blockDim, threadIdx;

namespace emulated {

constexpr unsigned LANES = 32, MAX_THREADS = 256;
constexpr std::size_t STACK = 128 << 10, SHARED_MEMORY = 48 << 10;

enum Wait { NOTHING, BARRIER, WARP, ENDED };
struct Copy {
    void *to;
    const void *from;
    std::size_t bytes;
    bool is_valid;
    void land() const { is_valid ? memcpy(to, from, bytes) : memset(to, 0, bytes); }
};
struct Thread {
    unsigned number = 0, exchanges = 0;
    Wait waits = NOTHING;
    bool has_begun = false, has_fenced = false;
    jmp_buf place;
    ucontext_t start;
    std::unique_ptr<char[]> stack{new char[STACK]};
    std::vector<Copy> open;
    std::vector<std::vector<Copy>> groups;
};
static Thread threads[MAX_THREADS], *present;
static jmp_buf scheduler;
static unsigned choices;
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
    present = &thread, threadIdx.x = thread.number;
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

alignas(16) static char shared_memory[SHARED_MEMORY];
static std::size_t shared_used;
static unsigned long block_number;

// What the __shared__ declaration in LINE names: the same memory for all threads of a block.
template <typename T, std::size_t COUNT, int LINE>
T *shared() {
    static unsigned long declared_in;
    static T *place;
    if (declared_in != block_number) {
        declared_in = block_number, place = reinterpret_cast<T *>(shared_memory + shared_used);
        shared_used += (COUNT * sizeof(T) + 15) / 16 * 16;
        if (shared_used > SHARED_MEMORY) fail("a block declares more than 48 KiB of shared memory");
        memset(place, choices & 2 ? 0 : 0xFF, COUNT * sizeof(T));
    }
    return place;
}

static void run_block(unsigned size) {
    shared_used = 0, block_number++;
    for (unsigned i = 0; i < size; i++) {
        threads[i].number = i, threads[i].waits = NOTHING, threads[i].has_fenced = false;
        threads[i].open.clear(), threads[i].groups.clear();
    }
    while (count(ENDED, 0, size) < size) {
        for (unsigned i = 0; i < size; i++) {
            Thread &next = threads[choices & 1 ? i : size - 1 - i];
            if (next.waits == NOTHING) run_until_it_waits(next);
            if (problem) return;
        }
        bool some = false;
        for (unsigned first = 0; first < size; first += LANES)
            some |= release(first, first + LANES < size ? first + LANES : size, WARP);
        some = some || count(ENDED, 0, size) == size || release(0, size, BARRIER);
        if (!some) return (void)(problem = "threads wait for others that do not come there");
    }
}

// kernel(*arguments[0], *arguments[1], …) for every thread of every block.
// Returns what is wrong with the kernel, or null.
template <typename... Types, std::size_t... I>
const char *run(void (*function)(Types...), unsigned blocks, unsigned size, void **arguments,
                std::index_sequence<I...>) {
    auto call = [&] { function(*static_cast<Types *>(arguments[I])...); };
    kernel = [](void *data) { (*static_cast<decltype(call) *>(data))(); };
    kernel_data = &call, blockDim.x = size, problem = nullptr;
    for (unsigned i = 0; !problem && i < blocks; i++) blockIdx.x = choices & 1 ? i : blocks - 1 - i, run_block(size);
    if (problem)
        for (Thread &thread : threads) thread.has_begun = false;  // what it was at is given up
    return problem;
}
template <typename... Types>
const char *run(void (*function)(Types...), unsigned blocks, unsigned size, void **arguments) {
    return run(function, blocks, size, arguments, std::index_sequence_for<Types...>());
}

// What each lane of a warp posts, for all of them to read: [lane]. It lasts until the exchange after the next.
template <typename T>
const T *exchange(const T &mine) {
    static T posted[2][MAX_THREADS];
    Thread &me = *present;
    T *board = posted[me.exchanges++ % 2];
    board[me.number] = mine;
    wait_for(WARP);
    return board + me.number / LANES * LANES;
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
// Blocks run one after the other here, so what a fence is for cannot go wrong. But a block that tells others of
// its work, by counting, must have had all its threads fence before.
static void __threadfence() { emulated::present->has_fenced = true; }
static unsigned atomicInc(unsigned *counter, unsigned most) {
    for (unsigned i = 0; i < blockDim.x; i++) {
        if (!emulated::threads[i].has_fenced) emulated::fail("a block counts before all its threads have fenced");
        emulated::threads[i].has_fenced = false;
    }
    const unsigned before = *counter;
    *counter = before >= most ? 0 : before + 1;
    return before;
}
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
