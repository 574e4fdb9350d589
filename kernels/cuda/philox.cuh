// Random words (Philox4x32-10, as tinynet/rng.py defines them).
//
// Block i of four words is a function of the counter (i, step, layer, stream) under the key (low, high) of the
// seed, so every thread draws its own block and nobody keeps a state. The step is read from the device: see
// optimizers.cu. (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011.)

#ifndef PHILOX_CUH
#define PHILOX_CUH

__device__ inline unsigned high_word(unsigned a, unsigned b) { return (unsigned long long)a * b >> 32; }

// words[0 … 3]: block number `block`
__device__ inline void draw(unsigned block, unsigned low, unsigned high, unsigned step, unsigned layer,
                            unsigned stream, unsigned *words) {
    unsigned c0 = block, c1 = step, c2 = layer, c3 = stream;
    for (int round = 0; round < 10; round++) {
        unsigned next0 = high_word(0xCD9E8D57u, c2) ^ c1 ^ low, next2 = high_word(0xD2511F53u, c0) ^ c3 ^ high;
        c1 = 0xCD9E8D57u * c2, c3 = 0xD2511F53u * c0;
        c0 = next0, c2 = next2;
        low += 0x9E3779B9u, high += 0xBB67AE85u;
    }
    words[0] = c0, words[1] = c1, words[2] = c2, words[3] = c3;
}

#endif
