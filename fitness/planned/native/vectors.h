/* Vectors of the machine's width, in the extension of gcc and clang, without alignment. */

#ifndef VECTORS_H
#define VECTORS_H

#include <string.h>

#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif

/* Number of vectors across that a kernel sums at once, for 32 registers or the 16 of AVX2. */
#if defined(__AVX512F__) || defined(__aarch64__)
#define MOST_ACROSS 4
#else
#define MOST_ACROSS 2
#endif

#define LANES ((long)(VECTOR_BYTES / sizeof(REAL)))
#define INLINE static inline __attribute__((always_inline))

typedef REAL vec __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(REAL)), may_alias));

/* Forces v into a register; gcc would otherwise load it again for each product. */
#if defined(__x86_64__)
#define IN_REGISTER(v) __asm__("" : "+v"(v))
#elif defined(__aarch64__)
#define IN_REGISTER(v) __asm__("" : "+w"(v))
#else
#define IN_REGISTER(v)
#endif

INLINE vec load(const REAL *p) { return *(const vec *)p; }
INLINE void store(REAL *p, vec v) { *(vec *)p = v; }
INLINE long least(long a, long b) { return a < b ? a : b; }

/* Loads `count` numbers at p, followed by zeros; half a vector, the most frequent part, is a single move. */
INLINE vec load_part(const REAL *p, long count) {
    vec v = {0};
    if (count >= LANES) return load(p);
    if (count == LANES / 2) memcpy(&v, p, VECTOR_BYTES / 2);
    else memcpy(&v, p, (size_t)count * sizeof(REAL));
    return v;
}

INLINE void store_part(REAL *p, vec v, long count) {
    if (count >= LANES) store(p, v);
    else if (count == LANES / 2) memcpy(p, &v, VECTOR_BYTES / 2);
    else memcpy(p, &v, (size_t)count * sizeof(REAL));
}

/* Rounds up to whole vectors. */
INLINE long padded(long count) { return (count + LANES - 1) / LANES * LANES; }

#endif
