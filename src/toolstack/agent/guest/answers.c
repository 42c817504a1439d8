/* What the host is told. Nothing is queued: what is to be said waits with the operation that it is about until there is room on the channel. */
#include "agent.h"

static int hello_due;
static u64 hello_session;

void answer_hello(u64 session) {
  hello_due = 1;
  hello_session = session;
}

/* HELLO: magic, version (16 bits), operations (16 bits), window (32 bits), the session. */
static void send_hello(void) {
  u8 *content = begin_frame(HELLO, 0);
  *(u32 *)content = MAGIC;
  *(u16 *)(content + 4) = VERSION;
  *(u16 *)(content + 6) = OPERATIONS;
  *(u32 *)(content + 8) = WINDOW;
  *(u64 *)(content + 12) = hello_session;
  end_frame(20);
}

/* RESULT: error number (32 bits), where (8 bits), reply. */
static void send_result(u32 id, int error, int stage, const u8 *reply, u32 length) {
  u8 *content = begin_frame(RESULT, id);
  *(u32 *)content = error;
  content[4] = stage;
  memcpy(content + 5, reply, length);
  end_frame(5 + length);
}

void refuse(u32 id, int error) {
  /* A host that keeps to what it was told has not asked for so much that there is none. */
  if (has_room()) send_result(id, error, AT_START, 0, 0);
}

static void send_number(u8 type, u32 id, u32 number) {
  *(u32 *)begin_frame(type, id) = number;
  end_frame(4);
}

static void send_ended(u32 id, int which) {
  *begin_frame(ENDED, id) = which;
  end_frame(1);
}

static int told(struct operation *op, int what) {
  int due = op->tell & what;
  op->tell &= ~what;
  return due;
}

/* Told in lumps: a frame for each kilobyte would cost more than the kilobyte. */
static int room_is_due(const struct operation *op) {
  return op->room >= WINDOW / 4 || (op->room > 0 && op->kind == EXEC && op->buffered == 0);
}

/* One frame about the operation; 0 when there is nothing to say. */
static int tell(struct operation *op) {
  if (told(op, TELL_STARTED)) {
    send_number(STARTED, op->id, op->pid);
    return 1;
  }
  if (room_is_due(op)) {
    send_number(ROOM, op->id, op->room);
    op->room = 0;
    return 1;
  }
  if (told(op, TELL_STDIN_CLOSED)) {
    send_ended(op->id, STDIN);
    return 1;
  }
  if (told(op, TELL_EXITED)) {
    u8 *content = begin_frame(EXITED, op->id);
    content[0] = op->status >> 8 & 255;
    content[1] = op->status & 127;
    end_frame(2);
    finish_program(op);
    return 1;
  }
  if (told(op, TELL_RESULT)) {
    send_result(op->id, op->error, op->stage, op->buffer, op->reply_length);
    release(op);
    return 1;
  }
  for (int n = STDOUT; op->kind == EXEC && n <= STDERR; n++)
    if (op->output[n] == TELL_ENDED) {
      op->output[n] = HAS_ENDED;
      send_ended(op->id, n);
      finish_program(op);
      return 1;
    }
  return 0;
}

static int send_data(struct operation *op) {
  if (op->kind == EXEC) return send_output(op, STDOUT) | (has_room() && send_output(op, STDERR));
  return (op->kind == READ || op->kind == LIST) && op->file >= 0 && !op->tell && send_file(op);
}

/* News first, then a frame of each operation in turn. */
int fill_output(void) {
  static u32 turn;
  if (hello_due && has_room()) {
    hello_due = 0;
    send_hello();
  }
  for (int busy = 1; busy && has_room();) {
    busy = 0;
    for (struct operation *op = operations; op < operations_end && has_room(); op++)
      while (op->kind && has_room() && tell(op)) busy = 1;
    u32 count = operations_end - operations;
    if (count == 0) break;
    turn++;
    for (u32 n = 0; n < count && has_room(); n++) {
      struct operation *op = &operations[(turn + n) % count];
      if (op->kind && send_data(op)) busy = 1;
    }
  }
  return !has_room();
}
