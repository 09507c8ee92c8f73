/* The fused passes of a plan's forward on a CPU, one thread, maps in memory as [images, height, width, channels].
 *
 *   combine   per image, while it is in cache: sum of {alias, normalised map, pooled map} -> value, and its ReLU -> active
 *   reduce    tile of columns by tile, while it is in cache: column min and max over the images -> rows in [0, 1] -> Gram matrix
 *
 * Compiled with -DREAL=float or -DREAL=double. Loops run over rows of pixels, so that nothing depends on the number of channels,
 * and are plain enough for a compiler to vectorise. Results equal those of the eager backend but for the order of sums.
 */

#include <float.h>
#include <math.h>
#include <string.h>

#define EPS (sizeof(REAL) == 4 ? (REAL)FLT_EPSILON : (REAL)DBL_EPSILON)
#define TILE 512

enum { ALIAS = 0, NORM = 1, POOL = 2 };

static REAL square_root(REAL x) { return sizeof(REAL) == 4 ? (REAL)__builtin_sqrtf((float)x) : (REAL)__builtin_sqrt((double)x); }

/* Adds the rows of a map into `sum` [row], then its pixels into the first one, and spreads the channels' means over `sum` again. */
static void spread_means(REAL *restrict sum, long row, long channels, REAL count) {
    for (long r = channels; r < row; r += channels)
        for (long c = 0; c < channels; c++) sum[c] += sum[r + c];
    for (long c = 0; c < channels; c++) sum[c] /= count;
    for (long r = channels; r < row; r++) sum[r] = sum[r - channels];
}

/* Finds each channel's mean and 1 / deviation of one image [height, row], repeated over a row of pixels. */
static void moments(const REAL *restrict x, long height, long row, long channels, REAL eps, REAL *restrict mean, REAL *restrict scale) {
    REAL count = (REAL)(height * (row / channels));
    memset(mean, 0, row * sizeof(REAL));
    memset(scale, 0, row * sizeof(REAL));
    for (long h = 0; h < height; h++)
        for (long r = 0; r < row; r++) mean[r] += x[h * row + r];
    spread_means(mean, row, channels, count);
    for (long h = 0; h < height; h++)
        for (long r = 0; r < row; r++) {
            REAL d = x[h * row + r] - mean[r];
            scale[r] += d * d;
        }
    spread_means(scale, row, channels, count);
    for (long c = 0; c < channels; c++) scale[c] = 1 / square_root(scale[c] + eps);
    for (long r = channels; r < row; r++) scale[r] = scale[r - channels];
}

/* Adds the average over the 3 x 3 window of each pixel of row `h` to `out`; `sum` [row + 2 channels] is scratch. */
static void add_pooled(const REAL *restrict x, long h, long height, long row, long channels, REAL *restrict sum, REAL *restrict out) {
    long first = h > 0 ? h - 1 : h, last = h + 1 < height ? h + 1 : h, rows = last - first + 1, width = row / channels;
    REAL *middle = sum + channels;
    memset(sum, 0, (row + 2 * channels) * sizeof(REAL));
    for (long k = first; k <= last; k++)
        for (long r = 0; r < row; r++) middle[r] += x[k * row + r];
    for (long w = 0; w < width;) {
        int inside = w > 0 && w + 1 < width;
        long end = inside ? width - 1 : w + 1, across = 1 + (w > 0) + (w + 1 < width);
        REAL part = 1 / (REAL)(rows * across);
        for (long r = w * channels; r < end * channels; r++) out[r] += (middle[r - channels] + middle[r] + middle[r + channels]) * part;
        w = end;
    }
}

/* Scratch: (3 + 2 * terms) * row + 2 * channels numbers. `value` or `active` may be NULL; magnitude [images]: the largest of active. */
void combine(long images, long height, long width, long channels, long terms, const int *kinds, const REAL *const *sources,
             double eps, REAL *value, REAL *active, REAL *magnitude, REAL *scratch) {
    long row = width * channels, size = height * row;
    REAL *sum = scratch, *high = sum + row, *window = high + row, *patterns = window + row + 2 * channels;
    for (long i = 0; i < images; i++) {
        for (long t = 0; t < terms; t++)
            if (kinds[t] == NORM)
                moments(sources[t] + i * size, height, row, channels, (REAL)eps, patterns + 2 * t * row, patterns + (2 * t + 1) * row);
        memset(high, 0, row * sizeof(REAL));
        for (long h = 0; h < height; h++) {
            memset(sum, 0, row * sizeof(REAL));
            for (long t = 0; t < terms; t++) {
                const REAL *restrict image = sources[t] + i * size, *restrict x = image + h * row;
                const REAL *restrict mean = patterns + 2 * t * row, *restrict scale = mean + row;
                if (kinds[t] == ALIAS)
                    for (long r = 0; r < row; r++) sum[r] += x[r];
                else if (kinds[t] == NORM)
                    for (long r = 0; r < row; r++) sum[r] += (x[r] - mean[r]) * scale[r];
                else
                    add_pooled(image, h, height, row, channels, window, sum);
            }
            if (value) memcpy(value + i * size + h * row, sum, row * sizeof(REAL));
            if (active) {
                REAL *restrict out = active + i * size + h * row;
                for (long r = 0; r < row; r++) {
                    REAL v = sum[r] < 0 ? 0 : sum[r]; /* NaN stays NaN */
                    out[r] = v;
                    high[r] = v > high[r] ? v : high[r];
                }
            }
        }
        if (active) {
            REAL largest = 0;
            for (long r = 0; r < row; r++) largest = high[r] > largest ? high[r] : largest;
            magnitude[i] = largest;
        }
    }
}

/* Adds t t^T to the upper 4 x 4 blocks of gram [n, n]; t [n, TILE] with n a multiple of 4. */
static void add_gram(const REAL *restrict t, long n, double *restrict gram) {
    for (long i = 0; i < n; i += 4)
        for (long j = i; j < n; j += 4) {
            const REAL *p = t + i * TILE, *q = t + j * TILE;
            REAL a00 = 0, a01 = 0, a02 = 0, a03 = 0, a10 = 0, a11 = 0, a12 = 0, a13 = 0;
            REAL a20 = 0, a21 = 0, a22 = 0, a23 = 0, a30 = 0, a31 = 0, a32 = 0, a33 = 0;
            for (long c = 0; c < TILE; c++) {
                REAL x0 = p[c], x1 = p[TILE + c], x2 = p[2 * TILE + c], x3 = p[3 * TILE + c];
                REAL y0 = q[c], y1 = q[TILE + c], y2 = q[2 * TILE + c], y3 = q[3 * TILE + c];
                a00 += x0 * y0, a01 += x0 * y1, a02 += x0 * y2, a03 += x0 * y3;
                a10 += x1 * y0, a11 += x1 * y1, a12 += x1 * y2, a13 += x1 * y3;
                a20 += x2 * y0, a21 += x2 * y1, a22 += x2 * y2, a23 += x2 * y3;
                a30 += x3 * y0, a31 += x3 * y1, a32 += x3 * y2, a33 += x3 * y3;
            }
            double *g = gram + i * n + j;
            g[0] += a00, g[1] += a01, g[2] += a02, g[3] += a03, g += n;
            g[0] += a10, g[1] += a11, g[2] += a12, g[3] += a13, g += n;
            g[0] += a20, g[1] += a21, g[2] += a22, g[3] += a23, g += n;
            g[0] += a30, g[1] += a31, g[2] += a32, g[3] += a33;
        }
}

/* Copies the upper triangle of a padded gram [padded, padded] into both triangles of out [n, n]. */
static void unpad(const double *gram, long n, long padded, double *out) {
    for (long i = 0; i < n; i++)
        for (long j = i; j < n; j++) out[i * n + j] = out[j * n + i] = gram[i * padded + j];
}

/* Eq. 1 and the sums that RowStatistics adds up, of one layer x [n, length]: block [n^2 + 3 n + 1] is gram, sums of the rows in
 * [0, 1], sums and sums of squares of the rows, live columns. Scratch: (padded + 2) * TILE numbers, then padded^2 doubles. */
void reduce_rows(const REAL *x, long n, long length, double magnitude, double roundings, double *block, REAL *tile, double *gram) {
    long padded = (n + 3) / 4 * 4, live = 0;
    REAL *restrict low = tile + padded * TILE, *restrict high = low + TILE;
    REAL least = (REAL)roundings * EPS * (REAL)magnitude;
    double *normalised_sums = block + n * n, *sums = normalised_sums + n, *squares = sums + n;
    memset(gram, 0, padded * padded * sizeof(double));
    memset(block, 0, (n * n + 3 * n + 1) * sizeof(double));
    memset(tile, 0, padded * TILE * sizeof(REAL));
    for (long start = 0; start < length; start += TILE) {
        long width = length - start < TILE ? length - start : TILE;
        if (width < TILE) memset(tile, 0, padded * TILE * sizeof(REAL));
        memcpy(low, x + start, width * sizeof(REAL));
        memcpy(high, x + start, width * sizeof(REAL));
        for (long i = 0; i < n; i++) {
            const REAL *restrict row = x + i * length + start;
            REAL *restrict to = tile + i * TILE, sum = 0, square = 0;
            for (long c = 0; c < width; c++) {
                REAL v = row[c];
                to[c] = v;
                sum += v;
                square += v * v;
                low[c] = v < low[c] ? v : low[c];
                high[c] = v > high[c] ? v : high[c];
            }
            sums[i] += sum; /* NaN and infinity end here, whatever becomes of them below */
            squares[i] += square;
        }
        int alive = 0;
        for (long c = 0; c < width; c++) {
            REAL range = high[c] - low[c];
            alive += range > least;
            high[c] = range > least ? 1 / range : 0;
        }
        live += alive;
        for (long i = 0; i < n; i++) {
            REAL *restrict to = tile + i * TILE, sum = 0;
            for (long c = 0; c < width; c++) {
                REAL v = (to[c] - low[c]) * high[c];
                to[c] = v;
                sum += v;
            }
            normalised_sums[i] += sum;
        }
        add_gram(tile, padded, gram);
    }
    unpad(gram, n, padded, block);
    block[n * n + 3 * n] = (double)live;
}

/* For each pair of rows of x [n, length], in how many columns both or neither are positive: matches [n, n]. Scratch as above. */
void reduce_signs(const REAL *x, long n, long length, double *matches, REAL *tile, double *gram) {
    long padded = (n + 3) / 4 * 4;
    const REAL most = sizeof(REAL) == 4 ? (REAL)FLT_MAX : (REAL)DBL_MAX;
    int finite = 1;
    memset(gram, 0, padded * padded * sizeof(double));
    memset(tile, 0, padded * TILE * sizeof(REAL));
    for (long start = 0; start < length; start += TILE) {
        long width = length - start < TILE ? length - start : TILE;
        if (width < TILE) memset(tile, 0, padded * TILE * sizeof(REAL));
        for (long i = 0; i < n; i++) {
            const REAL *restrict row = x + i * length + start;
            REAL *restrict to = tile + i * TILE;
            for (long c = 0; c < width; c++) {
                to[c] = row[c] > 0 ? 1 : -1;
                finite &= row[c] >= -most && row[c] <= most; /* NaN is neither, and must not pass for a dead unit */
            }
        }
        add_gram(tile, padded, gram);
    }
    unpad(gram, n, padded, matches);
    for (long k = 0; k < n * n; k++) matches[k] = finite ? (matches[k] + (double)length) / 2 : (double)NAN;
}
