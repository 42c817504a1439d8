/* memcpy of blocks that no cache of a processor holds. A unit is a byte. */
#include "bench.h"
#include <string.h>

#define BLOCK (32L << 20)

int main(int argc, char **argv)
{
    long amount = bench_amount(argc, argv);
    char *from = malloc(BLOCK), *to = malloc(BLOCK);
    void *(*volatile copy)(void *, const void *, size_t) = memcpy;
    const long piece = 1 << 20;

    if (!from || !to)
        bench_fail("malloc");
    memset(from, 1, BLOCK);
    memset(to, 2, BLOCK);
    bench_begin();
    for (long n = 0; n < amount; n++)
        copy(to + n * piece % BLOCK, from + n * piece % BLOCK, piece);
    bench_end((double)amount * piece);
    return to[0] == 3;
}
