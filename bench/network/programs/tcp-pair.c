/*
 * Two ends of a TCP connection. "serve PORT [ADDRESS]" takes one connection after the other, and does what its first line asks for. The others are
 * clients, and print what bench.h says:
 *
 *   stream ADDRESS PORT MEGABYTES     the server swallows them, and says so when it has them all; a unit is a byte
 *   receive ADDRESS PORT MEGABYTES    the server sends them
 *   echo ADDRESS PORT TIMES           a byte goes to and fro; a unit is a round trip
 *   called OWN-PORT ADDRESS PORT VIA-ADDRESS VIA-PORT TIMES
 *                                     echo the other way round: the server opens a connection, to where it reaches this end's own port, and its
 *                                     byte goes to and fro
 */
#define _GNU_SOURCE
#include "../../programs/bench.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHUNK (64 * 1024)
#define CHUNKS_PER_MEGABYTE 16
/* The other end may not be up yet. */
#define CONNECT_TRIES 600
#define CONNECT_PAUSE_US 100000

static char chunk[CHUNK];

static void no_delay(int fd)
{
    int on = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static int write_all(int fd, const char *from, size_t length)
{
    while (length > 0) {
        ssize_t sent = write(fd, from, length);

        if (sent <= 0)
            return -1;
        from += sent;
        length -= sent;
    }
    return 0;
}

static struct sockaddr_in address_of(const char *address, const char *port)
{
    struct sockaddr_in result = { .sin_family = AF_INET, .sin_port = htons(atoi(port)) };

    inet_pton(AF_INET, address, &result.sin_addr);
    return result;
}

static int connect_to(const char *address, const char *port)
{
    struct sockaddr_in to = address_of(address, port);

    for (int tries = 0; tries < CONNECT_TRIES; tries++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);

        if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0) {
            no_delay(fd);
            return fd;
        }
        close(fd);
        if (errno != ECONNREFUSED && errno != EHOSTUNREACH)
            break;
        usleep(CONNECT_PAUSE_US);
    }
    return -1;
}

static int listen_at(const char *address, const char *port)
{
    struct sockaddr_in at = address_of(address, port);
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) || listen(fd, 4))
        bench_fail("listen");
    return fd;
}

static int send_megabytes(int fd, long megabytes)
{
    for (long n = 0; n < megabytes * CHUNKS_PER_MEGABYTE; n++)
        if (write_all(fd, chunk, CHUNK))
            return -1;
    return 0;
}

static int trips(int fd, long times)
{
    char byte = 'x';

    for (long n = 0; n < times; n++)
        if (write_all(fd, &byte, 1) || read(fd, &byte, 1) != 1)
            return -1;
    return 0;
}

static void answer_trips(int fd)
{
    char byte;

    while (read(fd, &byte, 1) == 1 && write_all(fd, &byte, 1) == 0)
        ;
}

static double swallow(int fd)
{
    double all = 0;
    ssize_t got;

    while ((got = read(fd, chunk, CHUNK)) > 0)
        all += got;
    return all;
}

static void call(const char *address, const char *port, long times)
{
    int fd = connect_to(address, port);

    if (fd < 0 || write_all(fd, "echo\n", 5) || trips(fd, times))
        perror("call");
    close(fd);
}

/* Up to its end, and not a byte more: the next ones are data. */
static int read_line(int fd, char *line, size_t size)
{
    for (size_t n = 0; n < size; n++) {
        if (read(fd, line + n, 1) != 1)
            return -1;
        if (line[n] == '\n') {
            line[n] = 0;
            return 0;
        }
    }
    return -1;
}

static void serve(int fd)
{
    char line[100], address[40], port[10];
    long amount;

    no_delay(fd);
    if (read_line(fd, line, sizeof line))
        return;
    if (strcmp(line, "stream") == 0) {
        swallow(fd);
        write_all(fd, ".", 1);
    } else if (strcmp(line, "echo") == 0) {
        answer_trips(fd);
    } else if (sscanf(line, "receive %ld", &amount) == 1) {
        send_megabytes(fd, amount);
    } else if (sscanf(line, "call %39s %9s %ld", address, port, &amount) == 3) {
        call(address, port, amount);
        write_all(fd, ".", 1);
    }
}

static int ask(const char *address, const char *port, const char *request)
{
    int fd = connect_to(address, port);

    if (fd < 0 || write_all(fd, request, strlen(request)))
        bench_fail("connect");
    return fd;
}

static void wait_for_end(int fd)
{
    char byte;

    if (read(fd, &byte, 1) != 1)
        bench_fail("the other end");
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    char request[100];
    double bytes;
    int fd;

    if ((argc == 3 || argc == 4) && strcmp(mode, "serve") == 0) {
        int listening = listen_at(argc == 4 ? argv[3] : "0.0.0.0", argv[2]);

        /* A client that goes away ends its connection only. */
        signal(SIGPIPE, SIG_IGN);
        for (;;) {
            fd = accept(listening, NULL, NULL);
            serve(fd);
            close(fd);
        }
    }
    if (argc == 8 && strcmp(mode, "called") == 0) {
        long times = bench_amount(argc - 6, argv + 6);
        int listening = listen_at("0.0.0.0", argv[2]);

        snprintf(request, sizeof request, "call %s %s %ld\n", argv[5], argv[6], times);
        bench_begin();
        fd = ask(argv[3], argv[4], request);
        serve(accept(listening, NULL, NULL));
        wait_for_end(fd);
        bench_end(times);
        return 0;
    }
    if (argc != 5) {
        fprintf(stderr, "usage: %s serve PORT [ADDRESS] | stream|receive|echo ADDRESS PORT AMOUNT | called …\n", argv[0]);
        return 2;
    }
    long amount = bench_amount(argc - 3, argv + 3);

    if (strcmp(mode, "echo") == 0) {
        fd = ask(argv[2], argv[3], "echo\n");
        bench_begin();
        if (trips(fd, amount))
            bench_fail("echo");
        bench_end(amount);
    } else if (strcmp(mode, "stream") == 0) {
        fd = ask(argv[2], argv[3], "stream\n");
        bench_begin();
        if (send_megabytes(fd, amount))
            bench_fail("stream");
        shutdown(fd, SHUT_WR);
        wait_for_end(fd);
        bench_end((double)amount * CHUNKS_PER_MEGABYTE * CHUNK);
    } else {
        snprintf(request, sizeof request, "receive %ld\n", amount);
        bench_begin();
        fd = ask(argv[2], argv[3], request);
        bytes = swallow(fd);
        bench_end(bytes);
        return bytes == (double)amount * CHUNKS_PER_MEGABYTE * CHUNK ? 0 : 1;
    }
    return 0;
}
