/* Convolutions of maps [images, height, width, channels] in one thread, for use inside of `combine`.
 *
 *   WINOGRAD   3 x 3, stride 1, padding 1 (Lavin & Gray, CVPR 2016, F(4 x 4, 3 x 3)): 36 products for 16 pixels instead of 144
 *   POINTWISE  1 x 1
 *   POOLED     1 x 1 of the means of 2 x 2 windows
 *   STRIDED    3 x 3, stride 2, padding 1, as a product with gathered windows
 *
 * Weights are prepared, with outputs padded with zeros to whole vectors: [36, inputs, outputs] in Winograd's domain, else
 * [pixels of the kernel, inputs, outputs]. A few rows of tiles are processed at a time, so that transformed values stay in the
 * nearest caches.
 */

#include "vectors.h"

enum { WINOGRAD = 0, POINTWISE = 1, POOLED = 2, STRIDED = 3 };

#define EDGE 4         /* pixels of a tile */
#define POINTS 36      /* (EDGE + 2) squared */
#define TILES 16       /* minimum of tiles in a block, if the map has so many; they share loads of the weights */

/* out[row] = sum over c of x[row, c] * weight[c], for `rows` rows and `across` vectors, both known at compile time. */
INLINE void multiply_block(const int rows, const int across, const REAL *restrict x, const long x_step, const REAL *restrict weight,
                           const long outputs, const long inputs, REAL *restrict out, const long out_step) {
    vec sums[8][4];
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < across; v++) sums[r][v] = (vec){0};
    for (long c = 0; c < inputs; c++) {
        vec w[4];
        for (int v = 0; v < across; v++) w[v] = load(weight + c * outputs + v * LANES);
        for (int r = 0; r < rows; r++) {
            REAL number = x[r * x_step + c];
            for (int v = 0; v < across; v++) sums[r][v] += number * w[v];
        }
    }
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < across; v++) store(out + r * out_step + v * LANES, sums[r][v]);
}

#define ROWS(count, across)                                                                                                        \
    for (; rows - r >= count; r += count)                                                                                          \
        multiply_block(count, across, x + r * x_step, x_step, weight + k, outputs, inputs, out + r * out_step + k, out_step);

/* Product of x [rows, inputs] and weight [inputs, outputs]; outputs are whole vectors. */
INLINE void multiply_any(const REAL *restrict x, const long x_step, long rows, const REAL *restrict weight, const long outputs,
                         const long inputs, REAL *restrict out, const long out_step) {
    long k = 0;
#if MOST_ACROSS == 4
    for (; outputs - k >= 4 * LANES; k += 4 * LANES) {
        long r = 0;
        ROWS(6, 4) ROWS(4, 4) ROWS(1, 4)
    }
#endif
    for (; outputs - k >= 2 * LANES; k += 2 * LANES) {
        long r = 0;
        ROWS(2 * MOST_ACROSS, 2) ROWS(4, 2) ROWS(1, 2)
    }
    if (outputs - k >= LANES) {
        long r = 0;
        ROWS(8, 1) ROWS(4, 1) ROWS(1, 1)
    }
}

/* Strides that are known at compile time become addresses instead of arithmetic, which halves the time for few channels. */
#define SQUARE(width)                                                                                                              \
    if (inputs == width && outputs == width && x_step == points * width && out_step == points * width)                             \
        return multiply_any(x, points * width, rows, weight, width, width, out, points * width);

INLINE void multiply(const long points, const REAL *restrict x, long x_step, long rows, const REAL *restrict weight, long outputs,
                     long inputs, REAL *restrict out, long out_step) {
    SQUARE(16) SQUARE(32) SQUARE(64)
    multiply_any(x, x_step, rows, weight, outputs, inputs, out, out_step);
}

/* Points of the transforms: 0, +-A, +-B and infinity. The usual 1 and 2 have twice the rounding error. */
#define A ((REAL)0.75)
#define B ((REAL)1.5)
#define AB (A * A * B * B)
#define SUM (A * A + B * B)

/* One dimension of the transform of six inputs (B^T) and of six products (A^T). Weights are already transformed (G) and scaled to
 * save operations here: rows of B^T at 0 and infinity are divided by AB, columns of A^T at +-A and +-B by A and B. */
INLINE void transform_inputs(vec a, vec b, vec c, vec d, vec e, vec f, vec *out) {
    vec p = e - B * B * c, q = d - B * B * b, r = e - A * A * c, s = d - A * A * b;
    out[0] = (a - SUM / AB * c) + 1 / AB * e;
    out[1] = p + A * q;
    out[2] = p - A * q;
    out[3] = r + B * s;
    out[4] = r - B * s;
    out[5] = (b - SUM / AB * d) + 1 / AB * f;
}

INLINE void transform_products(vec a, vec b, vec c, vec d, vec e, vec f, vec *out) {
    vec p = b + c, m = b - c, q = d + e, n = d - e;
    out[0] = (a + 1 / A * p) + 1 / B * q;
    out[1] = m + n;
    out[2] = A * p + B * q;
    out[3] = (f + A * A * m) + B * B * n;
}

/* Transforms one row of tiles: rows [6] of pixels, zero rows outside the map, into tiles [across, POINTS, padded channels]. */
static void transform_row(const REAL *const *rows, long width, long channels, long across, REAL *restrict line, REAL *restrict tiles) {
    long span = EDGE * across + 2, row = padded(channels);
    for (long c = 0; c < channels; c += LANES) {
        long part = channels - c;
        for (long w = 0; w < width; w++) {
            long at = w * channels + c;
            vec in[6], out[6];
            for (int r = 0; r < 6; r++) in[r] = load_part(rows[r] + at, part);
            transform_inputs(in[0], in[1], in[2], in[3], in[4], in[5], out);
            for (int r = 0; r < 6; r++) store(line + (r * span + w + 1) * LANES, out[r]);
        }
        for (long t = 0; t < across; t++)
            for (int r = 0; r < 6; r++) {
                const REAL *x = line + (r * span + EDGE * t) * LANES;
                vec out[6];
                transform_inputs(load(x), load(x + LANES), load(x + 2 * LANES), load(x + 3 * LANES), load(x + 4 * LANES),
                                 load(x + 5 * LANES), out);
                for (int s = 0; s < 6; s++) store(tiles + (t * POINTS + r * 6 + s) * row + c, out[s]);
            }
    }
}

/* Writes one row of tiles of products [across, POINTS, padded channels] to `high` rows of pixels of out. */
static void write_row(const REAL *restrict products, long width, long channels, long across, long high, REAL *restrict out) {
    long row = padded(channels);
    for (long t = 0; t < across; t++) {
        long wide = least(EDGE, width - EDGE * t);
        for (long c = 0; c < channels; c += LANES) {
            vec columns[6][EDGE];
            const REAL *m = products + t * POINTS * row + c;
            for (int s = 0; s < 6; s++)
                transform_products(load(m + s * row), load(m + (s + 6) * row), load(m + (s + 12) * row), load(m + (s + 18) * row),
                                   load(m + (s + 24) * row), load(m + (s + 30) * row), columns[s]);
            for (int y = 0; y < EDGE; y++) {
                vec pixels[EDGE];
                transform_products(columns[0][y], columns[1][y], columns[2][y], columns[3][y], columns[4][y], columns[5][y], pixels);
                if (y < high)
                    for (int x = 0; x < EDGE; x++)
                        if (x < wide) store_part(out + (y * width + EDGE * t + x) * channels + c, pixels[x], channels - c);
            }
        }
    }
}

/* Number of groups of `size` tiles or pixels in a block. */
INLINE long groups(long size) { return (TILES + size - 1) / size; }

/* Size of the scratch memory of `make`, in numbers. */
static long convolve_room(long kind, long images, long height, long width, long inputs, long outputs) {
    long down = (height + EDGE - 1) / EDGE, across = (width + EDGE - 1) / EDGE, columns = padded(outputs);
    if (kind == WINOGRAD)
        return padded(width * inputs) + 6 * (EDGE * across + 2) * LANES
               + least(groups(across), images * down) * across * POINTS * (padded(inputs) + columns);
    if (kind == STRIDED) return groups((width + 1) / 2) * ((width + 1) / 2) * (9 * inputs + columns);
    return (kind == POOLED ? width / 2 * padded(inputs) : 0) + (kind == POOLED ? width / 2 : width) * columns;
}

static void winograd(long images, long height, long width, long inputs, long outputs, const REAL *x, const REAL *weight, REAL *out,
                     REAL *scratch) {
    long down = (height + EDGE - 1) / EDGE, across = (width + EDGE - 1) / EDGE, span = EDGE * across + 2;
    long in_row = padded(inputs), out_row = padded(outputs), most = least(groups(across), images * down);
    REAL *zero = scratch, *line = zero + padded(width * inputs), *tiles = line + 6 * span * LANES;
    REAL *products = tiles + most * across * POINTS * in_row;
    memset(zero, 0, (size_t)(width * inputs) * sizeof(REAL));
    for (int r = 0; r < 6; r++) /* Columns outside the map are zero. */
        for (long w = 0; w < span; w = w == 0 ? width + 1 : w + 1) store(line + (r * span + w) * LANES, (vec){0});
    for (long first = 0; first < images * down; first += most) {
        long count = least(most, images * down - first);
        for (long b = 0; b < count; b++) {
            long image = (first + b) / down, top = EDGE * ((first + b) % down) - 1;
            const REAL *rows[6];
            for (int r = 0; r < 6; r++) {
                long h = top + r;
                rows[r] = h < 0 || h >= height ? zero : x + (image * height + h) * width * inputs;
            }
            transform_row(rows, width, inputs, across, line, tiles + b * across * POINTS * in_row);
        }
        for (long p = 0; p < POINTS; p++)
            multiply(POINTS, tiles + p * in_row, POINTS * in_row, count * across, weight + p * inputs * out_row, out_row, inputs,
                     products + p * out_row, POINTS * out_row);
        for (long b = 0; b < count; b++) {
            long image = (first + b) / down, top = EDGE * ((first + b) % down);
            write_row(products + b * across * POINTS * out_row, width, outputs, across, least(EDGE, height - top),
                      out + (image * height + top) * width * outputs);
        }
    }
}

/* Product of pixels [rows, inputs] and weight, without scratch if the outputs are whole vectors. */
static void pointwise(long rows, long inputs, long outputs, const REAL *x, const REAL *weight, REAL *out, REAL *scratch) {
    long out_row = padded(outputs);
    if (out_row == outputs) {
        multiply(1, x, inputs, rows, weight, outputs, inputs, out, outputs);
        return;
    }
    multiply_any(x, inputs, rows, weight, out_row, inputs, scratch, out_row);
    for (long r = 0; r < rows; r++) memcpy(out + r * outputs, scratch + r * out_row, (size_t)outputs * sizeof(REAL));
}

/* Means of the 2 x 2 windows of two rows of pixels. */
static void average(const REAL *restrict x, long width, long channels, REAL *restrict out) {
    const REAL *restrict below = x + width * channels;
    for (long w = 0; w < width / 2; w++)
        for (long c = 0; c < channels; c++) {
            long at = 2 * w * channels + c;
            out[w * channels + c] = ((x[at] + x[at + channels]) + (below[at] + below[at + channels])) / 4;
        }
}

/* Gathers the windows of one row of pixels of one image: out [width / 2, 9, channels], zeros outside the map. */
static void gather(const REAL *restrict x, long height, long width, long channels, long y, REAL *restrict out) {
    for (long w = 0; w < (width + 1) / 2; w++)
        for (long r = 0; r < 3; r++, out += 3 * channels) {
            long h = 2 * y + r - 1, left = w == 0, right = 2 * w + 1 >= width, inside = h >= 0 && h < height;
            if (!inside || left || right) memset(out, 0, (size_t)(3 * channels) * sizeof(REAL));
            if (inside)
                memcpy(out + left * channels, x + (h * width + 2 * w - 1 + left) * channels,
                       (size_t)((3 - left - right) * channels) * sizeof(REAL));
        }
}

static void strided(long images, long height, long width, long inputs, long outputs, const REAL *x, const REAL *weight, REAL *out,
                    REAL *scratch) {
    long down = (height + 1) / 2, across = (width + 1) / 2, most = groups(across);
    REAL *windows = scratch, *room = windows + most * across * 9 * inputs;
    for (long first = 0; first < images * down; first += most) {
        long count = least(most, images * down - first);
        for (long b = 0; b < count; b++)
            gather(x + (first + b) / down * height * width * inputs, height, width, inputs, (first + b) % down,
                   windows + b * across * 9 * inputs);
        pointwise(count * across, 9 * inputs, outputs, windows, weight, out + first * across * outputs, room);
    }
}

/* Convolution without bias of x [images, height, width, inputs]; out of POOLED and STRIDED has half the height and width. */
static void make(long kind, long images, long height, long width, long inputs, long outputs, const REAL *x, const REAL *weight,
                 REAL *out, REAL *scratch) {
    if (kind == WINOGRAD) {
        winograd(images, height, width, inputs, outputs, x, weight, out, scratch);
    } else if (kind == POINTWISE) {
        long most = padded(outputs) == outputs ? images * height * width : width;
        for (long r = 0; r < images * height * width; r += most)
            pointwise(most, inputs, outputs, x + r * inputs, weight, out + r * outputs, scratch);
    } else if (kind == STRIDED) {
        strided(images, height, width, inputs, outputs, x, weight, out, scratch);
    } else {
        REAL *means = scratch + width / 2 * padded(outputs);
        for (long i = 0; i < images; i++)
            for (long h = 0; h < height / 2; h++, out += width / 2 * outputs) {
                average(x + (i * height + 2 * h) * width * inputs, width, inputs, means);
                pointwise(width / 2, inputs, outputs, means, weight, out, scratch);
            }
    }
}

/* Calls `make` and returns 0 if `room` suffices; else returns the size of scratch that is needed, in numbers. */
long convolve(long kind, long images, long height, long width, long inputs, long outputs, const REAL *x, const REAL *weight,
              REAL *out, REAL *scratch, long room) {
    long needed = convolve_room(kind, images, height, width, inputs, outputs);
    if (room < needed) return needed;
    make(kind, images, height, width, inputs, outputs, x, weight, out, scratch);
    return 0;
}

long lanes(void) { return LANES; }
