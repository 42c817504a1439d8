/*
 * Two ends of a TCP connection. "serve PORT" takes one connection after the other, and what its first byte asks for; the others are clients, and print
 * "@end UNITS SECONDS" when they are done:
 *
 *   stream ADDRESS PORT MEGABYTES    the server swallows them, and says so when it has them all; a unit is a byte
 *   echo ADDRESS PORT TIMES          a byte goes to and fro; a unit is a round trip
 */
#define _GNU_SOURCE
#include "../../programs/bench.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHUNK (64 * 1024)

static char chunk[CHUNK];

static void no_delay(int fd)
{
    int on = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void serve(int fd)
{
    char mode;
    ssize_t got;

    no_delay(fd);
    if (read(fd, &mode, 1) != 1)
        return;
    while ((got = read(fd, chunk, mode == 'e' ? 1 : CHUNK)) > 0)
        if (mode == 'e' && write(fd, chunk, 1) != 1)
            break;
    if (mode == 's' && write(fd, &mode, 1) != 1)
        perror("write");
}

static void write_all(int fd, const char *from, size_t length)
{
    while (length > 0) {
        ssize_t sent = write(fd, from, length);

        if (sent <= 0)
            bench_fail("write");
        from += sent;
        length -= sent;
    }
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    long amount;
    char byte;

    if (argc == 3 && strcmp(argv[1], "serve") == 0) {
        address.sin_port = htons(atoi(argv[2]));
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 4))
            bench_fail("listen");
        for (;;) {
            int connection = accept(fd, NULL, NULL);

            serve(connection);
            close(connection);
        }
    }
    if (argc != 5) {
        fprintf(stderr, "usage: %s serve PORT | stream|echo ADDRESS PORT AMOUNT\n", argv[0]);
        return 2;
    }
    address.sin_port = htons(atoi(argv[3]));
    inet_pton(AF_INET, argv[2], &address.sin_addr);
    amount = bench_amount(argc - 3, argv + 3);
    if (connect(fd, (struct sockaddr *)&address, sizeof address))
        bench_fail("connect");
    no_delay(fd);
    write_all(fd, argv[1], 1);
    bench_begin();
    if (argv[1][0] == 'e') {
        for (long n = 0; n < amount; n++) {
            write_all(fd, "x", 1);
            if (read(fd, &byte, 1) != 1)
                bench_fail("read");
        }
        bench_end(amount);
    } else {
        for (long n = 0; n < amount * 16; n++)
            write_all(fd, chunk, CHUNK);
        shutdown(fd, SHUT_WR);
        if (read(fd, &byte, 1) != 1)
            bench_fail("read");
        bench_end((double)amount * 16 * CHUNK);
    }
    return 0;
}
