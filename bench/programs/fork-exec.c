/* Starts a process that runs a program that ends at once, and waits for it; one after the other. A unit is a process. */
#include "bench.h"
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "end") == 0)
        _exit(0);

    long amount = bench_amount(argc, argv);
    char *const again[] = { argv[0], "end", NULL };

    bench_begin();
    for (long n = 0; n < amount; n++) {
        int status;
        pid_t child = fork();

        if (child < 0)
            bench_fail("fork");
        if (child == 0) {
            execv("/proc/self/exe", again);
            _exit(1);
        }
        if (waitpid(child, &status, 0) != child || status != 0)
            bench_fail("the child");
    }
    bench_end(amount);
    return 0;
}
