/* Polynomials in extended precision, which only the x87 has: loads, stores, products, sums, exchanges on its stack. A unit is a floating-point operation. */
#include "bench.h"

#define TERMS 16

int main(int argc, char **argv)
{
    long amount = bench_amount(argc, argv);
    static volatile long double factors[TERMS];
    long double sum = 0;

    for (int i = 0; i < TERMS; i++)
        factors[i] = 1.0L / (i + 1);
    bench_begin();
    for (long n = 0; n < amount * 1000; n++) {
        long double x = (n % 1000) * 0.001L;
        long double value = factors[TERMS - 1];

        for (int i = TERMS - 2; i >= 0; i--)
            value = value * x + factors[i];
        sum += value / (1 + x);
    }
    bench_end((double)amount * 1000 * (2 * (TERMS - 1) + 4));
    return sum == 12345;
}
