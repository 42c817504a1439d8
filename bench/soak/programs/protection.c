/* Code pages that are written, protected, run and written again; and pages that are taken away and given back by the handler of the fault. */
#include "soak.h"
#include <signal.h>
#include <sys/mman.h>

#define PAGE 4096
#define PAGES 8

static unsigned char *code;
static volatile unsigned long faults;

static void allow(int signal, siginfo_t *info, void *context)
{
    uintptr_t at = (uintptr_t)info->si_addr & ~(uintptr_t)(PAGE - 1);

    (void)signal;
    (void)context;
    if (at < (uintptr_t)code || at >= (uintptr_t)code + PAGES * PAGE)
        soak_wrong("fault at %p", info->si_addr);
    faults++;
    if (mprotect((void *)at, PAGE, PROT_READ | PROT_WRITE) != 0)
        soak_wrong("mprotect in the handler");
}

static void protect(int page, int how)
{
    if (mprotect(code + page * PAGE, PAGE, how) != 0)
        soak_wrong("mprotect");
}

/* mov eax,VALUE; ret */
static void write_code(unsigned char *to, uint32_t value)
{
    to[0] = 0xb8;
    memcpy(to + 1, &value, 4);
    to[5] = 0xc3;
}

int main(int argc, char **argv)
{
    struct sigaction action = { .sa_sigaction = allow, .sa_flags = SA_SIGINFO };

    soak_begin(argc, argv);
    sigaction(SIGSEGV, &action, NULL);
    code = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (code == MAP_FAILED)
        soak_wrong("mmap");
    do {
        int page = soak_random() % PAGES;
        unsigned char *at = code + page * PAGE + soak_random() % 4000;
        unsigned long before;

        for (int n = 0; n < 4; n++) {
            uint32_t value = soak_random();

            protect(page, PROT_READ | PROT_WRITE);
            write_code(at, value);
            protect(page, PROT_READ | PROT_EXEC);
            for (int run = 0; run < 20; run++)
                if (((uint32_t(*)(void))at)() != value)
                    soak_wrong("old code ran at %p", (void *)at);
        }
        /* Written where that is not allowed: the handler allows it. */
        before = faults;
        write_code(at, 7);
        if (faults != before + 1)
            soak_wrong("%lu faults of one store", faults - before);
        protect(page, PROT_NONE);
        if (*(volatile unsigned char *)at != 0xb8 || faults != before + 2)
            soak_wrong("a page that was taken away");
    } while (soak_more());
    return soak_done();
}
