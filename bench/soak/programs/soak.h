/*
 * What every program of the soak does: it works for the seconds that its command line names, checks what it gets, and ends with 0 after "@rounds N". The first
 * wrong result is told and ends it with 1.
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static time_t soak_end;
static unsigned long soak_rounds;

static time_t soak_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

static void soak_begin(int argc, char **argv)
{
    soak_end = soak_now() + (argc > 1 ? atol(argv[1]) : 1);
}

static int soak_more(void)
{
    soak_rounds++;
    return soak_now() < soak_end;
}

static void soak_wrong(const char *format, ...)
{
    va_list values;

    va_start(values, format);
    printf("@wrong round %lu: ", soak_rounds);
    vprintf(format, values);
    printf("\n");
    va_end(values);
    fflush(stdout);
    _exit(1);
}

static int soak_done(void)
{
    printf("@rounds %lu\n", soak_rounds);
    return 0;
}

static uint32_t soak_random(void)
{
    static uint32_t state = 0x9e3779b9;

    state ^= state << 13;
    state ^= state >> 17;
    return state ^= state << 5;
}
