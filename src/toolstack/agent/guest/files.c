/* Files of the guest: what the host reads, writes and looks at. Paths are as the kernel takes them, relative ones begin at the root. */
#include "agent.h"

/* Mode, uid, gid (32 bits each), size, modified (64 bits each, the latter in milliseconds since 1970), length of the name (16 bits), name. */
u32 describe(u8 *at, const struct stat *st, const char *name) {
  u32 length = length_of(name);
  *(u32 *)at = st->mode;
  *(u32 *)(at + 4) = st->uid;
  *(u32 *)(at + 8) = st->gid;
  *(u64 *)(at + 12) = st->size;
  *(u64 *)(at + 20) = st->mtime * 1000 + st->mtime_ns / 1000000;
  *(u16 *)(at + 28) = length;
  memcpy(at + ENTRY, name, length);
  return ENTRY + length;
}

/* Beside the path, so that it can be renamed to it. The body has room for it behind the path. */
static void name_temporary(struct operation *op) {
  char *end = op->path;
  char *to = op->path + length_of(op->path) + 1, *slash = 0;
  op->temporary = to;
  for (; *end; end++)
    if (*end == '/') slash = end + 1;
  if (slash) {
    memcpy(to, op->path, slash - op->path);
    to += slash - op->path;
  }
  to = append(to, ".xenolith-agent-");
  to = append(append_number(to, sys_getpid()), "-");
  append_number(to, op->id);
}

/* A link or a device is written through, and a file is replaced: who reads it sees the old or the new one. */
static int open_to_write(struct operation *op, const struct file_request *request) {
  struct stat st;
  int known = sys_lstat(op->path, &st) == 0;
  op->temporary = 0;
  if (request->flags & IN_PLACE || (known && (st.mode & S_IFMT) != S_IFREG))
    return sys_open(op->path, O_WRONLY | O_CREAT | O_TRUNC | O_NOCTTY | O_NONBLOCK | O_CLOEXEC, request->flags & HAS_MODE ? request->mode : 0666);
  name_temporary(op);
  int file = sys_open(op->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, known ? 0600 : 0666);
  if (file < 0) {
    op->temporary = 0;
    return file;
  }
  if (known) {
    sys_fchown(file, st.uid, st.gid);
    sys_fchmod(file, st.mode & 07777);
  }
  if (request->flags & HAS_MODE) sys_fchmod(file, request->mode & 07777);
  return file;
}

void start_file_operation(struct operation *op) {
  const struct file_request *request = (const struct file_request *)op->body;
  struct stat st;
  if (op->body_length <= sizeof *request || op->body[op->body_length - 1] != 0) return finish(op, EINVAL, AT_START);
  op->path = op->body + sizeof *request;
  switch (op->kind) {
    case READ:
      /* What is no file, and has nothing to give now, is not waited for. */
      op->file = sys_open(op->path, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC, 0);
      if (op->file < 0) return finish(op, -op->file, AT_START);
      op->remaining = request->length;
      if (request->offset > 0) {
        long at = sys_lseek(op->file, request->offset, SEEK_SET);
        if (at < 0) return finish(op, -at, AT_START);
      }
      return;
    case LIST:
      op->file = sys_open(op->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
      if (op->file < 0) return finish(op, -op->file, AT_START);
      op->entries_at = op->entries_length = 0;
      return;
    case WRITE:
      op->file = open_to_write(op, request);
      if (op->file < 0) return finish(op, -op->file, AT_START);
      op->tell = TELL_STARTED;
      return;
    case STAT: {
      int error = request->flags & FOLLOW ? sys_stat(op->path, &st) : sys_lstat(op->path, &st);
      if (error) return finish(op, -error, AT_START);
      op->reply_length = describe(op->buffer, &st, "");
      return finish(op, 0, AT_START);
    }
    case MKDIR:
      return finish(op, -make_folders(op->path, request->flags & HAS_MODE ? request->mode : 0777, request->flags & RECURSIVE), AT_START);
    case REMOVE:
      return finish(op, -remove_path(op->path, request->flags & RECURSIVE), AT_START);
    default:
      return finish(op, EINVAL, AT_START);
  }
}

static int send_content(struct operation *op) {
  u32 most = op->credit[STDOUT] < MAX_DATA ? op->credit[STDOUT] : MAX_DATA;
  if (op->remaining < most) most = op->remaining;
  if (op->remaining == 0) {
    finish(op, 0, AT_START);
    return 1;
  }
  if (most == 0) return 0;
  u8 *content = begin_frame(OUTPUT, op->id);
  long got = sys_read(op->file, content + 1, most);
  if (got <= 0) {
    finish(op, -got, AT_START);
    return 1;
  }
  content[0] = STDOUT;
  op->credit[STDOUT] -= got;
  op->remaining -= got;
  end_frame(got + 1);
  return 1;
}

int send_file(struct operation *op) {
  return op->kind == LIST ? send_entries(op) : send_content(op);
}

void write_file(struct operation *op, const u8 *bytes, u32 length) {
  for (u32 done = 0; done < length;) {
    long written = sys_write(op->file, bytes + done, length - done);
    if (written <= 0) {
      abandon_file(op);
      return finish(op, written < 0 ? -written : EIO, AT_START);
    }
    done += written;
  }
  op->room += length;
}

void commit_file(struct operation *op) {
  int error = sys_close(op->file);
  op->file = -1;
  if (!error && op->temporary) error = sys_rename(op->temporary, op->path);
  if (!error) op->temporary = 0;
  abandon_file(op);
  finish(op, -error, AT_START);
}

void abandon_file(struct operation *op) {
  if (op->file >= 0) sys_close(op->file);
  op->file = -1;
  if (op->temporary) sys_unlink(op->temporary);
  op->temporary = 0;
}
