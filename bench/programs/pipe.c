/* Two processes on one processor hand a byte to and fro through two pipes. A unit is a round trip: two context switches and four system calls. */
#define _GNU_SOURCE
#include "bench.h"
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

static void pass(int in, int out, int first, long times)
{
    char byte = 'x';

    for (long n = 0; n < times; n++) {
        if (first && write(out, &byte, 1) != 1)
            bench_fail("write");
        if (read(in, &byte, 1) != 1)
            bench_fail("read");
        if (!first && write(out, &byte, 1) != 1)
            bench_fail("write");
    }
}

int main(int argc, char **argv)
{
    long amount = bench_amount(argc, argv) * 10;
    int there[2], back[2];
    cpu_set_t one;
    pid_t child;

    /* On a machine with several processors it would be another measurement. */
    if (sched_getaffinity(0, sizeof one, &one) == 0) {
        int cpu = 0;

        while (!CPU_ISSET(cpu, &one))
            cpu++;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        sched_setaffinity(0, sizeof one, &one);
    }
    if (pipe(there) || pipe(back))
        bench_fail("pipe");
    child = fork();
    if (child < 0)
        bench_fail("fork");
    if (child == 0) {
        pass(there[0], back[1], 0, amount);
        _exit(0);
    }
    bench_begin();
    pass(back[0], there[1], 1, amount);
    bench_end(amount);
    waitpid(child, NULL, 0);
    return 0;
}
