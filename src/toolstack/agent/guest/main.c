/* The agent: serves one channel to the host, on which the host runs programs and handles files in this guest. docs/agent.md has the protocol.

   One thread, which never waits for anything but in poll: what the host sends is bounded by what it was told there is room for, and what the
   host is to be told waits with the operation it is about until there is room on the channel. */
#include "agent.h"

static const char usage[] =
    "Usage: xenolith-agent [FILE]\n"
    "Lets the host of this Xen domain run programs and handle files in it, over the domain's channel\n"
    "org.xenolith.agent.0, or over FILE (such as /dev/hvc1; - is standard input). Ends when there is no such channel.\n";

static const char channel_name[] = "org.xenolith.agent.0";
/* "XLAG" */
static const u32 magic = 0x47414c58;
/* Of the host's RESET. */
enum { DETACH = 0, KILL = 1 };

struct operation operations[OPERATIONS];
char **environment;

static u64 session;
static int in_session, tell_hello;
static int channel;
static int signals;

struct operation *find_operation(u32 id) {
  for (struct operation *op = operations; op < operations + OPERATIONS; op++)
    if (op->kind && op->id == id) return op;
  return 0;
}

void finish(struct operation *op, int error, int stage) {
  op->error = error;
  op->stage = stage;
  op->tell |= TELL_RESULT;
}

void release(struct operation *op) {
  if (op->kind == EXEC) detach_program(op);
  else abandon_file(op);
  if (op->mapped) sys_munmap(op->body, op->mapped);
  op->mapped = 0;
  op->kind = 0;
}

/* --- what the host says --------------------------------------------------------------------------------------------- */

static void begin_session(const u8 *content, u32 length) {
  if (length < 16 || *(u32 *)content != magic) return;
  u64 nonce = *(u64 *)(content + 8);
  tell_hello = 1;
  if (in_session && nonce == session) return; /* asked twice */
  for (struct operation *op = operations; op < operations + OPERATIONS; op++) {
    if (!op->kind) continue;
    if (op->kind == EXEC && op->pid > 0 && content[6] == KILL) sys_kill(-op->pid, SIGKILL);
    release(op);
  }
  session = nonce;
  in_session = 1;
  reset_output();
}

static void start(struct operation *op) {
  if (op->kind == EXEC) start_program(op);
  else start_file_operation(op, op->kind);
}

static void add_to_body(struct operation *op, const u8 *bytes, u32 length) {
  if (length > op->body_length - op->body_have) length = op->body_length - op->body_have;
  memcpy(op->body + op->body_have, bytes, length);
  op->body_have += length;
  if (op->body_have == op->body_length) start(op);
}

/* An OPEN: what (8 bits), the request's length, how much may be sent of each stream (32 bits each), and the request's beginning. */
static void open_operation(u32 id, const u8 *content, u32 length) {
  enum { HEAD = 9 };
  if (length < HEAD) return;
  struct operation *op = operations;
  while (op < operations + OPERATIONS && op->kind) op++;
  u32 body_length = *(u32 *)(content + 1);
  if (op == operations + OPERATIONS || body_length > MAX_BODY || content[0] < EXEC || content[0] > REMOVE) {
    if (!has_room()) return; /* to a host that does not keep to what it was told */
    u8 *answer = begin_frame(RESULT, id);
    *(u32 *)answer = body_length > MAX_BODY ? E2BIG : op == operations + OPERATIONS ? EUSERS : EINVAL;
    answer[4] = AT_START;
    return end_frame(5);
  }
  u8 *buffer = op->buffer;
  memset(op, 0, buffer - (u8 *)op);
  op->id = id;
  op->kind = content[0];
  op->file = op->fds[STDIN] = op->fds[STDOUT] = op->fds[STDERR] = -1;
  op->credit[STDOUT] = op->credit[STDERR] = *(u32 *)(content + 5);
  op->body_length = body_length;
  op->mapped = body_length * 2 + 128; /* a file's temporary name goes behind its path */
  op->body = (char *)sys_mmap(op->mapped);
  if ((long)op->body < 0 && (long)op->body > -4096) {
    op->mapped = 0;
    return finish(op, ENOMEM, AT_START);
  }
  add_to_body(op, content + HEAD, length - HEAD);
}

static void take(u8 type, u32 id, u8 *content, u32 length) {
  if (type == RESET) return begin_session(content, length);
  if (!in_session) return;
  struct operation *op = find_operation(id);
  if (type == OPEN) {
    if (!op) open_operation(id, content, length);
    return;
  }
  if (!op) return; /* it ended while this was on its way */
  int writing = op->kind == WRITE && op->file >= 0;
  switch (type) {
    case BODY:
      if (op->body_have < op->body_length) add_to_body(op, content, length);
      return;
    case DATA:
      if (op->kind == EXEC) give_stdin(op, content, length);
      else if (writing) write_file(op, content, length);
      return;
    case END:
      if (op->kind == EXEC) end_stdin(op);
      else if (writing) commit_file(op);
      return;
    case CREDIT:
      if (length >= 5 && (content[0] == STDOUT || content[0] == STDERR)) op->credit[content[0]] += *(u32 *)(content + 1);
      return;
    case SIGNAL:
      if (length >= 2 && op->kind == EXEC) signal_program(op, content[0], content[1]);
      return;
    case CLOSE:
      if (op->kind == EXEC && op->pid > 0) sys_kill(-op->pid, SIGKILL);
      release(op);
      return;
  }
}

/* --- what the host is told ------------------------------------------------------------------------------------------ */

/* HELLO: magic, version (16 bits), operations (16 bits), window (32 bits), the session. */
static void send_hello(void) {
  u8 *content = begin_frame(HELLO, 0);
  *(u32 *)content = magic;
  *(u16 *)(content + 4) = VERSION;
  *(u16 *)(content + 6) = OPERATIONS;
  *(u32 *)(content + 8) = WINDOW;
  *(u64 *)(content + 12) = session;
  end_frame(20);
}

static int told(struct operation *op, int what) {
  int due = op->tell & what;
  op->tell &= ~what;
  return due;
}

/* The last word about a program, as about everything, is a RESULT. */
static void finish_program(struct operation *op) {
  if (op->pid == 0 && op->ended[STDOUT] == 2 && op->ended[STDERR] == 2 && !op->tell) finish(op, 0, AT_START);
}

/* One frame about the operation; 0 when there is nothing to say. */
static int tell(struct operation *op) {
  u8 *content;
  if (told(op, TELL_STARTED)) {
    content = begin_frame(STARTED, op->id);
    *(u32 *)content = op->pid;
    end_frame(4);
    return 1;
  }
  /* Told in lumps: a frame for each kilobyte would cost more than the kilobyte. */
  if (op->room >= WINDOW / 4 || (op->room > 0 && op->kind == EXEC && op->buffered == 0)) {
    content = begin_frame(ROOM, op->id);
    *(u32 *)content = op->room;
    op->room = 0;
    end_frame(4);
    return 1;
  }
  if (told(op, TELL_STDIN_CLOSED)) {
    *begin_frame(ENDED, op->id) = STDIN;
    end_frame(1);
    return 1;
  }
  if (told(op, TELL_EXITED)) {
    content = begin_frame(EXITED, op->id);
    content[0] = op->status >> 8 & 255;
    content[1] = op->status & 127;
    end_frame(2);
    finish_program(op);
    return 1;
  }
  if (told(op, TELL_RESULT)) {
    content = begin_frame(RESULT, op->id);
    *(u32 *)content = op->error;
    content[4] = op->stage;
    memcpy(content + 5, op->reply, op->reply_length);
    end_frame(5 + op->reply_length);
    release(op);
    return 1;
  }
  if (op->kind == EXEC)
    for (int n = STDOUT; n <= STDERR; n++)
      if (op->ended[n] == 1) {
        op->ended[n] = 2;
        *begin_frame(ENDED, op->id) = n;
        end_frame(1);
        finish_program(op);
        return 1;
      }
  return 0;
}

static int send_data(struct operation *op) {
  if (op->kind == EXEC) return op->fds[STDOUT] < 0 && op->fds[STDERR] < 0 ? 0 : send_output(op, STDOUT) | (has_room() && send_output(op, STDERR));
  return (op->kind == READ || op->kind == LIST) && op->file >= 0 && !op->tell && send_file(op);
}

/* News first, then a frame of each operation in turn, as long as the channel has room. Returns whether there may be more. */
static int fill_output(void) {
  static int turn;
  if (tell_hello && has_room()) {
    tell_hello = 0;
    send_hello();
  }
  for (int busy = 1; busy && has_room();) {
    busy = 0;
    for (int n = 0; n < OPERATIONS && has_room(); n++)
      while (operations[n].kind && has_room() && tell(&operations[n])) busy = 1;
    turn = (turn + 1) % OPERATIONS;
    for (int n = 0; n < OPERATIONS && has_room(); n++) {
      struct operation *op = &operations[(turn + n) % OPERATIONS];
      if (op->kind && send_data(op)) busy = 1;
    }
  }
  return !has_room();
}

/* --- the loop ------------------------------------------------------------------------------------------------------- */

enum { CHANNEL = 0, SIGNALS = 1, FIRST = 2, POLLED = FIRST + 3 * OPERATIONS + DRAINS };
static struct pollfd polled[POLLED];
static struct operation *polled_stdin[POLLED];
static int *polled_drain[POLLED];

static int watch(int count, int fd, int events) {
  polled[count].fd = fd;
  polled[count].events = events;
  polled[count].revents = 0;
  polled_stdin[count] = 0;
  polled_drain[count] = 0;
  return count + 1;
}

/* Without room on the channel there is no use in knowing who has something to say. */
static int watch_all(void) {
  int room = has_room();
  int count = watch(watch(0, channel, POLLIN | (output_length > 0 ? POLLOUT : 0)), signals, POLLIN);
  for (struct operation *op = operations; op < operations + OPERATIONS; op++) {
    if (op->kind != EXEC) continue;
    if (op->buffered > 0) {
      count = watch(count, op->fds[STDIN], POLLOUT);
      polled_stdin[count - 1] = op;
    }
    for (int n = STDOUT; room && n <= STDERR; n++)
      if (op->fds[n] >= 0 && op->credit[n] > 0) count = watch(count, op->fds[n], POLLIN);
  }
  for (int n = 0; n < DRAINS; n++)
    if (drains[n] > 0) {
      count = watch(count, drains[n], POLLIN);
      polled_drain[count - 1] = &drains[n];
    }
  return count;
}

static void take_signals(void) {
  u32 info[32];
  while (sys_read(signals, info, sizeof info) > 0)
    if (info[0] == SIGTERM) sys_exit(0);
  reap_programs();
}

/* Until the channel is gone. */
static void serve(void) {
  static u8 bytes[8192];
  tell_hello = 1;
  reset_output();
  for (;;) {
    int more = fill_output();
    while (output_length > 0) {
      long written = sys_write(channel, output + output_at, output_length);
      if (written == -EAGAIN || written == 0) break;
      if (written < 0) return;
      output_at += written;
      output_length -= written;
    }
    int count = watch_all();
    sys_poll(polled, count, more && output_length == 0 ? 0 : -1);
    if (polled[SIGNALS].revents) take_signals();
    for (int n = FIRST; n < count; n++) {
      if (!polled[n].revents) continue;
      if (polled_stdin[n] && polled_stdin[n]->fds[STDIN] >= 0) flush_stdin(polled_stdin[n]);
      if (polled_drain[n]) drain(polled_drain[n]);
    }
    if (!polled[CHANNEL].revents) continue;
    long got = sys_read(channel, bytes, sizeof bytes);
    if (got == 0 || (got < 0 && got != -EAGAIN)) return;
    if (got > 0) input(bytes, got, take);
  }
}

/* Signals are read, not delivered; programs get back what they are used to. */
static void prepare_signals(void) {
  u64 all = ~0ul, wanted = 1ul << (SIGCHLD - 1) | 1ul << (SIGTERM - 1);
  struct sigaction usual = { 0 };
  for (int signal = 1; signal < 65; signal++) sys_sigaction(signal, &usual);
  sys_sigprocmask(SIG_SETMASK, &all);
  signals = sys_signalfd(&wanted, O_NONBLOCK | O_CLOEXEC);
}

/* 0 to 2 are what programs get; none of ours may be among them. */
static void occupy_stdio(void) {
  long fd;
  do fd = sys_open("/dev/null", O_RDWR, 0);
  while (fd >= 0 && fd <= STDERR);
  sys_close(fd);
}

void start_agent(long *stack) {
  enum { PATIENCE = 100, STEP_MS = 100 };
  char **argv = (char **)(stack + 1);
  environment = argv + stack[0] + 1;
  const char *path = stack[0] > 1 ? argv[1] : 0;
  if (stack[0] > 2 || (path && path[0] == '-' && path[1])) {
    say(usage);
    sys_exit(2);
  }
  sys_umask(022);
  prepare_frames();
  prepare_signals();
  occupy_stdio();
  if (path && same_text(path, "-")) {
    sys_fcntl(0, F_SETFL, O_NONBLOCK);
    serve();
    sys_exit(0);
  }
  for (int tries = 0; tries < PATIENCE; tries++) {
    channel = path ? open_channel(path) : open_channel_named(channel_name);
    if (channel == -ENOENT && !path) sys_exit(0); /* this domain has no such channel */
    if (channel >= 0) {
      tries = 0;
      serve();
      sys_close(channel);
    }
    pause_for(STEP_MS); /* the console may still be on its way */
  }
  say("xenolith-agent: the channel to the host cannot be opened\n");
  sys_exit(1);
}
