/* Signals that come in the middle of arithmetic, at instructions that fault, and back and forth between two processes. */
#include "soak.h"
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>

static volatile sig_atomic_t ticks, undefined, divided, answers;
static volatile double disturbed;

static void tick(int signal)
{
    (void)signal;
    ticks++;
    /* All kinds of registers are used here. */
    disturbed = disturbed * 0.5 + (double)ticks / 3.0;
}

static void skip(int signal, siginfo_t *info, void *context)
{
    ucontext_t *at = context;

    (void)info;
    if (signal == SIGILL) {
        undefined++;
        at->uc_mcontext.gregs[REG_RIP] += 2;
    } else {
        divided++;
        at->uc_mcontext.gregs[REG_RCX] = 1;
    }
}

static void answer(int signal)
{
    (void)signal;
    answers++;
}

static uint64_t work(double *sum)
{
    uint64_t hash = 0xcbf29ce484222325u;
    double total = 0;

    for (uint32_t n = 1; n < 60000; n++) {
        hash = (hash ^ n) * 0x100000001b3u;
        total += 1.0 / n;
    }
    *sum = total;
    return hash;
}

static void ping_pong(void)
{
    sigset_t one, before;
    pid_t child;
    int status;

    sigemptyset(&one);
    sigaddset(&one, SIGUSR1);
    sigprocmask(SIG_BLOCK, &one, &before);
    answers = 0;
    child = fork();
    if (child < 0)
        soak_wrong("fork");
    if (child == 0) {
        for (int n = 0; n < 20; n++) {
            while (answers <= n)
                sigsuspend(&before);
            kill(getppid(), SIGUSR1);
        }
        _exit(42);
    }
    for (int n = 0; n < 20; n++) {
        kill(child, SIGUSR1);
        while (answers <= n)
            sigsuspend(&before);
    }
    while (waitpid(child, &status, 0) < 0)
        ;
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 42)
        soak_wrong("a child ended with %x", status);
}

int main(int argc, char **argv)
{
    struct sigaction tick_action = { .sa_handler = tick, .sa_flags = SA_RESTART };
    struct sigaction skip_action = { .sa_sigaction = skip, .sa_flags = SA_SIGINFO };
    struct sigaction answer_action = { .sa_handler = answer };
    struct itimerval often = { { 0, 2000 }, { 0, 2000 } };
    double sum, expected_sum;
    uint64_t expected;

    soak_begin(argc, argv);
    expected = work(&expected_sum);
    sigaction(SIGALRM, &tick_action, NULL);
    sigaction(SIGILL, &skip_action, NULL);
    sigaction(SIGFPE, &skip_action, NULL);
    sigaction(SIGUSR1, &answer_action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    do {
        sig_atomic_t before = undefined;
        uint32_t quotient = 77, zero = 0, rest = 0;

        if (work(&sum) != expected || sum != expected_sum)
            soak_wrong("a signal changed a result");
        __asm__ volatile("ud2");
        if (undefined != before + 1)
            soak_wrong("ud2");
        __asm__ volatile("divl %%ecx" : "+a"(quotient), "+d"(rest), "+c"(zero) : : "cc");
        if (quotient != 77 || zero != 1)
            soak_wrong("a division by zero gave %u", quotient);
        ping_pong();
    } while (soak_more());
    return soak_done();
}
