/* Reads from all over 256 MB, each address made from what was read before: nearly every one misses the TLB. A unit is a read. */
#include "bench.h"
#include <stdint.h>
#include <sys/mman.h>

#define SIZE (256u << 20)
#define PAGE 4096u

int main(int argc, char **argv)
{
    long amount = bench_amount(argc, argv);
    char *memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint32_t at = 1;

    if (memory == MAP_FAILED)
        bench_fail("mmap");
    /* Small pages: the guests of the peers do not all have others. */
    madvise(memory, SIZE, MADV_NOHUGEPAGE);
    for (uint32_t page = 0; page < SIZE; page += PAGE)
        *(volatile uint32_t *)(memory + page) = page >> 12;
    bench_begin();
    for (long n = 0; n < amount * 1000; n++) {
        at = at * 1664525 + 1013904223;
        at += *(volatile uint32_t *)(memory + (at >> 4 & ~3u) % SIZE);
    }
    bench_end((double)amount * 1000);
    return at == 12345;
}
