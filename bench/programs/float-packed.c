/* Products of 4 by 4 matrices in single precision, four numbers at a time, as programs with pictures do. A unit is a floating-point operation. */
#include "bench.h"
#include <xmmintrin.h>

#define MATRICES 256
/* 16 elements of 4 products and 3 sums, and the blend with what was there: a product and a sum. */
#define OPERATIONS (16 * 9)

static __m128 left[MATRICES][4], right[MATRICES][4], result[MATRICES][4];

static void multiply(const __m128 *a, const __m128 *b, __m128 *to)
{
    const __m128 half = _mm_set1_ps(0.5f);

    for (int row = 0; row < 4; row++) {
        __m128 x = _mm_mul_ps(_mm_shuffle_ps(a[row], a[row], 0x00), b[0]);
        __m128 y = _mm_mul_ps(_mm_shuffle_ps(a[row], a[row], 0x55), b[1]);
        __m128 z = _mm_mul_ps(_mm_shuffle_ps(a[row], a[row], 0xaa), b[2]);
        __m128 w = _mm_mul_ps(_mm_shuffle_ps(a[row], a[row], 0xff), b[3]);
        __m128 sum = _mm_add_ps(_mm_add_ps(x, y), _mm_add_ps(z, w));

        to[row] = _mm_add_ps(_mm_mul_ps(to[row], half), sum);
    }
}

int main(int argc, char **argv)
{
    long amount = bench_amount(argc, argv);
    float *number = (float *)left;

    for (int i = 0; i < MATRICES * 16; i++) {
        number[i] = (i % 17) * 0.0625f;
        ((float *)right)[i] = (i % 13) * 0.125f;
    }
    bench_begin();
    for (long n = 0; n < amount; n++)
        for (int i = 0; i < MATRICES; i++)
            multiply(left[i], right[(i + n) % MATRICES], result[i]);
    bench_end((double)amount * MATRICES * OPERATIONS);
    return ((float *)result)[5] == 12345;
}
