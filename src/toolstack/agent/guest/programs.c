/* Programs that the host has asked for. */
#include "agent.h"

int drains[DRAINS];

struct start {
  char *cwd, **argv, **env;
  int stdio[3];
  /* Answers, by the memory that parent and child share until the program runs. */
  int error, stage;
};

static char spawn_stack[16384];
static struct start starting;

static const char usual_path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

static char *value_in(char **env, const char *name_and_equals) {
  for (; *env; env++)
    if (begins_with(*env, name_and_equals)) return *env + length_of(name_and_equals);
  return 0;
}

/* As execvp does it. A script without an interpreter line (ENOEXEC) is an error. */
static int execute(char *file, char **argv, char **env) {
  for (const char *at = file; *at; at++)
    if (*at == '/') return sys_execve(file, argv, env);
  char *path = value_in(env, "PATH="), place[4352];
  int error = -ENOENT;
  while (path && *path) {
    u64 length = 0;
    while (path[length] && path[length] != ':') length++;
    if (length > 0 && length + length_of(file) + 2 < sizeof place) {
      memcpy(place, path, length);
      place[length] = 0;
      append(append(place + length, "/"), file);
      long result = sys_execve(place, argv, env);
      if (result != -ENOENT && result != -ENOTDIR) error = result;
    }
    path += length;
    if (*path) path++;
  }
  return error;
}

/* In the child. */
static void become(void *argument) {
  struct start *start = argument;
  u64 none = 0;
  sys_setsid(); /* a process group of its own, to be signalled as one */
  for (int n = 0; n < 3; n++) sys_dup2(start->stdio[n], n);
  start->stage = AT_CWD;
  start->error = sys_chdir(*start->cwd ? start->cwd : "/");
  if (start->error) return;
  sys_sigprocmask(SIG_SETMASK, &none);
  start->stage = AT_COMMAND;
  start->error = execute(start->argv[0], start->argv, start->env);
}

/* The strings of a request, one after the other; 0 when there is none left. */
static char *next_text(struct operation *op, u32 *at) {
  char *text = op->body + *at;
  while (*at < op->body_length)
    if (op->body[(*at)++] == 0) return text;
  return 0;
}

static int same_name(const char *a, const char *b) {
  for (; *a == *b; a++, b++)
    if (*a == '=' || *a == 0) return 1;
  return 0;
}

static void close_all(int *fds, int count) {
  for (int n = 0; n < count; n++)
    if (fds[n] >= 0) sys_close(fds[n]);
}

/* The request: flags (1: has stdin), argc, envc, 16 bits each, then cwd, arguments and environment, each with a zero behind it. */
void start_program(struct operation *op) {
  u16 *head = (u16 *)op->body;
  u32 at = 6, count = 0, given;
  if (op->body_length < at) return finish(op, EINVAL, AT_START);
  u32 has_stdin = head[0] & 1, argc = head[1], envc = head[2];
  for (char **variable = environment; *variable; variable++) count++;
  u64 size = (argc + envc + count + 4) * sizeof(char *);
  char **argv = (char **)sys_mmap(size);
  if ((long)argv < 0 && (long)argv > -4096) return finish(op, ENOMEM, AT_START);
  char **env = argv + argc + 1;
  char *cwd = next_text(op, &at);
  int complete = cwd != 0 && argc > 0;
  for (u32 n = 0; complete && n < argc; n++) complete = (argv[n] = next_text(op, &at)) != 0;
  for (u32 n = 0; complete && n < envc; n++) complete = (env[n] = next_text(op, &at)) != 0;
  /* The agent's own environment, where the request does not say otherwise, and a path in any case. */
  given = envc;
  for (char **variable = environment; complete && *variable; variable++) {
    u32 n = 0;
    while (n < given && !same_name(env[n], *variable)) n++;
    if (n == given) env[envc++] = *variable;
  }
  if (complete && !value_in(env, "PATH=")) env[envc++] = (char *)usual_path;

  int fds[6] = { -1, -1, -1, -1, -1, -1 };
  int error = complete ? 0 : -EINVAL;
  if (!error) {
    if (has_stdin) error = sys_pipe(fds, O_CLOEXEC);
    else if ((fds[0] = sys_open("/dev/null", O_RDONLY | O_CLOEXEC, 0)) < 0) error = fds[0];
  }
  if (!error) error = sys_pipe(fds + 2, O_CLOEXEC);
  if (!error) error = sys_pipe(fds + 4, O_CLOEXEC);
  int stage = AT_START, pid = 0;
  if (!error) {
    starting.cwd = cwd;
    starting.argv = argv;
    starting.env = env;
    starting.stdio[0] = fds[0];
    starting.stdio[1] = fds[3];
    starting.stdio[2] = fds[5];
    starting.error = 0;
    pid = spawn(spawn_stack + sizeof spawn_stack, become, &starting);
    error = pid < 0 ? pid : starting.error;
    stage = starting.stage;
  }
  sys_munmap(argv, size);
  if (error) {
    int status;
    if (pid > 0) sys_wait(pid, &status, 0);
    close_all(fds, 6);
    return finish(op, -error, stage);
  }
  sys_close(fds[0]);
  sys_close(fds[3]);
  sys_close(fds[5]);
  op->fds[STDIN] = fds[1];
  op->fds[STDOUT] = fds[2];
  op->fds[STDERR] = fds[4];
  for (int n = 0; n < 3; n++)
    if (op->fds[n] >= 0) sys_fcntl(op->fds[n], F_SETFL, O_NONBLOCK);
  op->pid = pid;
  op->tell = TELL_STARTED;
}

static void close_stdin(struct operation *op) {
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

void signal_program(struct operation *op, int signal, int aborting) {
  if (aborting) op->aborting = 1;
  if (op->pid > 0) sys_kill(-op->pid, signal);
}

void reap_programs(void) {
  for (;;) {
    int info[32] = { 0 };
    /* Looked at before it is reaped: until then its number is no other's. */
    if (sys_waitid(P_ALL, 0, info, WEXITED | WNOHANG | WNOWAIT) < 0 || info[4] == 0) return;
    int pid = info[4], status = 0; /* si_pid of siginfo_t */
    struct operation *op = operations;
    while (op < operations + OPERATIONS && !(op->kind == EXEC && op->pid == pid)) op++;
    int known = op < operations + OPERATIONS;
    if (known && op->aborting) sys_kill(-pid, SIGKILL);
    sys_wait(pid, &status, WNOHANG);
    if (!known) continue;
    op->pid = 0;
    op->status = status;
    op->tell |= TELL_EXITED;
    close_stdin(op);
    /* All that it has printed is in its pipes now. What others print into them later is not its own. */
    for (int n = STDOUT; n <= STDERR; n++) {
      op->counted[n] = 1;
      if (op->fds[n] < 0 || sys_ioctl(op->fds[n], FIONREAD, &op->left[n]) < 0) op->left[n] = 0;
    }
  }
}

/* Something of the program may still have it open, and is not to die of that. */
static void leave(int fd) {
  static int oldest;
  int n = 0;
  while (n < DRAINS && drains[n] > 0) n++;
  if (n == DRAINS) {
    n = oldest++ % DRAINS;
    sys_close(drains[n]);
  }
  drains[n] = fd;
}

void drain(int *fd) {
  static u8 waste[4096];
  long got = sys_read(*fd, waste, sizeof waste);
  if (got > 0 || got == -EAGAIN) return;
  sys_close(*fd);
  *fd = 0;
}

static void end_output(struct operation *op, int which) {
  if (op->fds[which] >= 0) leave(op->fds[which]);
  op->fds[which] = -1;
  op->ended[which] = 1;
}

int send_output(struct operation *op, int which) {
  if (op->ended[which]) return 0;
  u32 most = op->counted[which] && op->left[which] < MAX_DATA ? op->left[which] : MAX_DATA;
  if (most == 0) {
    end_output(op, which);
    return 1;
  }
  if (most > op->credit[which]) most = op->credit[which];
  if (most == 0) return 0;
  u8 *content = begin_frame(OUTPUT, op->id);
  long got = sys_read(op->fds[which], content + 1, most);
  if (got == -EAGAIN) return 0;
  if (got <= 0) {
    end_output(op, which);
    return 1;
  }
  content[0] = which;
  op->credit[which] -= got;
  if (op->counted[which]) op->left[which] -= got;
  end_frame(got + 1);
  return 1;
}

void detach_program(struct operation *op) {
  close_stdin(op);
  for (int n = STDOUT; n <= STDERR; n++)
    if (op->fds[n] >= 0) end_output(op, n);
}
