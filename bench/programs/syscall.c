/* The shortest way into the kernel and back: getppid. A unit is a system call. */
#include "bench.h"
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    long amount = bench_amount(argc, argv);

    bench_begin();
    for (long n = 0; n < amount * 100; n++)
        syscall(SYS_getppid);
    bench_end((double)amount * 100);
    return 0;
}
