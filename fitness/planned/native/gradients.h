/* Gradients of convolutions' weights, and normalisation with its gradient, for maps [images, height, width, channels] in one thread. */

#include "vectors.h"

/* Map of inputs and map of the outputs' gradients of a convolution with a kernel of [high, wide] pixels. */
struct layer {
    long height, width, inputs;
    long down, across, outputs;
    long high, wide, stride, padding;
};

/* out[r, v] += sum over pixels [down, across] of x[pixel, r] * g[pixel, v], for `rows` inputs and `vectors` of outputs, both known at
 * compile time; the last vector has `part` outputs. */
INLINE void weigh_block(const int rows, const int vectors, const long part, const REAL *restrict x, long x_row, long x_step,
                        const REAL *restrict g, long g_row, long g_step, long down, long across, REAL *restrict out, long out_step) {
    vec sums[16][4];
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) sums[r][v] = load(out + r * out_step + v * LANES);
    for (long h = 0; h < down; h++) {
        const REAL *restrict a = x + h * x_row, *restrict b = g + h * g_row;
        for (long w = 0; w < across; w++, a += x_step, b += g_step) {
            vec y[4];
            for (int v = 0; v < vectors; v++) y[v] = v + 1 < vectors ? load(b + v * LANES) : load_part(b + v * LANES, part);
            for (int r = 0; r < rows; r++)
                for (int v = 0; v < vectors; v++) sums[r][v] += a[r] * y[v];
        }
    }
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) store(out + r * out_step + v * LANES, sums[r][v]);
}

#define INPUTS(rows, vectors, part)                                                                                                \
    for (; inputs - i >= rows; i += rows)                                                                                          \
        weigh_block(rows, vectors, part, x + i, x_row, x_step, g + k, g_row, g_step, down, across, out + i * out_step + k, out_step);

/* out [inputs, padded outputs] += x^T g for the pixels [down, across] of x and g. */
static void weigh_pixels(const REAL *x, long x_row, long x_step, const REAL *g, long g_row, long g_step, long down, long across,
                         long inputs, long outputs, REAL *out) {
    long k = 0, out_step = padded(outputs);
    for (; outputs - k >= 2 * LANES; k += 2 * LANES) {
        long i = 0;
        INPUTS(2 * MOST_ACROSS, 2, LANES) INPUTS(4, 2, LANES) INPUTS(1, 2, LANES)
    }
    for (; outputs - k >= LANES; k += LANES) {
        long i = 0;
        INPUTS(4 * MOST_ACROSS, 1, LANES) INPUTS(4, 1, LANES) INPUTS(1, 1, LANES)
    }
    if (outputs > k) {
        long i = 0, part = outputs - k;
        INPUTS(4 * MOST_ACROSS, 1, part) INPUTS(4, 1, part) INPUTS(1, 1, part)
    }
}

/* First output pixel whose window holds an input pixel at place `at` of the kernel, and the one after the last. */
static long first_output(const struct layer *l, long at) { return at >= l->padding ? 0 : (l->padding - at + l->stride - 1) / l->stride; }
static long end_output(const struct layer *l, long at, long size, long outputs) {
    long room = size - 1 + l->padding - at;
    return room < 0 ? 0 : least(outputs, room / l->stride + 1);
}

/* Adds one image's gradient of the weight, [high, wide, inputs, padded outputs], to out. */
static void weigh_image(const struct layer *l, const REAL *x, const REAL *g, REAL *out) {
    for (long r = 0; r < l->high; r++)
        for (long s = 0; s < l->wide; s++, out += l->inputs * padded(l->outputs)) {
            long top = first_output(l, r), left = first_output(l, s);
            long down = end_output(l, r, l->height, l->down) - top, across = end_output(l, s, l->width, l->across) - left;
            if (down <= 0 || across <= 0) continue;
            const REAL *from = x + ((l->stride * top + r - l->padding) * l->width + l->stride * left + s - l->padding) * l->inputs;
            weigh_pixels(from, l->stride * l->width * l->inputs, l->stride * l->inputs, g + (top * l->across + left) * l->outputs,
                         l->across * l->outputs, l->outputs, down, across, l->inputs, l->outputs, out);
        }
}

/* Computes the gradient of a convolution's weight, out [high, wide, inputs, padded outputs], from its inputs x and its outputs'
 * gradients g: the sum over images, or with `signs` the sum over images of each image's signs, NaN if a gradient is not finite. */
long weigh(long images, const struct layer *l, long signs, const REAL *x, const REAL *g, REAL *out, REAL *scratch, long room) {
    long size = l->high * l->wide * l->inputs * padded(l->outputs), needed = signs ? size : 0;
    const REAL most = sizeof(REAL) == 4 ? (REAL)FLT_MAX : (REAL)DBL_MAX;
    if (room < needed) return needed;
    memset(out, 0, (size_t)size * sizeof(REAL));
    for (long n = 0; n < images; n++) {
        REAL *own = signs ? scratch : out;
        if (signs) memset(scratch, 0, (size_t)size * sizeof(REAL));
        weigh_image(l, x + n * l->height * l->width * l->inputs, g + n * l->down * l->across * l->outputs, own);
        if (signs)
            for (long k = 0; k < size; k++) {
                REAL sign = (REAL)((own[k] > 0) - (own[k] < 0));
                out[k] += own[k] >= -most && own[k] <= most ? sign : (REAL)NAN;
            }
    }
    return 0;
}

/* Returns each channel's sums of g and of g * (x - mean) over pixels [height, width] of at most LANES channels. */
INLINE void products_of(const REAL *restrict g, const REAL *restrict x, vec mean, long pixels, long channels, long count, vec *sum,
                        vec *product) {
    vec s[4] = {{0}}, q[4] = {{0}};
    for (long p = 0; p < pixels; p += 4)
        for (int k = 0; k < 4; k++)
            if (p + k < pixels) {
                vec d = load_part(g + (p + k) * channels, count);
                s[k] += d;
                q[k] += d * (load_part(x + (p + k) * channels, count) - mean);
            }
    *sum += (s[0] + s[1]) + (s[2] + s[3]);
    *product += (q[0] + q[1]) + (q[2] + q[3]);
}

/* Repeats the first `channels` numbers of a row. */
static void repeat(REAL *row, long channels, long length) {
    for (long r = channels; r < length; r++) row[r] = row[r - channels];
}

/* Makes the deviation's inverse 0 for channels of a group [height, row] that are constant up to round-off of its largest value;
 * `low` and `high` [row] are scratch. */
static void without_constants(const REAL *restrict x, long height, long row, long channels, REAL roundings, REAL *restrict scale,
                              REAL *restrict low, REAL *restrict high) {
    REAL largest = 0;
    memcpy(low, x, row * sizeof(REAL));
    memcpy(high, x, row * sizeof(REAL));
    for (long h = 1; h < height; h++)
        for (long r = 0; r < row; r++) {
            REAL v = x[h * row + r];
            low[r] = v < low[r] ? v : low[r];
            high[r] = v > high[r] ? v : high[r];
        }
    for (long r = channels; r < row; r++) {
        long c = r % channels;
        low[c] = low[r] < low[c] ? low[r] : low[c];
        high[c] = high[r] > high[c] ? high[r] : high[c];
    }
    for (long c = 0; c < channels; c++) {
        largest = high[c] > largest ? high[c] : largest;
        largest = -low[c] > largest ? -low[c] : largest;
    }
    for (long c = 0; c < channels; c++)
        if (high[c] - low[c] <= largest * roundings) scale[c] = 0;
}

/* Normalises each channel of each of the groups x [groups, height, width, channels] by its mean and deviation, then scales and shifts by
 * weight and bias [channels], which may be NULL. Keeps mean, 1 / deviation and variance [groups, channels]. If `roundings` is above 0, channels
 * that are constant up to so many roundings become their shift, and their 1 / deviation is 0. */
long normalise(long groups, long height, long width, long channels, const REAL *x, const REAL *weight, const REAL *bias, double eps,
               double roundings, REAL *mean, REAL *scale, REAL *variance, REAL *out, REAL *scratch, long room) {
    long row = width * channels, needed = 4 * row;
    if (room < needed) return needed;
    REAL *restrict a = scratch, *restrict b = a + row;
    for (long n = 0; n < groups; n++, x += height * row, out += height * row, mean += channels, scale += channels, variance += channels) {
        for (long c = 0; c < channels; c += LANES) {
            vec m, s, v;
            if (channels - c >= LANES) moments_of(x + c, height, width, channels, LANES, (REAL)eps, &m, &s, &v);
            else moments_of(x + c, height, width, channels, channels - c, (REAL)eps, &m, &s, &v);
            store_part(variance + c, v, channels - c);
            store_part(mean + c, m, channels - c);
            store_part(scale + c, s, channels - c);
        }
        if (roundings > 0) without_constants(x, height, row, channels, (REAL)roundings, scale, b + row, b + 2 * row);
        for (long c = 0; c < channels; c++) {
            a[c] = scale[c] * (weight ? weight[c] : 1);
            b[c] = (bias ? bias[c] : 0) - mean[c] * a[c];
        }
        repeat(a, channels, row);
        repeat(b, channels, row);
        for (long h = 0; h < height; h++)
            for (long r = 0; r < row; r++) out[h * row + r] = x[h * row + r] * a[r] + b[r];
    }
    return 0;
}

/* Computes the gradients of `normalise` with respect to x, and of weight and bias in sums [2, channels], given those of out, g; out may be g. */
long normalise_back(long groups, long height, long width, long channels, const REAL *g, const REAL *x, const REAL *weight,
                    const REAL *mean, const REAL *scale, REAL *out, REAL *sums, REAL *scratch, long room) {
    long row = width * channels, needed = 3 * row + padded(channels);
    if (room < needed) return needed;
    REAL *restrict a = scratch, *restrict b = a + row, *restrict d = b + row, pixels = (REAL)(height * width);
    memset(sums, 0, 2 * channels * sizeof(REAL));
    for (long n = 0; n < groups; n++, g += height * row, x += height * row, out += height * row, mean += channels, scale += channels) {
        for (long c = 0; c < channels; c += LANES) {
            long part = least(LANES, channels - c);
            vec m = load_part(mean + c, part), s = load_part(scale + c, part), w = (vec){0} + 1;
            if (weight) w = load_part(weight + c, part);
            vec sum = {0}, product = {0};
            /* Row by row, so that sums of many pixels keep their digits. */
            for (long h = 0; h < height; h++) {
                if (part == LANES) products_of(g + h * row + c, x + h * row + c, m, width, channels, LANES, &sum, &product);
                else products_of(g + h * row + c, x + h * row + c, m, width, channels, part, &sum, &product);
            }
            vec of_weight = product * s, slope = -w * s * s * of_weight / pixels;
            store_part(a + c, w * s, part);
            store_part(b + c, slope, part);
            store_part(d + c, -w * s * sum / pixels - slope * m, part);
            store_part(sums + c, load_part(sums + c, part) + of_weight, part);
            store_part(sums + channels + c, load_part(sums + channels + c, part) + sum, part);
        }
        repeat(a, channels, row);
        repeat(b, channels, row);
        repeat(d, channels, row);
        for (long h = 0; h < height; h++) {
            const REAL *restrict from = g + h * row, *restrict y = x + h * row;
            REAL *restrict to = out + h * row;
            if (out == g) /* Otherwise a compiler would take the two for any that overlap. */
                for (long r = 0; r < row; r++) to[r] = a[r] * to[r] + (b[r] * y[r] + d[r]);
            else
                for (long r = 0; r < row; r++) to[r] = a[r] * from[r] + (b[r] * y[r] + d[r]);
        }
    }
    return 0;
}

/* Sums over pixels [height, width] of a channel's v, g, v * (x - mean), g * (x - mean) and v * g. */
INLINE void second_sums(const REAL *restrict v, const REAL *restrict g, const REAL *restrict x, vec mean, long height, long width,
                        long channels, long count, vec *sums) {
    for (int k = 0; k < 5; k++) sums[k] = (vec){0};
    for (long h = 0; h < height; h++) {
        vec s[5] = {{0}};
        for (long at = h * width * channels, end = at + width * channels; at < end; at += channels) {
            vec a = load_part(v + at, count), b = load_part(g + at, count), c = load_part(x + at, count) - mean;
            s[0] += a;
            s[1] += b;
            s[2] += a * c;
            s[3] += b * c;
            s[4] += a * b;
        }
        for (int k = 0; k < 5; k++) sums[k] += s[k];
    }
}

/* Computes the gradients of what `normalise_back` gives with respect to g, x and weight [channels], given those of its three results: v,
 * and w [2, channels] for weight and bias.
 *
 *   y = (x - mean) scale,  P u = u - mean(u) - y mean(u y),  a = mean(v y),  b = mean(g y)
 *   to_g = weight scale P v + w_0 y + w_1
 *   to_x = scale P u - weight scale^2 <v, P g> y / pixels,  u = w_0 g - weight scale (b v + a g)
 *   to_weight = scale <v, P g> */
long normalise_twice(long groups, long height, long width, long channels, const REAL *v, const REAL *w, const REAL *g, const REAL *x,
                     const REAL *weight, const REAL *mean, const REAL *scale, REAL *to_g, REAL *to_x, REAL *to_weight, REAL *scratch,
                     long room) {
    long row = width * channels, size = height * row, needed = 7 * row;
    if (room < needed) return needed;
    REAL *restrict p[7], pixels = (REAL)(height * width);
    for (int k = 0; k < 7; k++) p[k] = scratch + k * row;
    memset(to_weight, 0, channels * sizeof(REAL));
    for (long n = 0; n < groups; n++, v += size, g += size, x += size, to_g += size, to_x += size, mean += channels, scale += channels) {
        for (long c = 0; c < channels; c += LANES) {
            long part = least(LANES, channels - c);
            vec m = load_part(mean + c, part), s = load_part(scale + c, part), by = s, sums[5];
            if (weight) by *= load_part(weight + c, part);
            if (part == LANES) second_sums(v + c, g + c, x + c, m, height, width, channels, LANES, sums);
            else second_sums(v + c, g + c, x + c, m, height, width, channels, part, sums);
            vec middle = sums[0] / pixels, a = s * sums[2] / pixels, b = s * sums[3] / pixels;
            vec dot = sums[4] - sums[0] * sums[1] / pixels - pixels * a * b;
            vec of_v = -by * b, of_g = load_part(w + c, part) - by * a, of_y = of_g * s;
            vec e = -s * s * (of_v * a + of_g * b) - by * s * s * dot / pixels;
            vec found[7] = {by, of_y, load_part(w + channels + c, part) - by * middle - of_y * m, s * of_v, s * of_g, e,
                            -s * (of_v * middle + of_g * sums[1] / pixels) - e * m};
            for (int k = 0; k < 7; k++) store_part(p[k] + c, found[k], part);
            store_part(to_weight + c, load_part(to_weight + c, part) + s * dot, part);
        }
        for (int k = 0; k < 7; k++) repeat(p[k], channels, row);
        for (long h = 0; h < height; h++) {
            const REAL *restrict a = v + h * row, *restrict b = g + h * row, *restrict c = x + h * row;
            REAL *restrict one = to_g + h * row, *restrict two = to_x + h * row;
            for (long r = 0; r < row; r++) {
                one[r] = p[0][r] * a[r] + (p[1][r] * c[r] + p[2][r]);
                two[r] = p[3][r] * a[r] + p[4][r] * b[r] + (p[5][r] * c[r] + p[6][r]);
            }
        }
    }
    return 0;
}
