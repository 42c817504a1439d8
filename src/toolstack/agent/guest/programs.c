/* Programs that run: how they are signalled, and how they end. */
#include "agent.h"

void signal_program(struct operation *op, int signal, int aborting) {
  if (aborting) op->aborting = 1;
  if (op->pid > 0) sys_kill(-op->pid, signal);
}

void kill_program(struct operation *op) {
  if (op->kind == EXEC && op->pid > 0) sys_kill(-op->pid, SIGKILL);
}

static struct operation *find_program(int pid) {
  for (struct operation *op = operations; op < operations_end; op++)
    if (op->kind == EXEC && op->pid == pid) return op;
  return 0;
}

/* All that it has printed is in its pipes now. What others print into them later is not its own. */
static void count_output(struct operation *op) {
  for (int n = STDOUT; n <= STDERR; n++) {
    op->counted[n] = 1;
    if (op->fds[n] < 0 || sys_ioctl(op->fds[n], FIONREAD, &op->left[n]) < 0) op->left[n] = 0;
  }
}

void reap_programs(void) {
  enum { SI_PID = 4 }; /* of siginfo_t, in ints */
  for (;;) {
    int info[32], status = 0;
    info[SI_PID] = 0;
    /* Looked at before it is reaped: until then its number is no other's. */
    if (sys_waitid(P_ALL, 0, info, WEXITED | WNOHANG | WNOWAIT) < 0 || info[SI_PID] == 0) return;
    int pid = info[SI_PID];
    struct operation *op = find_program(pid);
    if (op && op->aborting) sys_kill(-pid, SIGKILL);
    sys_wait(pid, &status, WNOHANG);
    if (!op) continue;
    op->pid = 0;
    op->status = status;
    op->tell |= TELL_EXITED;
    close_stdin(op);
    count_output(op);
  }
}

void finish_program(struct operation *op) {
  if (op->pid == 0 && op->output[STDOUT] == HAS_ENDED && op->output[STDERR] == HAS_ENDED && !op->tell) finish(op, 0, AT_START);
}

void detach_program(struct operation *op) {
  close_stdin(op);
  for (int n = STDOUT; n <= STDERR; n++)
    if (op->fds[n] >= 0) end_output(op, n);
}
