/* What the host says. */
#include "agent.h"

int in_session;
static u64 session;

/* A RESET: magic, version (16 bits), DETACH or KILL (8 bits), a zero, the session. */
static void begin_session(const u8 *content, u32 length) {
  enum { EARLIER = 6, SESSION = 8 };
  if (length < SESSION + 8 || *(u32 *)content != MAGIC) return;
  u64 wanted = *(u64 *)(content + SESSION);
  answer_hello(wanted);
  if (in_session && wanted == session) return; /* asked twice */
  for (struct operation *op = operations; op < operations_end; op++) {
    if (!op->kind) continue;
    if (content[EARLIER] == KILL) kill_program(op);
    release(op);
  }
  session = wanted;
  in_session = 1;
  reset_output();
}

static void add_to_body(struct operation *op, const u8 *bytes, u32 length) {
  if (length > op->body_length - op->body_have) length = op->body_length - op->body_have;
  memcpy(op->body + op->body_have, bytes, length);
  op->body_have += length;
  if (op->body_have < op->body_length) return;
  if (op->kind == EXEC) start_program(op);
  else start_file_operation(op);
}

/* An OPEN: what (8 bits), the request's length, how much may be sent of each stream (32 bits each), and the request's beginning. */
static void open_operation(u32 id, const u8 *content, u32 length) {
  enum { LENGTH = 1, CREDIT_AT = 5, HEAD = 9 };
  if (length < HEAD) return;
  u32 body_length = *(u32 *)(content + LENGTH);
  if (content[0] < EXEC || content[0] > REMOVE) return refuse(id, EINVAL);
  if (body_length > MAX_BODY) return refuse(id, E2BIG);
  struct operation *op = new_operation(id, content[0], body_length);
  if (!op) return refuse(id, EUSERS);
  if (op->tell) return; /* there is no memory for it */
  op->credit[STDOUT] = op->credit[STDERR] = *(u32 *)(content + CREDIT_AT);
  add_to_body(op, content + HEAD, length - HEAD);
}

static void take_data(struct operation *op, const u8 *bytes, u32 length) {
  if (op->kind == EXEC) give_stdin(op, bytes, length);
  else if (op->kind == WRITE && op->file >= 0) write_file(op, bytes, length);
}

static void take_end(struct operation *op) {
  if (op->kind == EXEC) end_stdin(op);
  else if (op->kind == WRITE && op->file >= 0) commit_file(op);
}

void take(u8 type, u32 id, u8 *content, u32 length) {
  if (type == RESET) return begin_session(content, length);
  if (!in_session) return;
  struct operation *op = find_operation(id);
  if (type == OPEN && !op) return open_operation(id, content, length);
  if (!op) return; /* it ended while this was on its way */
  switch (type) {
    case BODY:
      if (op->body_have < op->body_length) add_to_body(op, content, length);
      return;
    case DATA:
      return take_data(op, content, length);
    case END:
      return take_end(op);
    case CREDIT: /* stream (8 bits), bytes (32 bits) */
      if (length >= 5 && (content[0] == STDOUT || content[0] == STDERR)) op->credit[content[0]] += *(u32 *)(content + 1);
      return;
    case SIGNAL: /* signal, whether it is given up (8 bits each) */
      if (length >= 2 && op->kind == EXEC) signal_program(op, content[0], content[1]);
      return;
    case CLOSE:
      kill_program(op);
      return release(op);
  }
}
