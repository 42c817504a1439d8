/* What goes to a program and comes from it. */
#include "agent.h"

int drains[DRAINS];
int drains_end;

/* Of what nobody listens to. */
static u8 waste[4096];

/* --- stdin ---------------------------------------------------------------------------------------------------------- */

void close_stdin(struct operation *op) {
  if (op->fds[STDIN] >= 0) sys_close(op->fds[STDIN]);
  op->fds[STDIN] = -1;
  op->room += op->buffered;
  op->buffered = 0;
}

/* Within the window that the host was told, so there is room; what is beyond it is lost. */
void give_stdin(struct operation *op, const u8 *bytes, u32 length) {
  if (op->fds[STDIN] < 0) {
    op->room += length;
    return;
  }
  if (length > WINDOW - op->buffered) length = WINDOW - op->buffered;
  if (op->buffered_at + op->buffered + length > WINDOW) {
    memmove(op->buffer, op->buffer + op->buffered_at, op->buffered);
    op->buffered_at = 0;
  }
  memcpy(op->buffer + op->buffered_at + op->buffered, bytes, length);
  op->buffered += length;
  flush_stdin(op);
}

void flush_stdin(struct operation *op) {
  while (op->buffered > 0) {
    long written = sys_write(op->fds[STDIN], op->buffer + op->buffered_at, op->buffered);
    if (written == -EAGAIN) return;
    if (written < 0) {
      close_stdin(op);
      op->tell |= TELL_STDIN_CLOSED;
      return;
    }
    op->buffered -= written;
    op->buffered_at = op->buffered > 0 ? op->buffered_at + written : 0;
    op->room += written;
  }
  if (op->stdin_end) close_stdin(op);
}

void end_stdin(struct operation *op) {
  op->stdin_end = 1;
  if (op->fds[STDIN] >= 0) flush_stdin(op);
}

/* --- stdout and stderr ---------------------------------------------------------------------------------------------- */

/* Something of the program may still have it open, and is not to die of that. */
static void leave(int fd) {
  static u32 oldest;
  int n = 0;
  while (n < drains_end && drains[n] > 0) n++;
  if (n == DRAINS) {
    n = oldest++ % DRAINS;
    sys_close(drains[n]);
  } else if (n == drains_end) drains_end++;
  drains[n] = fd;
}

void drain(int which) {
  long got = sys_read(drains[which], waste, sizeof waste);
  if (got > 0 || got == -EAGAIN) return;
  sys_close(drains[which]);
  drains[which] = 0;
  while (drains_end > 0 && drains[drains_end - 1] <= 0) drains_end--;
}

static void close_output(struct operation *op, int which) {
  sys_close(op->fds[which]);
  op->fds[which] = -1;
  op->output[which] = TELL_ENDED;
}

void end_output(struct operation *op, int which) {
  if (sys_read(op->fds[which], waste, sizeof waste) == 0) return close_output(op, which); /* nobody has it open */
  leave(op->fds[which]);
  op->fds[which] = -1;
  op->output[which] = TELL_ENDED;
}

int send_output(struct operation *op, int which) {
  if (op->fds[which] < 0) return 0;
  u32 most = MAX_DATA;
  if (op->counted[which]) {
    if (op->left[which] < most) most = op->left[which];
    if (most == 0) {
      end_output(op, which);
      return 1;
    }
  } else if (!op->ready[which]) return 0;
  if (most > op->credit[which]) most = op->credit[which];
  if (most == 0) return 0;
  u8 *content = begin_frame(OUTPUT, op->id);
  long got = sys_read(op->fds[which], content + 1, most);
  /* When it has given less than it was asked for, poll knows whether there is more. */
  if (got < most) op->ready[which] = 0;
  if (got == -EAGAIN) return 0;
  if (got <= 0) {
    close_output(op, which);
    return 1;
  }
  content[0] = which;
  op->credit[which] -= got;
  if (op->counted[which]) op->left[which] -= got;
  end_frame(got + 1);
  return 1;
}
