/* Programs and file operations that are under way. */
#include "agent.h"

struct operation operations[OPERATIONS];
struct operation *operations_end = operations;

struct operation *find_operation(u32 id) {
  for (struct operation *op = operations; op < operations_end; op++)
    if (op->kind && op->id == id) return op;
  return 0;
}

struct operation *new_operation(u32 id, int kind, u32 body_length) {
  struct operation *op = operations;
  while (op < operations + OPERATIONS && op->kind) op++;
  if (op == operations + OPERATIONS) return 0;
  if (op == operations_end) operations_end++;
  memset(op, 0, op->buffer - (u8 *)op);
  op->id = id;
  op->kind = kind;
  op->file = op->fds[STDIN] = op->fds[STDOUT] = op->fds[STDERR] = -1;
  op->body = op->short_body;
  op->body_length = body_length;
  u64 size = body_length * 2ul + NAME_ROOM;
  if (size <= SHORT_BODY) return op;
  long at = sys_mmap(size);
  if (at < 0 && at > -4096) {
    op->body_length = 0; /* nothing of it is taken */
    finish(op, ENOMEM, AT_START);
    return op;
  }
  op->body = (char *)at;
  op->mapped = size;
  return op;
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
  while (operations_end > operations && !operations_end[-1].kind) operations_end--;
}
