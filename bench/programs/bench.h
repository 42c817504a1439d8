/*
 * What every program of the bench prints: "@begin" when its set-up is over, then "@end UNITS SECONDS". SECONDS are the guest's own; the bench holds them
 * against the time at which both lines arrive on the host.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static struct timespec bench_from;

static void bench_begin(void)
{
    puts("@begin");
    fflush(stdout);
    clock_gettime(CLOCK_MONOTONIC, &bench_from);
}

static void bench_end(double units)
{
    struct timespec to;

    clock_gettime(CLOCK_MONOTONIC, &to);
    printf("@end %.0f %.6f\n", units, (to.tv_sec - bench_from.tv_sec) + (to.tv_nsec - bench_from.tv_nsec) / 1e9);
    fflush(stdout);
}

/* The amount of work that the command line asks for. */
static long bench_amount(int argc, char **argv)
{
    long amount = argc > 1 ? atol(argv[1]) : 0;

    if (amount <= 0) {
        fprintf(stderr, "usage: %s AMOUNT\n", argv[0]);
        exit(2);
    }
    return amount;
}

static void bench_fail(const char *what)
{
    perror(what);
    exit(1);
}
