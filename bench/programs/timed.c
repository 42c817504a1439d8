/* timed AMOUNT COMMAND...: how long another program takes for the amount that its arguments ask for. */
#include "bench.h"
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    long amount = bench_amount(argc, argv);
    int status;
    pid_t child;

    if (argc < 3) {
        fprintf(stderr, "usage: %s AMOUNT COMMAND...\n", argv[0]);
        return 2;
    }
    bench_begin();
    child = fork();
    if (child < 0)
        bench_fail("fork");
    if (child == 0) {
        execv(argv[2], argv + 2);
        bench_fail(argv[2]);
    }
    if (waitpid(child, &status, 0) != child || status != 0) {
        fprintf(stderr, "%s ended with %d\n", argv[2], status);
        return 1;
    }
    bench_end(amount);
    return 0;
}
