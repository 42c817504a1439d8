/*
 * Transfers between a disk and memory, past the page cache: disk read|write DEVICE TRANSFERS BYTES DEPTH [random] [flush]. DEPTH transfers are under
 * way at a time. A unit is a byte. Writes are followed by a flush in any case, so that nothing is left to be done while the next run is measured; with "flush"
 * it is part of what is measured, and with it the disk of the host.
 */
#define _GNU_SOURCE
#include "../../programs/bench.h"
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MOST 64

static int has_word(int argc, char **argv, const char *word)
{
    for (int n = 6; n < argc; n++)
        if (strcmp(argv[n], word) == 0)
            return 1;
    return 0;
}

int main(int argc, char **argv)
{
    struct iocb block[MOST], *one;
    struct io_event done[MOST];
    aio_context_t context = 0;
    unsigned long long size;

    if (argc < 6)
        return 2;
    int writes = strcmp(argv[1], "write") == 0;
    long count = atol(argv[3]), bytes = atol(argv[4]), depth = atol(argv[5]), begun = 0, ended = 0;
    int random = has_word(argc, argv, "random"), flush = has_word(argc, argv, "flush");
    int fd = open(argv[2], (writes ? O_WRONLY : O_RDONLY) | O_DIRECT);
    unsigned seed = 1;

    if (fd < 0 || ioctl(fd, BLKGETSIZE64, &size) < 0)
        bench_fail(argv[2]);
    if (depth < 1 || depth > MOST || syscall(SYS_io_setup, MOST, &context) < 0)
        bench_fail("io_setup");
    long places = size / bytes;
    bench_begin();
    while (ended < count) {
        while (begun < count && begun - ended < depth) {
            one = &block[begun % depth];
            /* Answers come in any order: a slot's memory is the slot's. */
            void *memory = begun < depth ? NULL : (void *)one->aio_buf;
            if (memory == NULL && posix_memalign(&memory, 4096, bytes))
                bench_fail("memory");
            if (begun < depth)
                memset(memory, (int)begun + 1, bytes);
            seed = seed * 1103515245 + 12345;
            memset(one, 0, sizeof *one);
            one->aio_lio_opcode = writes ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD;
            one->aio_fildes = fd;
            one->aio_buf = (unsigned long)memory;
            one->aio_nbytes = bytes;
            one->aio_offset = (random ? (seed >> 4) % places : begun % places) * bytes;
            if (syscall(SYS_io_submit, context, 1, &one) != 1)
                bench_fail("io_submit");
            begun++;
        }
        long got = syscall(SYS_io_getevents, context, depth == 1 ? 1 : begun - ended, MOST, done, NULL);
        if (got < 1)
            bench_fail("io_getevents");
        for (long i = 0; i < got; i++)
            if (done[i].res != bytes) {
                fprintf(stderr, "a transfer of %lld bytes\n", (long long)done[i].res);
                return 1;
            }
        ended += got;
    }
    if (flush && fsync(fd) < 0)
        bench_fail("fsync");
    bench_end((double)count * bytes);
    if (writes && fsync(fd) < 0)
        bench_fail("fsync");
    return 0;
}
