// SPDX-License-Identifier: MIT
// SHA-256 (FIPS 180-4) of a block of memory, for tests that know only the hash of what they expect.
#ifndef TESTS_SHA256_H
#define TESTS_SHA256_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static inline uint32_t sha256_rotate(uint32_t x, int n) { return x >> n | x << (32 - n); }

// The first 32 bits of the fraction of the square (root 2, initial state) or cube (root 3, round
// constants) root of the index-th prime, by bisection in integers.
static inline uint32_t sha256_constant(int index, int root) {
    uint64_t prime = 1;
    for (int found = -1; found < index;) {
        prime++;
        uint64_t d = 2;
        while (d * d <= prime && prime % d != 0) d++;
        if (d * d > prime) found++;
    }
    uint64_t low = 0, high = UINT64_C(1) << 37; // root * 2^32, below 2^5 * 2^32
    while (high - low > 1) {
        unsigned __int128 middle = (low + high) / 2, power = middle * middle;
        unsigned __int128 target = (unsigned __int128)prime << 64;
        // Cubes need 2^96 * prime: compare middle^3 with it through a division.
        int above = root == 2 ? power > target : power > (target << 32) / middle;
        if (above) high = (uint64_t)middle;
        else low = (uint64_t)middle;
    }
    return (uint32_t)low;
}

static inline void sha256_block(uint32_t h[8], const uint32_t k[64], const uint8_t *p) {
    uint32_t w[64], v[8];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 |
               (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
    for (int i = 16; i < 64; i++) {
        uint32_t a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + w[i - 7] + (sha256_rotate(a, 7) ^ sha256_rotate(a, 18) ^ a >> 3) +
               (sha256_rotate(b, 17) ^ sha256_rotate(b, 19) ^ b >> 10);
    }
    memcpy(v, h, sizeof v);
    for (int i = 0; i < 64; i++) {
        uint32_t a = v[0], e = v[4];
        uint32_t one = v[7] + (sha256_rotate(e, 6) ^ sha256_rotate(e, 11) ^ sha256_rotate(e, 25)) +
                       ((e & v[5]) ^ (~e & v[6])) + k[i] + w[i];
        uint32_t two = (sha256_rotate(a, 2) ^ sha256_rotate(a, 13) ^ sha256_rotate(a, 22)) +
                       ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));
        memmove(v + 1, v, 7 * sizeof *v);
        v[4] += one;
        v[0] = one + two;
    }
    for (int i = 0; i < 8; i++) h[i] += v[i];
}

// hex: 64 digits and a zero.
static inline void sha256(const void *data, size_t size, char hex[65]) {
    uint32_t h[8], k[64];
    for (int i = 0; i < 8; i++) h[i] = sha256_constant(i, 2);
    for (int i = 0; i < 64; i++) k[i] = sha256_constant(i, 3);
    const uint8_t *p = data;
    size_t left = size;
    for (; left >= 64; left -= 64, p += 64) sha256_block(h, k, p);
    uint8_t tail[128] = {0};
    memcpy(tail, p, left);
    tail[left] = 0x80;
    size_t end = left < 56 ? 64 : 128;
    for (size_t i = 0; i < 8; i++) tail[end - 1 - i] = (uint8_t)((uint64_t)size * 8 >> (8 * i));
    for (size_t i = 0; i < end; i += 64) sha256_block(h, k, tail + i);
    for (int i = 0; i < 8; i++) snprintf(hex + 8 * i, 9, "%08x", (unsigned)h[i]);
}

#endif
