/* The one thread's loop. It never waits for anything but here, in poll: what the host sends is bounded by what it was told there is room for, and what the host is
   to be told waits with its operation. */
#include "agent.h"

enum { CHANNEL = 0, SIGNALS = 1, FIRST = 2, POLLED = FIRST + STREAMS * OPERATIONS + DRAINS };
static struct pollfd polled[POLLED];
/* Whose it is: a stream of an operation, or without one a drain. */
static struct { struct operation *op; int which; } polled_for[POLLED];

static int watch(int count, int fd, int events, struct operation *op, int which) {
  polled[count].fd = fd;
  polled[count].events = events;
  polled[count].revents = 0;
  polled_for[count].op = op;
  polled_for[count].which = which;
  return count + 1;
}

static int watch_all(int channel, int signals) {
  int room = has_room();
  int count = watch(0, channel, POLLIN | (output_length > 0 ? POLLOUT : 0), 0, 0);
  count = watch(count, signals, POLLIN, 0, 0);
  for (struct operation *op = operations; op < operations_end; op++) {
    if (op->kind != EXEC) continue;
    if (op->buffered > 0) count = watch(count, op->fds[STDIN], POLLOUT, op, STDIN);
    /* Without room on the channel there is no use in knowing who has something to say. */
    for (int n = STDOUT; room && n <= STDERR; n++)
      if (op->fds[n] >= 0 && op->credit[n] > 0 && !op->ready[n]) count = watch(count, op->fds[n], POLLIN, op, n);
  }
  for (int n = 0; n < drains_end; n++)
    if (drains[n] > 0) count = watch(count, drains[n], POLLIN, 0, n);
  return count;
}

static void take_signals(int signals) {
  u32 infos[4][32]; /* struct signalfd_siginfo; one of a signal waits at a time, and there are two */
  long got = sys_read(signals, infos, sizeof infos);
  for (int n = 0; n < got / (long)sizeof infos[0]; n++)
    if (infos[n][0] == SIGTERM) sys_exit(0);
  reap_programs();
}

/* Nothing in between has let go of an operation: that is done by what the host says and is told. */
static void take_streams(int count) {
  for (int n = FIRST; n < count; n++) {
    if (!polled[n].revents) continue;
    struct operation *op = polled_for[n].op;
    int which = polled_for[n].which;
    if (!op) drain(which);
    else if (which != STDIN) op->ready[which] = 1;
    else if (op->fds[STDIN] >= 0) flush_stdin(op);
  }
}

/* As much as it takes now; 0: it is gone. */
static int write_channel(int channel) {
  while (output_length > 0) {
    long written = sys_write(channel, output + output_at, output_length);
    if (written == -EAGAIN || written == 0) return 1;
    if (written < 0) return 0;
    output_at += written;
    output_length -= written;
  }
  return 1;
}

void serve(int channel, int signals) {
  static u8 bytes[8192];
  answer_hello(0);
  reset_output();
  for (;;) {
    int more = fill_output();
    if (!write_channel(channel)) return;
    int count = watch_all(channel, signals);
    sys_poll(polled, count, more && output_length == 0 ? 0 : -1);
    if (polled[SIGNALS].revents) take_signals(signals);
    take_streams(count);
    if (!polled[CHANNEL].revents) continue;
    long got = sys_read(channel, bytes, sizeof bytes);
    if (got == 0 || (got < 0 && got != -EAGAIN)) return;
    if (got > 0) input(bytes, got);
  }
}
