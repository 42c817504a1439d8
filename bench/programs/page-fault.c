/* Maps memory, touches each page of it, and gives it back. A unit is a page. */
#include "bench.h"
#include <sys/mman.h>

#define PAGE 4096L
#define PAGES 256L

int main(int argc, char **argv)
{
    long amount = bench_amount(argc, argv);

    bench_begin();
    for (long n = 0; n < amount; n++) {
        char *memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (memory == MAP_FAILED)
            bench_fail("mmap");
        for (long page = 0; page < PAGES; page++)
            ((volatile char *)memory)[page * PAGE] = 1;
        munmap(memory, PAGES * PAGE);
    }
    bench_end((double)amount * PAGES);
    return 0;
}
