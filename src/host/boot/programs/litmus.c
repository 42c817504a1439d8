/*
 * What x86 promises of the order of memory accesses (SDM Vol. 3A, "Memory Ordering"), tried with threads on different vCPUs: `litmus ROUNDS`. The shapes and
 * their names are those of the literature (Alglave, Maranget: "Herding Cats"). A line for each test: its name, how often what is forbidden was seen, how often what is
 * weak and allowed was. Exit code 1 when anything forbidden was seen.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CELLS 1024
#define MAX_THREADS 4

/* Places of a test's variables: each on a line of its own. */
struct cell {
    volatile uint64_t x __attribute__((aligned(64)));
    volatile uint64_t y __attribute__((aligned(64)));
    uint32_t r[4] __attribute__((aligned(64)));
};

static struct cell cells[CELLS];
static long rounds, cpus;
static volatile int arrived, generation;

static void wait_for_all(int threads)
{
    int mine = generation;

    if (__atomic_add_fetch(&arrived, 1, __ATOMIC_SEQ_CST) == threads) {
        arrived = 0;
        __atomic_add_fetch(&generation, 1, __ATOMIC_SEQ_CST);
    } else
        while (generation == mine)
            __asm__ volatile("pause" ::: "memory");
}

#define STORE(place, value) __asm__ volatile("movq %1, %0" : "=m"(place) : "r"((uint64_t)(value)) : "memory")
#define LOAD(to, place)                                                   \
    do {                                                                  \
        uint64_t loaded_;                                                 \
        __asm__ volatile("movq %1, %0" : "=r"(loaded_) : "m"(place) : "memory"); \
        (to) = (uint32_t)loaded_;                                         \
    } while (0)
#define XCHG(place, value)                                                          \
    do {                                                                            \
        uint64_t value_ = (value);                                                  \
        __asm__ volatile("xchgq %1, %0" : "+m"(place), "+r"(value_) : : "memory");  \
    } while (0)
#define MFENCE() __asm__ volatile("mfence" ::: "memory")
#define LOCKED() __asm__ volatile("lock orl $0, -64(%%rsp)" ::: "memory", "cc")

typedef void step(struct cell *c, int thread);

#define SB(name, between)                            \
    static void name(struct cell *c, int thread)     \
    {                                                \
        if (thread == 0) {                           \
            STORE(c->x, 1);                          \
            between;                                 \
            LOAD(c->r[0], c->y);                     \
        } else {                                     \
            STORE(c->y, 1);                          \
            between;                                 \
            LOAD(c->r[1], c->x);                     \
        }                                            \
    }
SB(sb, )
SB(sb_mfence, MFENCE())
SB(sb_lock, LOCKED())

static void sb_xchg(struct cell *c, int thread)
{
    if (thread == 0) {
        XCHG(c->x, 1);
        LOAD(c->r[0], c->y);
    } else {
        XCHG(c->y, 1);
        LOAD(c->r[1], c->x);
    }
}

static void mp(struct cell *c, int thread)
{
    if (thread == 0) {
        STORE(c->x, 1);
        STORE(c->y, 1);
    } else {
        LOAD(c->r[0], c->y);
        LOAD(c->r[1], c->x);
    }
}

static void lb(struct cell *c, int thread)
{
    if (thread == 0) {
        LOAD(c->r[0], c->x);
        STORE(c->y, 1);
    } else {
        LOAD(c->r[1], c->y);
        STORE(c->x, 1);
    }
}

static void two_writes(struct cell *c, int thread)
{
    if (thread == 0) {
        STORE(c->x, 1);
        STORE(c->y, 2);
    } else {
        STORE(c->y, 1);
        STORE(c->x, 2);
    }
}

static void corr(struct cell *c, int thread)
{
    if (thread == 0)
        STORE(c->x, 1);
    else {
        LOAD(c->r[0], c->x);
        LOAD(c->r[1], c->x);
    }
}

static void iriw(struct cell *c, int thread)
{
    if (thread == 0)
        STORE(c->x, 1);
    else if (thread == 1)
        STORE(c->y, 1);
    else if (thread == 2) {
        LOAD(c->r[0], c->x);
        LOAD(c->r[1], c->y);
    } else {
        LOAD(c->r[2], c->y);
        LOAD(c->r[3], c->x);
    }
}

static void wrc(struct cell *c, int thread)
{
    if (thread == 0)
        STORE(c->x, 1);
    else if (thread == 1) {
        LOAD(c->r[0], c->x);
        if (c->r[0])
            STORE(c->y, 1);
    } else {
        LOAD(c->r[1], c->y);
        LOAD(c->r[2], c->x);
    }
}

/* 8 bytes that do not lie on 8 bytes, within a line: one store, all or nothing. */
static volatile uint64_t *askew(struct cell *c)
{
    return (volatile uint64_t *)((char *)&c->x + 3);
}

static void torn(struct cell *c, int thread)
{
    volatile uint64_t *place = askew(c);
    uint64_t seen;

    if (thread == 0)
        __asm__ volatile("movq %1, %0" : "=m"(*place) : "r"(~0ull) : "memory");
    else {
        __asm__ volatile("movq %1, %0" : "=r"(seen) : "m"(*place) : "memory");
        c->r[0] = seen != 0 && seen != ~0ull;
    }
}

static int both_zero(struct cell *c) { return !c->r[0] && !c->r[1]; }
static int both_one(struct cell *c) { return c->r[0] && c->r[1]; }
static int one_zero(struct cell *c) { return c->r[0] && !c->r[1]; }
static int both_first(struct cell *c) { return c->x == 1 && c->y == 1; }
static int four(struct cell *c) { return c->r[0] && !c->r[1] && c->r[2] && !c->r[3]; }
static int chain(struct cell *c) { return c->r[0] && c->r[1] && !c->r[2]; }
static int half(struct cell *c) { return c->r[0] != 0; }

static const struct test {
    const char *name;
    int threads;
    step *run;
    int (*forbidden)(struct cell *);
    int (*allowed)(struct cell *);
} tests[] = {
    {"SB", 2, sb, NULL, both_zero},
    {"SB+mfence", 2, sb_mfence, both_zero, NULL},
    {"SB+lock", 2, sb_lock, both_zero, NULL},
    {"SB+xchg", 2, sb_xchg, both_zero, NULL},
    {"MP", 2, mp, one_zero, NULL},
    {"LB", 2, lb, both_one, NULL},
    {"2+2W", 2, two_writes, both_first, NULL},
    {"CoRR", 2, corr, one_zero, NULL},
    {"torn", 2, torn, half, NULL},
    {"WRC", 3, wrc, chain, NULL},
    {"IRIW", 4, iriw, four, NULL},
};

/* Counters that every thread adds to: nothing may be lost. */
struct counters {
    uint8_t byte;
    uint16_t word;
    uint32_t dword;
    uint64_t inc, xadd, cmpxchg, ticketed, guarded;
    uint64_t pair[2] __attribute__((aligned(16)));
    char lines[128] __attribute__((aligned(64)));
    volatile uint64_t lock, next, serving;
};
static struct counters shared;

static void count(void)
{
    uint64_t *split = (uint64_t *)(shared.lines + 60);

    __asm__ volatile("lock incb %0" : "+m"(shared.byte)::"memory", "cc");
    __asm__ volatile("lock addw $1, %0" : "+m"(shared.word)::"memory", "cc");
    __asm__ volatile("lock subl $-1, %0" : "+m"(shared.dword)::"memory", "cc");
    __asm__ volatile("lock incq %0" : "+m"(shared.inc)::"memory", "cc");
    __asm__ volatile("lock addq $1, %0" : "+m"(*split)::"memory", "cc");
    uint64_t one = 1;
    __asm__ volatile("lock xaddq %1, %0" : "+m"(shared.xadd), "+r"(one)::"memory", "cc");
    uint64_t old = *(volatile uint64_t *)&shared.cmpxchg, was;
    for (;; old = was) {
        was = old;
        __asm__ volatile("lock cmpxchgq %2, %0" : "+m"(shared.cmpxchg), "+a"(was) : "r"(old + 1) : "memory", "cc");
        if (was == old)
            break;
    }
    uint64_t low = shared.pair[0], high = shared.pair[1];
    unsigned char done;
    do
        __asm__ volatile("lock cmpxchg16b %0; sete %1"
                         : "+m"(shared.pair), "=q"(done), "+a"(low), "+d"(high)
                         : "b"(low + 1), "c"(high - 1)
                         : "memory", "cc");
    while (!done);
    /* A lock that is taken with XCHG and given back with a plain store. */
    for (;;) {
        uint64_t taken = 1;
        __asm__ volatile("xchgq %1, %0" : "+m"(shared.lock), "+r"(taken)::"memory");
        if (!taken)
            break;
        while (shared.lock)
            __asm__ volatile("pause" ::: "memory");
    }
    shared.guarded++;
    STORE(shared.lock, 0);
    /* A ticket lock. */
    uint64_t ticket = 1;
    __asm__ volatile("lock xaddq %1, %0" : "+m"(shared.next), "+r"(ticket)::"memory", "cc");
    while (shared.serving != ticket)
        __asm__ volatile("pause" ::: "memory");
    shared.ticketed++;
    STORE(shared.serving, ticket + 1);
}

struct job {
    const struct test *test;
    int thread, threads;
};

static void pin(int thread)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(thread % cpus, &set);
    if (sched_setaffinity(0, sizeof set, &set))
        perror("sched_setaffinity");
}

static void *work(void *argument)
{
    struct job *job = argument;

    pin(job->thread);
    for (long round = 0; round < rounds; round++) {
        wait_for_all(job->threads + 1);
        if (job->test)
            /* Side by side in one round, towards each other in the next: however fast each is, they meet. */
            for (int i = 0; i < CELLS; i++)
                job->test->run(&cells[round & job->thread & 1 ? CELLS - 1 - i : i], job->thread);
        else
            for (int i = 0; i < CELLS; i++)
                count();
        wait_for_all(job->threads + 1);
    }
    return NULL;
}

static void run(const struct test *test, int threads, long *forbidden, long *allowed)
{
    pthread_t ids[MAX_THREADS];
    struct job jobs[MAX_THREADS];

    for (int i = 0; i < threads; i++) {
        jobs[i] = (struct job){test, i, threads};
        if (pthread_create(&ids[i], NULL, work, &jobs[i]))
            exit(2);
    }
    for (long round = 0; round < rounds; round++) {
        memset(cells, 0, sizeof cells);
        wait_for_all(threads + 1);
        wait_for_all(threads + 1);
        for (int i = 0; test && i < CELLS; i++) {
            *forbidden += test->forbidden && test->forbidden(&cells[i]);
            *allowed += test->allowed && test->allowed(&cells[i]);
        }
    }
    for (int i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
}

int main(int argc, char **argv)
{
    long wrong = 0;

    rounds = argc > 1 ? atol(argv[1]) : 0;
    cpus = sysconf(_SC_NPROCESSORS_ONLN);
    if (rounds <= 0)
        return 2;
    for (unsigned i = 0; i < sizeof tests / sizeof *tests; i++) {
        long forbidden = 0, allowed = 0;
        run(&tests[i], tests[i].threads, &forbidden, &allowed);
        printf("%s: forbidden %ld, allowed %ld, of %ld\n", tests[i].name, forbidden, allowed, rounds * CELLS);
        fflush(stdout);
        wrong += forbidden;
    }
    int threads = cpus < MAX_THREADS ? cpus : MAX_THREADS;
    long none = 0;
    uint64_t expected = (uint64_t)rounds * CELLS * threads;
    run(NULL, threads, &none, &none);
    const uint64_t counts[] = {shared.inc, shared.xadd, shared.cmpxchg, shared.guarded, shared.ticketed, shared.pair[0],
                               -shared.pair[1], *(uint64_t *)(shared.lines + 60)};
    long lost = (uint8_t)expected != shared.byte || (uint16_t)expected != shared.word || (uint32_t)expected != shared.dword;
    for (unsigned i = 0; i < sizeof counts / sizeof *counts; i++)
        lost += counts[i] != expected;
    printf("counters: forbidden %ld, allowed 0, of %lu\n", lost, (unsigned long)expected);
    return wrong + lost ? 1 : 0;
}
