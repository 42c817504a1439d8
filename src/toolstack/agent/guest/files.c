/* Files of the guest: what the host reads, writes and looks at. Paths are as the kernel takes them, relative ones begin at the root. */
#include "agent.h"

/* The request: flags, mode (32 bits each), offset, length (64 bits each), then the path, and for a write the user's way. */
struct request { u32 flags, mode; u64 offset, length; char path[1]; };
enum { PATH_AT = 24 };
/* Flags. */
enum { FOLLOW = 1, RECURSIVE = 2, IN_PLACE = 4, HAS_MODE = 8 };
enum { MAX_DEPTH = 100 };

/* How a file is described: mode, uid, gid (32 bits each), size, modified (64 bits each, the latter in milliseconds since 1970), length of the name
   (16 bits), name. */
enum { ENTRY = 30 };

static u32 describe(u8 *at, const struct stat *st, const char *name) {
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

static int make_folders(char *path, u32 mode, int recursive) {
  for (char *at = path + 1; recursive && *at; at++) {
    if (*at != '/') continue;
    *at = 0;
    int error = sys_mkdir(path, 0777);
    *at = '/';
    if (error && error != -EEXIST) return error;
  }
  int error = sys_mkdir(path, mode);
  struct stat st;
  if (error == -EEXIST && recursive && sys_stat(path, &st) == 0 && (st.mode & S_IFMT) == S_IFDIR) return 0;
  return error;
}

static int remove_below(int parent, const char *name, int depth) {
  u8 entries[2048];
  if (depth == MAX_DEPTH) return -ELOOP;
  int folder = sys_openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), error = 0;
  if (folder < 0) return folder;
  for (;;) {
    /* From the beginning each time: what was read before is gone. */
    sys_lseek(folder, 0, SEEK_SET);
    long length = sys_getdents(folder, entries, sizeof entries), removed = 0;
    if (length < 0) error = length;
    for (long at = 0; at < length && !error;) {
      struct dirent *entry = (struct dirent *)(entries + at);
      at += entry->length;
      if (same_text(entry->name, ".") || same_text(entry->name, "..")) continue;
      error = sys_unlinkat(folder, entry->name, 0);
      if (error == -EISDIR) error = remove_below(folder, entry->name, depth + 1);
      removed++;
    }
    if (error || removed == 0) break;
  }
  sys_close(folder);
  return error ? error : sys_unlinkat(parent, name, AT_REMOVEDIR);
}

static int remove_path(const char *path, int recursive) {
  int error = sys_unlinkat(AT_FDCWD, path, 0);
  if (error != -EISDIR) return error;
  return recursive ? remove_below(AT_FDCWD, path, 0) : sys_unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
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
static int open_to_write(struct operation *op, const struct request *request) {
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

void start_file_operation(struct operation *op, int what) {
  struct request *request = (struct request *)op->body;
  struct stat st;
  if (op->body_length <= PATH_AT || op->body[op->body_length - 1] != 0) return finish(op, EINVAL, 0);
  op->path = request->path;
  switch (what) {
    case READ:
      /* What is no file, and has nothing to give now, is not waited for. */
      op->file = sys_open(op->path, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC, 0);
      if (op->file < 0) return finish(op, -op->file, 0);
      op->remaining = request->length;
      if (request->offset > 0) {
        long at = sys_lseek(op->file, request->offset, SEEK_SET);
        if (at < 0) return finish(op, -at, 0);
      }
      return;
    case LIST:
      op->file = sys_open(op->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
      if (op->file < 0) return finish(op, -op->file, 0);
      op->entries_at = op->entries_length = 0;
      return;
    case WRITE:
      op->file = open_to_write(op, request);
      if (op->file < 0) return finish(op, -op->file, 0);
      op->tell = TELL_STARTED;
      return;
    case STAT: {
      int error = request->flags & FOLLOW ? sys_stat(op->path, &st) : sys_lstat(op->path, &st);
      if (error) return finish(op, -error, 0);
      op->reply = op->buffer;
      op->reply_length = describe(op->buffer, &st, "");
      return finish(op, 0, 0);
    }
    case MKDIR:
      return finish(op, -make_folders(op->path, request->flags & HAS_MODE ? request->mode : 0777, request->flags & RECURSIVE), 0);
    case REMOVE:
      return finish(op, -remove_path(op->path, request->flags & RECURSIVE), 0);
    default:
      return finish(op, EINVAL, 0);
  }
}

static int send_content(struct operation *op) {
  u32 most = op->credit[STDOUT] < MAX_DATA ? op->credit[STDOUT] : MAX_DATA;
  if (op->remaining < most) most = op->remaining;
  if (op->remaining == 0) {
    finish(op, 0, 0);
    return 1;
  }
  if (most == 0) return 0;
  u8 *content = begin_frame(OUTPUT, op->id);
  long got = sys_read(op->file, content + 1, most);
  if (got <= 0) {
    finish(op, -got, 0);
    return 1;
  }
  content[0] = STDOUT;
  op->credit[STDOUT] -= got;
  op->remaining -= got;
  end_frame(got + 1);
  return 1;
}

static int send_entries(struct operation *op) {
  if (op->credit[STDOUT] < MAX_DATA) return 0;
  u8 *content = begin_frame(OUTPUT, op->id);
  u32 used = 1;
  for (;;) {
    if (op->entries_at == op->entries_length) {
      long length = sys_getdents(op->file, op->buffer, sizeof op->buffer);
      if (length <= 0) {
        if (used > 1) break; /* said next time */
        finish(op, -length, 0);
        return 1;
      }
      op->entries_at = 0;
      op->entries_length = length;
    }
    struct dirent *entry = (struct dirent *)(op->buffer + op->entries_at);
    struct stat st;
    if (used + ENTRY + length_of(entry->name) > MAX_DATA) break;
    op->entries_at += entry->length;
    if (same_text(entry->name, ".") || same_text(entry->name, "..")) continue;
    /* One that is gone meanwhile is left out. */
    if (sys_fstatat(op->file, entry->name, &st, AT_SYMLINK_NOFOLLOW) == 0) used += describe(content + used, &st, entry->name);
  }
  content[0] = STDOUT;
  op->credit[STDOUT] -= used - 1;
  end_frame(used);
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
      return finish(op, written < 0 ? -written : EIO, 0);
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
  finish(op, -error, 0);
}

void abandon_file(struct operation *op) {
  if (op->file >= 0) sys_close(op->file);
  op->file = -1;
  if (op->temporary) sys_unlink(op->temporary);
  op->temporary = 0;
}
