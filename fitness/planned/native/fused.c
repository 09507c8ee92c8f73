/* Fused kernels of planned forwards on a CPU, in one thread, for maps [images, height, width, channels].
 *
 *   combine   per image, in cache: convolutions that no other step reads, sum of {alias, normalised map, pooled map} -> value,
 *             and its ReLU -> active
 *   reduce    per tile of columns, in cache: column minimum and maximum over the images -> rows in [0, 1] -> Gram matrix
 *   covary    per tile of pixels, in cache: centred channels -> their covariance
 *
 * Compiled with -DREAL=float -DWHOLE=int32_t or -DREAL=double -DWHOLE=int64_t. Loops run over rows of pixels, so that their speed
 * does not depend on the number of channels, and are simple enough for a compiler to vectorise. Results equal those of the eager
 * backend up to the order of sums.
 */

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "convolve.h"

#define EPS (sizeof(REAL) == 4 ? (REAL)FLT_EPSILON : (REAL)DBL_EPSILON)
#define LEAST_NORMAL (sizeof(REAL) == 4 ? (REAL)FLT_MIN : (REAL)DBL_MIN)
#define TILE 256     /* columns that are reduced at once; sixteen rows of them fill half of a first-level cache */
#define CHUNK 4096   /* columns whose sums are in the precision of the maps */

enum { ALIAS = 0, NORM = 1, POOL = 2 };

/* Integer of the size of REAL, by -DWHOLE. */
typedef WHOLE whole;
typedef WHOLE codes __attribute__((vector_size(VECTOR_BYTES)));

static REAL square_root(REAL x) { return sizeof(REAL) == 4 ? (REAL)__builtin_sqrtf((float)x) : (REAL)__builtin_sqrt((double)x); }

/* Computes mean, 1 / deviation and variance of `count` (at most LANES) channels of one image [height, width, channels] in one pass. Values
 * are relative to the first pixel, which is as close to the mean as they are to each other, so that no digits cancel. */
INLINE void moments_of(const REAL *restrict x, long height, long width, long channels, long count, REAL eps, vec *mean, vec *scale,
                       vec *variance) {
    vec first = load_part(x, count), sum = {0}, square = {0};
    for (long h = 0; h < height; h++) {
        vec s[4] = {{0}}, q[4] = {{0}};
        for (long w = 0; w < width; w += 4)
            for (int k = 0; k < 4; k++)
                if (w + k < width) {
                    vec d = load_part(x + (h * width + w + k) * channels, count) - first;
                    s[k] += d;
                    q[k] += d * d;
                }
        sum += (s[0] + s[1]) + (s[2] + s[3]);
        square += (q[0] + q[1]) + (q[2] + q[3]);
    }
    vec middle = sum / (REAL)(height * width);
    *mean = first + middle;
    *variance = square / (REAL)(height * width) - middle * middle;
    for (long k = 0; k < LANES; k++) {
        if ((*variance)[k] < 0) (*variance)[k] = 0;
        (*scale)[k] = 1 / square_root((*variance)[k] + eps);
    }
}

#include "gradients.h"

/* Computes each channel's mean and 1 / deviation of one image, repeated over a row of pixels. */
static void moments(const REAL *restrict x, long height, long width, long channels, REAL eps, REAL *restrict mean, REAL *restrict scale) {
    for (long c = 0; c < channels; c += LANES) {
        vec m, s, v;
        if (channels - c >= LANES) moments_of(x + c, height, width, channels, LANES, eps, &m, &s, &v);
        else moments_of(x + c, height, width, channels, channels - c, eps, &m, &s, &v);
        store_part(mean + c, m, channels - c);
        store_part(scale + c, s, channels - c);
    }
    for (long r = channels; r < width * channels; r++) mean[r] = mean[r - channels], scale[r] = scale[r - channels];
}

/* Adds the average over the 3 x 3 window of each pixel of row `h` to `out`; `sum` [row + 2 channels] is scratch. */
static void add_pooled(const REAL *restrict x, long h, long height, long row, long channels, REAL *restrict sum, REAL *restrict out) {
    long first = h > 0 ? h - 1 : h, last = h + 1 < height ? h + 1 : h, rows = last - first + 1, width = row / channels;
    REAL *middle = sum + channels;
    const REAL *restrict top = x + first * row, *restrict low = x + last * row;
    memset(sum, 0, channels * sizeof(REAL));
    memset(middle + row, 0, channels * sizeof(REAL));
    if (rows == 3)
        for (long r = 0; r < row; r++) middle[r] = (top[r] + low[r]) + top[row + r];
    else if (rows == 2)
        for (long r = 0; r < row; r++) middle[r] = top[r] + low[r];
    else
        memcpy(middle, top, row * sizeof(REAL));
    for (long w = 0; w < width;) {
        int inside = w > 0 && w + 1 < width;
        long end = inside ? width - 1 : w + 1, across = 1 + (w > 0) + (w + 1 < width);
        REAL part = 1 / (REAL)(rows * across);
        for (long r = w * channels; r < end * channels; r++) out[r] += (middle[r - channels] + middle[r] + middle[r + channels]) * part;
        w = end;
    }
}

/* Summand. If it is a convolution, `source` [images, height, width, inputs] is its input, and it is computed image by image. */
struct term {
    long kind;        /* ALIAS, NORM or POOL */
    long convolution; /* kind of convolve.h, or -1 if `source` is the map itself */
    long inputs;      /* channels, height and width of the input of the convolution */
    long height;
    long width;
    const REAL *source;
    const REAL *weight;
};

/* Number of images that are convolved before they are summed: one, or several small ones that share loads of the weights. */
static long images_together(long images, long height, long width) {
    long tiles = ((height + EDGE - 1) / EDGE) * ((width + EDGE - 1) / EDGE);
    return least(images, groups(tiles));
}

static long combine_room(long images, long height, long width, long channels, long terms, const struct term *term) {
    long row = padded(width * channels), together = images_together(images, height, width), most = 0, made = 0;
    for (long t = 0; t < terms; t++)
        if (term[t].convolution >= 0) {
            long room = convolve_room(term[t].convolution, together, term[t].height, term[t].width, term[t].inputs, channels);
            made += together * height * row;
            most = room > most ? room : most;
        }
    return (2 + 2 * terms) * row + padded(2 * channels) + made + most;
}

/* Value r of a row of a sum: the previous terms unless this is the first, plus the term itself, shifted and scaled for NORM. */
INLINE REAL summed(const int kind, const int first, const REAL *restrict before, const REAL *restrict x, const REAL *restrict mean,
                   const REAL *restrict scale, long r) {
    REAL part = kind == ALIAS ? x[r] : (x[r] - mean[r]) * scale[r];
    return first ? part : before[r] + part;
}

INLINE void add_part(const int kind, const int first, REAL *restrict total, const REAL *restrict x, const REAL *restrict mean,
                     const REAL *restrict scale, long row) {
    for (long r = 0; r < row; r++) total[r] = summed(kind, first, total, x, mean, scale, r);
}

/* Adds row `h` of a map to total, or writes it if it is the `first`; patterns [2, padded row] are mean and 1 / deviation. */
static void add_term(long kind, int first, const REAL *restrict map, long h, long height, long row, long channels,
                     const REAL *restrict patterns, REAL *restrict window, REAL *restrict total) {
    const REAL *restrict x = map + h * row, *restrict mean = patterns, *restrict scale = patterns + padded(row);
    if (kind == POOL) {
        if (first) memset(total, 0, row * sizeof(REAL));
        add_pooled(map, h, height, row, channels, window, total);
    } else if (kind == ALIAS) {
        if (first) add_part(ALIAS, 1, total, x, mean, scale, row);
        else add_part(ALIAS, 0, total, x, mean, scale, row);
    } else {
        if (first) add_part(NORM, 1, total, x, mean, scale, row);
        else add_part(NORM, 0, total, x, mean, scale, row);
    }
}

/* Adds the last term, stores the sum in value and its ReLU in out, if they are needed, and updates the ReLU's largest value.
 * Non-negative numbers are ordered as the integers with the same bits, which a compiler may compare in any order. */
INLINE void close_row(const int kind, const int first, const int kept, const int active, const REAL *restrict total,
                      const REAL *restrict x, const REAL *restrict mean, const REAL *restrict scale, long row, REAL *restrict value,
                      REAL *restrict out, whole *largest) {
    whole most = *largest;
    for (long r = 0; r < row; r++) {
        REAL v = summed(kind, first, total, x, mean, scale, r);
        if (kept) value[r] = v;
        if (!active) continue;
        v = v < 0 ? 0 : v; /* NaN stays NaN. */
        whole bits;
        memcpy(&bits, &v, sizeof(REAL));
        out[r] = v;
        most = bits > most ? bits : most;
    }
    *largest = most;
}

#define CLOSE(kind, first)                                                                                                         \
    do {                                                                                                                           \
        if (!out) close_row(kind, first, 1, 0, total, x, mean, scale, row, value, out, largest);                                   \
        else if (value) close_row(kind, first, 1, 1, total, x, mean, scale, row, value, out, largest);                             \
        else close_row(kind, first, 0, 1, total, x, mean, scale, row, value, out, largest);                                        \
    } while (0)

/* close_row with arguments that are known at run time: kind of the last term, and whether it is the first; `value` or `out` may be
 * NULL. */
static void close_sum(long kind, int first, const REAL *total, const REAL *x, const REAL *patterns, long row, REAL *value, REAL *out,
                      whole *largest) {
    const REAL *mean = patterns, *scale = patterns + padded(row);
    if (kind == ALIAS) {
        if (first) CLOSE(ALIAS, 1);
        else CLOSE(ALIAS, 0);
    } else {
        if (first) CLOSE(NORM, 1);
        else CLOSE(NORM, 0);
    }
}

/* Computes a combine step; `value` or `active` may be NULL, and magnitude [images] is the largest value of active. If `room`, the
 * size of scratch in numbers, is too small, this and each function below only return the size that they need; else they return 0. */
long combine(long images, long height, long width, long channels, long terms, const struct term *term, double eps, REAL *value,
             REAL *active, REAL *magnitude, REAL *scratch, long room) {
    long needed = combine_room(images, height, width, channels, terms, term);
    if (room < needed) return needed;
    long row = width * channels, size = height * row, spread = padded(row), together = images_together(images, height, width);
    REAL *sum = scratch, *window = sum + spread, *patterns = window + spread + padded(2 * channels);
    REAL *convolved = patterns + 2 * terms * spread, *rest = convolved;
    for (long t = 0; t < terms; t++) rest += term[t].convolution >= 0 ? together * height * spread : 0;
    for (long i = 0; i < images; i++) {
        const REAL *maps[terms > 0 ? terms : 1];
        REAL *made = convolved;
        for (long t = 0; t < terms; t++) {
            maps[t] = term[t].source + i * size;
            if (term[t].convolution >= 0) {
                const struct term *own = term + t;
                if (i % together == 0)
                    make(own->convolution, least(together, images - i), own->height, own->width, own->inputs, channels,
                         own->source + i * own->height * own->width * own->inputs, own->weight, made, rest);
                maps[t] = made + i % together * size;
                made += together * height * spread;
            }
            if (term[t].kind == NORM)
                moments(maps[t], height, width, channels, (REAL)eps, patterns + 2 * t * spread, patterns + (2 * t + 1) * spread);
        }
        whole largest = 0;
        for (long h = 0; h < height; h++) {
            REAL *kept = value ? value + i * size + h * row : NULL, *out = active ? active + i * size + h * row : NULL;
            /* A pooled map at the end, or a sum without terms, is added before, so that only the sum itself remains. */
            long last = terms > 0 && term[terms - 1].kind != POOL ? terms - 1 : terms;
            if (terms == 0) memset(sum, 0, row * sizeof(REAL));
            for (long t = 0; t < last; t++)
                add_term(term[t].kind, t == 0, maps[t], h, height, row, channels, patterns + 2 * t * spread, window, sum);
            if (last < terms)
                close_sum(term[last].kind, last == 0, sum, maps[last] + h * row, patterns + 2 * last * spread, row, kept, out, &largest);
            else
                close_sum(ALIAS, 1, NULL, sum, patterns, row, kept, out, &largest);
        }
        if (active) memcpy(magnitude + i, &largest, sizeof(REAL));
    }
    return 0;
}

/* A Gram matrix is computed in blocks of 4 x ACROSS pairs of rows on and above the diagonal; each pair has a vector of sums. */
#define ACROSS MOST_ACROSS
#define PAIRS (4 * ACROSS)

static long gram_blocks(long n) { return n / 4 * (n / ACROSS); }

/* Adds the products of four rows p and ACROSS rows q, which start `offset` rows later, for pairs on and above the diagonal. */
INLINE void gram_block(const int offset, const REAL *restrict p, const REAL *restrict q, REAL *restrict sums) {
    vec a[4][ACROSS];
    for (int r = 0; r < 4; r++)
        for (int s = 0; s < ACROSS; s++) a[r][s] = load(sums + (r * ACROSS + s) * LANES);
    for (long c = 0; c < TILE; c += LANES) {
        vec x[4], y[ACROSS];
        for (int r = 0; r < 4; r++) x[r] = load(p + r * TILE + c);
        for (int s = 0; s < ACROSS; s++) y[s] = load(q + s * TILE + c);
        for (int r = 0; r < 4; r++) IN_REGISTER(x[r]);
        for (int s = 0; s < ACROSS; s++) IN_REGISTER(y[s]);
        for (int r = 0; r < 4; r++)
            for (int s = 0; s < ACROSS; s++)
                if (s + offset >= r) a[r][s] += x[r] * y[s];
    }
    for (int r = 0; r < 4; r++)
        for (int s = 0; s < ACROSS; s++) store(sums + (r * ACROSS + s) * LANES, a[r][s]);
}

/* Adds t t^T to the vectors of sums; t [n, TILE] with n a multiple of 4. */
static void add_gram(const REAL *restrict t, long n, REAL *restrict sums) {
    for (long i = 0; i < n; i += 4)
        for (long j = i; j < n; j += ACROSS, sums += PAIRS * LANES) {
            const REAL *p = t + i * TILE, *q = t + j * TILE;
            if (j == i) gram_block(0, p, q, sums);
            else if (j == i + 2) gram_block(2, p, q, sums);
            else gram_block(4, p, q, sums);
        }
}

/* Adds the vectors of sums of `rows` (at least n) rows to both triangles of gram [n, n], and clears them. */
static void take_gram(REAL *restrict sums, long rows, long n, double *restrict gram) {
    for (long i = 0; i < rows; i += 4)
        for (long j = i; j < rows; j += ACROSS)
            for (int r = 0; r < 4; r++)
                for (int s = 0; s < ACROSS; s++, sums += LANES) {
                    double sum = 0;
                    for (long lane = 0; lane < LANES; lane++) sum += sums[lane];
                    memset(sums, 0, LANES * sizeof(REAL));
                    if (i + r > j + s || j + s >= n) continue; /* Blocks on the diagonal only use their upper half. */
                    gram[(i + r) * n + j + s] += sum;
                    if (i + r < j + s) gram[(j + s) * n + i + r] += sum;
                }
}

/* Size of the scratch memory of the reductions of n rows, in numbers. */
static long reduce_room(long n) {
    long rows = (n + 3) / 4 * 4;
    return (rows + 2) * TILE + gram_blocks(rows) * PAIRS * LANES;
}

/* Copies columns of x [n, length] to tile [rows, TILE], padded with zeros. */
static long take_tile(const REAL *restrict x, long n, long rows, long length, long start, REAL *restrict tile) {
    long width = least(TILE, length - start);
    if (width < TILE) memset(tile, 0, rows * TILE * sizeof(REAL));
    for (long i = 0; i < n; i++) memcpy(tile + i * TILE, x + i * length + start, width * sizeof(REAL));
    return width;
}

INLINE REAL smaller(REAL a, REAL b) { return a < b ? a : b; }
INLINE REAL larger(REAL a, REAL b) { return a > b ? a : b; }

/* Extends the bounds `low` and `high` by n rows [n, TILE], four at a time to save stores. */
static void bounds(const REAL *restrict t, long n, REAL *restrict low, REAL *restrict high) {
    for (; n >= 4; n -= 4, t += 4 * TILE)
        for (long c = 0; c < TILE; c++) {
            REAL p = t[c], q = t[TILE + c], r = t[2 * TILE + c], s = t[3 * TILE + c];
            low[c] = smaller(low[c], smaller(smaller(p, q), smaller(r, s)));
            high[c] = larger(high[c], larger(larger(p, q), larger(r, s)));
        }
    for (; n > 0; n--, t += TILE)
        for (long c = 0; c < TILE; c++) low[c] = smaller(t[c], low[c]), high[c] = larger(t[c], high[c]);
}

/* Computes the sums of RowStatistics of one layer x [n, length] (RBFleX eq. 1): block [n^2 + 3 n + 1] holds the Gram matrix and sums
 * of the rows in [0, 1], sums and sums of squares of the raw rows, and the number of columns with a range above `shortest`. */
static void reduce_layer(const REAL *x, long n, long length, REAL shortest, double *block, REAL *scratch) {
    long rows = (n + 3) / 4 * 4, live = 0;
    REAL *restrict tile = scratch, *restrict low = tile + rows * TILE, *restrict scale = low + TILE, *pairs = scale + TILE;
    double *normalised_sums = block + n * n, *sums = normalised_sums + n, *squares = sums + n;
    memset(tile + n * TILE, 0, (rows - n) * TILE * sizeof(REAL));
    memset(pairs, 0, gram_blocks(rows) * PAIRS * LANES * sizeof(REAL));
    memset(block, 0, (n * n + 3 * n + 1) * sizeof(double));
    for (long start = 0; start < length; start += TILE) {
        take_tile(x, n, rows, length, start, tile);
        memcpy(low, tile, TILE * sizeof(REAL));
        memcpy(scale, tile, TILE * sizeof(REAL));
        bounds(tile + TILE, n - 1, low, scale);
        int alive = 0;
        for (long c = 0; c < TILE; c++) {
            REAL range = scale[c] - low[c];
            alive += range > shortest;
            scale[c] = range > shortest ? 1 / range : 0;
        }
        live += alive;
        for (long i = 0; i < n; i++) {
            REAL *restrict row = tile + i * TILE, sum = 0, square = 0, normalised = 0;
            for (long c = 0; c < TILE; c++) {
                REAL v = row[c], z = (v - low[c]) * scale[c];
                sum += v;
                square += v * v;
                normalised += z;
                row[c] = z;
            }
            sums[i] += sum; /* NaN and infinity reach these sums, even if they are lost in the others. */
            squares[i] += square;
            normalised_sums[i] += normalised;
        }
        add_gram(tile, rows, pairs);
        if ((start / TILE + 1) % (CHUNK / TILE) == 0 || start + TILE >= length) take_gram(pairs, rows, n, block);
    }
    block[n * n + 3 * n] = (double)live;
}

/* Returns the largest absolute value of x [length], compared as integers, see close_row; NaN is larger than infinity. */
static REAL largest_of(const REAL *restrict x, long length) {
    whole most = 0;
    for (long c = 0; c < length; c++) {
        REAL size = sizeof(REAL) == 4 ? (REAL)__builtin_fabsf((float)x[c]) : (REAL)__builtin_fabs((double)x[c]);
        whole bits;
        memcpy(&bits, &size, sizeof(REAL));
        most = bits > most ? bits : most;
    }
    REAL largest;
    memcpy(&largest, &most, sizeof(REAL));
    return largest;
}

/* Computes reduce_layer of layers x [layers, n, length]; `magnitude` [layers, n] are the rows' largest absolute values, which are
 * looked for if it is NULL. A column is live if its range exceeds `roundings` roundings of the layer's largest value. */
long reduce_rows(const REAL *x, long layers, long n, long length, const REAL *magnitude, double roundings, double *blocks,
                 REAL *scratch, long room) {
    if (room < reduce_room(n)) return reduce_room(n);
    for (long k = 0; k < layers; k++) {
        REAL largest = magnitude ? 0 : largest_of(x + k * n * length, n * length);
        for (long i = 0; magnitude && i < n; i++) largest = larger(magnitude[k * n + i], largest);
        reduce_layer(x + k * n * length, n, length, larger((REAL)roundings * EPS * largest, LEAST_NORMAL), blocks + k * (n * n + 3 * n + 1), scratch);
    }
    return 0;
}

/* Counts the columns in which both or neither of two rows are positive, for a layer x [n, length]: matches [n, n]. */
static void match_layer(const REAL *x, long n, long length, double *matches, REAL *scratch) {
    long rows = (n + 3) / 4 * 4;
    REAL *restrict tile = scratch, *pairs = tile + (rows + 2) * TILE;
    const REAL most = sizeof(REAL) == 4 ? (REAL)FLT_MAX : (REAL)DBL_MAX;
    int finite = 1;
    memset(tile + n * TILE, 0, (rows - n) * TILE * sizeof(REAL));
    memset(pairs, 0, gram_blocks(rows) * PAIRS * LANES * sizeof(REAL));
    memset(matches, 0, n * n * sizeof(double));
    for (long start = 0; start < length; start += TILE) {
        long width = take_tile(x, n, rows, length, start, tile);
        for (long i = 0; i < n; i++) {
            REAL *restrict row = tile + i * TILE;
            for (long c = 0; c < width; c++) {
                finite &= row[c] >= -most && row[c] <= most; /* NaN must not be taken for a dead unit. */
                row[c] = row[c] > 0 ? 1 : -1;
            }
        }
        add_gram(tile, rows, pairs);
        if ((start / TILE + 1) % (CHUNK / TILE) == 0 || start + TILE >= length) take_gram(pairs, rows, n, matches);
    }
    for (long k = 0; k < n * n; k++) matches[k] = finite ? (matches[k] + (double)length) / 2 : (double)NAN;
}

/* Computes match_layer of layers x [layers, n, length]. */
long reduce_signs(const REAL *x, long layers, long n, long length, double *matches, REAL *scratch, long room) {
    if (room < reduce_room(n)) return reduce_room(n);
    for (long k = 0; k < layers; k++) match_layer(x + k * n * length, n, length, matches + k * n * n, scratch);
    return 0;
}

/* Notes the code of each column of a layer x [n, length], n at most 16, in table [2^n + 1]: bit i is whether row i is positive. The
 * last entry is 1 if a value is not finite. */
static void note_patterns(const REAL *restrict x, long n, long length, unsigned char *restrict table) {
    const REAL most = sizeof(REAL) == 4 ? (REAL)FLT_MAX : (REAL)DBL_MAX;
    codes finite = {0};
    finite = ~finite;
    memset(table, 0, ((size_t)1 << n) + 1);
    for (long c = 0; c < length; c += LANES) {
        long width = least(LANES, length - c);
        codes found = {0};
        for (long i = 0; i < n; i++) {
            vec v = width < LANES ? load_part(x + i * length + c, width) : load(x + i * length + c);
            found |= (v > 0) & ((whole)1 << i);
            finite &= (v >= -most) & (v <= most); /* NaN must not be taken for a dead unit. */
        }
        for (long k = 0; k < width; k++) table[found[k]] = 1;
    }
    whole all = -1;
    for (long k = 0; k < LANES; k++) all &= finite[k];
    table[(long)1 << n] = !all;
    if (!all) memset(table, 0, (size_t)1 << n);
}

/* Computes note_patterns of layers x [layers, n, length]: tables [layers, 2^n + 1]. */
long reduce_patterns(const REAL *x, long layers, long n, long length, unsigned char *tables) {
    for (long k = 0; k < layers; k++) note_patterns(x + k * n * length, n, length, tables + k * (((long)1 << n) + 1));
    return 0;
}

#define PIXELS 64    /* pixels that are centred at once; those of 64 channels fill half of a first-level cache */
#define MOST_CHANNELS 4096
#define BLOCK 8      /* channels down a block of a covariance, and one or MOST_ACROSS / 2 vectors across */

/* sums[i, j] += sum over `pixels` of x[p, i] * x[p, j], for BLOCK rows i and `across` vectors j. */
INLINE void covary_block(const int across, const REAL *restrict rows, const REAL *restrict columns, long pixels, const long width,
                         REAL *restrict sums) {
    vec a[BLOCK][MOST_ACROSS / 2];
    for (int r = 0; r < BLOCK; r++)
        for (int v = 0; v < across; v++) a[r][v] = load(sums + r * width + v * LANES);
    for (long p = 0; p < pixels; p++) {
        vec y[MOST_ACROSS / 2];
        for (int v = 0; v < across; v++) y[v] = load(columns + p * width + v * LANES);
        for (int r = 0; r < BLOCK; r++)
            for (int v = 0; v < across; v++) a[r][v] += rows[p * width + r] * y[v];
    }
    for (int r = 0; r < BLOCK; r++)
        for (int v = 0; v < across; v++) store(sums + r * width + v * LANES, a[r][v]);
}

/* Adds x^T x of x [pixels, width] to sums [width, width], at least on and above the diagonal. */
static void covary(const REAL *restrict x, long pixels, long width, REAL *restrict sums) {
    for (long i = 0; i < width; i += BLOCK) {
        long j = i / LANES * LANES;
        for (; width - j >= MOST_ACROSS / 2 * LANES; j += MOST_ACROSS / 2 * LANES)
            covary_block(MOST_ACROSS / 2, x + i, x + j, pixels, width, sums + i * width + j);
        for (; j < width; j += LANES) covary_block(1, x + i, x + j, pixels, width, sums + i * width + j);
    }
}

/* Computes the covariance [channels, channels] of a map x [pixels, channels], of which the first `image` pixels are one image. Values
 * are relative to the mean of that image. It is as close to the mean of all as images differ, so that few digits cancel. */
static void covariance_of(const REAL *restrict x, long pixels, long image, long channels, double *restrict out, REAL *scratch) {
    long width = (channels + BLOCK - 1) / BLOCK * BLOCK;
    width = padded(width);
    REAL *restrict tile = scratch, *restrict sums = tile + PIXELS * width, *restrict shift = sums + width * width;
    memset(scratch, 0, (PIXELS + width + 1) * width * sizeof(REAL));
    memset(out, 0, channels * channels * sizeof(double));
    double means[MOST_CHANNELS] = {0};
    for (long c = 0; c < channels; c += LANES) {
        vec sum = {0};
        for (long p = 0; p < image; p++) sum += load_part(x + p * channels + c, channels - c);
        store(shift + c, sum / (REAL)image);
    }
    for (long start = 0; start < pixels; start += PIXELS) {
        long count = least(PIXELS, pixels - start);
        const REAL *restrict part = x + start * channels;
        for (long c = 0; c < channels; c += LANES) {
            vec from = load(shift + c), sum = {0};
            long wide = channels - c;
            for (long p = 0; p < count; p++) {
                vec centred = (wide < LANES ? load_part(part + p * channels + c, wide) : load(part + p * channels + c)) - from;
                sum += centred;
                store(tile + p * width + c, centred);
            }
            for (long k = 0; k < least(LANES, wide); k++) means[c + k] += sum[k];
        }
        covary(tile, count, width, sums);
        if ((start / PIXELS + 1) % (CHUNK / PIXELS) && start + PIXELS < pixels) continue;
        for (long i = 0; i < channels; i++)
            for (long j = i; j < channels; j++) out[i * channels + j] += sums[i * width + j];
        memset(sums, 0, width * width * sizeof(REAL));
    }
    for (long i = 0; i < channels; i++)
        for (long j = i; j < channels; j++) {
            double mean = means[i] / (double)pixels * (means[j] / (double)pixels);
            out[j * channels + i] = out[i * channels + j] = out[i * channels + j] / (double)pixels - mean;
        }
}

/* Reduces a symmetric matrix a [n, n] to a tridiagonal one with the same eigenvalues by reflections (Householder): diagonal [n] and
 * off-diagonal [n], of which the last is 0. `u`, `p` [n] are scratch. */
static void tridiagonalise(double *restrict a, long n, double *restrict diagonal, double *restrict off, double *restrict u,
                           double *restrict p) {
    for (long k = 0; k + 1 < n; k++) {
        double *restrict row = a + k * n, square = 0;
        diagonal[k] = row[k];
        for (long i = k + 2; i < n; i++) square += row[i] * row[i];
        off[k] = row[k + 1];
        if (square == 0) continue;
        double length = __builtin_sqrt(square + row[k + 1] * row[k + 1]);
        off[k] = row[k + 1] > 0 ? -length : length;
        memcpy(u + k + 1, row + k + 1, (n - k - 1) * sizeof(double));
        u[k + 1] -= off[k];
        double half = (square + u[k + 1] * u[k + 1]) / 2, dot = 0;
        for (long i = k + 1; i < n; i++) {
            double sum = 0;
            for (long j = k + 1; j < n; j++) sum += a[i * n + j] * u[j];
            p[i] = sum / half;
            dot += p[i] * u[i];
        }
        for (long i = k + 1; i < n; i++) p[i] -= dot / (2 * half) * u[i];
        for (long i = k + 1; i < n; i++) {
            double ui = u[i], pi = p[i];
            for (long j = k + 1; j < n; j++) a[i * n + j] -= ui * p[j] + pi * u[j];
        }
    }
    diagonal[n - 1] = a[n * n - 1];
    off[n - 1] = 0;
}

/* Replaces the diagonal [n] of a tridiagonal matrix by its eigenvalues (implicit QL with Wilkinson's shift). Returns 0 if a value does
 * not converge. */
static int tridiagonal_eigenvalues(double *restrict d, double *restrict e, long n) {
    double largest = 0; /* Relative to it, since eigenvalues of zero are round-off of the largest one. */
    for (long i = 0; i < n; i++) {
        double size = __builtin_fabs(d[i]) + __builtin_fabs(e[i]);
        largest = size > largest ? size : largest;
    }
    for (long l = 0; l < n; l++)
        for (int steps = 0;; steps++) {
            long m = l;
            while (m + 1 < n && __builtin_fabs(e[m]) > DBL_EPSILON * largest) m++;
            if (m == l) break;
            if (steps == 60) return 0;
            double g = (d[l + 1] - d[l]) / (2 * e[l]), r = __builtin_sqrt(g * g + 1), s = 1, c = 1, p = 0;
            g = d[m] - d[l] + e[l] / (g + (g < 0 ? -r : r));
            long i = m - 1;
            for (; i >= l; i--) {
                double f = s * e[i], b = c * e[i];
                e[i + 1] = r = __builtin_sqrt(f * f + g * g);
                if (r == 0) {
                    d[i + 1] -= p;
                    e[m] = 0;
                    break;
                }
                s = f / r;
                c = g / r;
                g = d[i + 1] - p;
                r = (d[i] - g) * s + 2 * c * b;
                p = s * r;
                d[i + 1] = g + p;
                g = c * r - b;
            }
            if (i >= l) continue;
            d[l] -= p;
            e[l] = g;
            e[m] = 0;
        }
    return 1;
}

/* Computes the eigenvalues [maps, channels] of the covariances of maps x [maps, images, pixels, channels]; NaN if x is not finite. */
long reduce_spectra(const REAL *x, long maps, long images, long pixels, long channels, double *eigenvalues, REAL *scratch, long room) {
    long width = padded((channels + BLOCK - 1) / BLOCK * BLOCK), numbers = 2 * (channels + 3) * channels + width;
    long needed = (PIXELS + width + 1) * width + numbers;
    if (room < needed) return needed;
    for (long k = 0; k < maps; k++) {
        double *own = eigenvalues + k * channels;
        int finite = 1;
        double *covariance = (double *)(scratch + (PIXELS + width + 1) * width), *off = covariance + channels * channels;
        covariance_of(x + k * images * pixels * channels, images * pixels, pixels, channels, covariance, scratch);
        for (long i = 0; i < channels * channels; i++) finite &= __builtin_fabs(covariance[i]) <= DBL_MAX;
        if (finite) tridiagonalise(covariance, channels, own, off, off + channels, off + 2 * channels);
        if (!finite || !tridiagonal_eigenvalues(own, off, channels))
            for (long i = 0; i < channels; i++) own[i] = (double)NAN;
    }
    return 0;
}
