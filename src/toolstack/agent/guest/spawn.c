/* How a program that the host has asked for is started. */
#include "agent.h"

struct start {
  char *cwd, **argv, **env;
  int stdio[STREAMS];
  /* Answers, by the memory that parent and child share until the program runs. */
  int error, stage;
};

/* Arguments and variables of most programs; those of others are given memory for the while. */
enum { FEW = 256 };

static const char usual_path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/* --- in the child ---------------------------------------------------------------------------------------------------- */

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
      append(append(place + length, "/"), file);
      long result = sys_execve(place, argv, env);
      if (result != -ENOENT && result != -ENOTDIR) error = result;
    }
    path += length;
    if (*path) path++;
  }
  return error;
}

static void become(void *argument) {
  struct start *start = argument;
  u64 none = 0;
  sys_setsid(); /* a process group of its own, to be signalled as one */
  for (int n = 0; n < STREAMS; n++) sys_dup2(start->stdio[n], n);
  start->stage = AT_CWD;
  /* The agent is in the root. */
  start->error = *start->cwd && !same_text(start->cwd, "/") ? sys_chdir(start->cwd) : 0;
  if (start->error) return;
  sys_sigprocmask(SIG_SETMASK, &none);
  start->stage = AT_COMMAND;
  start->error = execute(start->argv[0], start->argv, start->env);
}

/* --- what the host says of it --------------------------------------------------------------------------------------- */

/* The strings of a request, one after the other; 0 when there is none left. */
static char *next_text(struct operation *op, u32 *at) {
  char *text = op->body + *at;
  while (*at < op->body_length)
    if (op->body[(*at)++] == 0) return text;
  return 0;
}

/* So many strings, and a zero. Returns whether there are so many. */
static int texts(struct operation *op, u32 *at, char **to, u32 count) {
  for (u32 n = 0; n < count; n++)
    if (!(to[n] = next_text(op, at))) return 0;
  to[count] = 0;
  return 1;
}

static int same_name(const char *a, const char *b) {
  for (; *a == *b; a++, b++)
    if (*a == '=' || *a == 0) return 1;
  return 0;
}

static u32 count_texts(char **list) {
  u32 count = 0;
  while (list[count]) count++;
  return count;
}

/* Adds the agent's own environment, where the request does not say otherwise, and a path in any case. */
static void inherit(char **env, u32 given) {
  u32 count = given;
  for (char **variable = environment; *variable; variable++) {
    u32 n = 0;
    while (n < given && !same_name(env[n], *variable)) n++;
    if (n == given) env[count++] = *variable;
  }
  env[count] = 0;
  if (value_in(env, "PATH=")) return;
  env[count++] = (char *)usual_path;
  env[count] = 0;
}

/* --- its streams ---------------------------------------------------------------------------------------------------- */

/* Ours and the program's of each. */
struct pipes { int ours[STREAMS], its[STREAMS]; };

static int make_pipe(struct pipes *pipes, int which) {
  int ends[2];
  int error = sys_pipe(ends, O_CLOEXEC);
  if (error) return error;
  pipes->ours[which] = ends[which == STDIN];
  pipes->its[which] = ends[which != STDIN];
  return sys_fcntl(pipes->ours[which], F_SETFL, O_NONBLOCK);
}

/* Nothing to read. Kept open: to find it anew for each program would cost as much as a pipe. */
static int nothing(void) {
  static int fd = -1;
  if (fd < 0) fd = sys_open("/dev/null", O_RDONLY | O_CLOEXEC, 0);
  return fd;
}

static void close_all(const int *fds) {
  for (int n = 0; n < STREAMS; n++)
    if (fds[n] >= 0) sys_close(fds[n]);
}

/* The request: flags, number of arguments, number of variables (16 bits each), then folder, arguments and environment, each with a zero behind it. */
void start_program(struct operation *op) {
  static char spawn_stack[16384], *few[FEW];
  static struct start start;
  enum { FLAGS = 0, ARGC = 1, ENVC = 2, HEAD = 6 };
  struct pipes pipes = { { -1, -1, -1 }, { -1, -1, -1 } };
  const u16 *head = (const u16 *)op->body;
  u32 at = HEAD;
  if (op->body_length < HEAD || head[ARGC] == 0) return finish(op, EINVAL, AT_START);

  u32 count = head[ARGC] + 1 + head[ENVC] + count_texts(environment) + 2;
  char **lists = count <= FEW ? few : (char **)sys_mmap(count * sizeof(char *));
  if ((long)lists < 0 && (long)lists > -4096) return finish(op, ENOMEM, AT_START);
  start.argv = lists;
  start.env = lists + head[ARGC] + 1;
  start.cwd = next_text(op, &at);
  int complete = start.cwd && texts(op, &at, start.argv, head[ARGC]) && texts(op, &at, start.env, head[ENVC]);

  int error = complete ? 0 : -EINVAL, pid = 0;
  if (!error && head[FLAGS] & HAS_STDIN) error = make_pipe(&pipes, STDIN);
  if (!error) error = make_pipe(&pipes, STDOUT);
  if (!error) error = make_pipe(&pipes, STDERR);
  start.stage = AT_START;
  if (!error) {
    inherit(start.env, head[ENVC]);
    for (int n = 0; n < STREAMS; n++) start.stdio[n] = pipes.its[n] < 0 ? nothing() : pipes.its[n];
    start.error = 0;
    pid = spawn(spawn_stack + sizeof spawn_stack, become, &start);
    error = pid < 0 ? pid : start.error;
  }
  if (lists != few) sys_munmap(lists, count * sizeof(char *));
  close_all(pipes.its);
  if (error) {
    int status;
    if (pid > 0) sys_wait(pid, &status, 0);
    close_all(pipes.ours);
    return finish(op, -error, start.stage);
  }
  for (int n = 0; n < STREAMS; n++) op->fds[n] = pipes.ours[n];
  op->pid = pid;
  op->tell = TELL_STARTED;
}
