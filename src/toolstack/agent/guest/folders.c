/* Folders of the guest: made, listed, and removed with all that is in them. */
#include "agent.h"

enum { MAX_DEPTH = 100 };

int make_folders(char *path, u32 mode, int recursive) {
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

int remove_path(const char *path, int recursive) {
  int error = sys_unlinkat(AT_FDCWD, path, 0);
  if (error != -EISDIR) return error;
  return recursive ? remove_below(AT_FDCWD, path, 0) : sys_unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int send_entries(struct operation *op) {
  if (op->credit[STDOUT] < MAX_DATA) return 0;
  u8 *content = begin_frame(OUTPUT, op->id);
  u32 used = 1;
  for (;;) {
    if (op->entries_at == op->entries_length) {
      long length = sys_getdents(op->file, op->buffer, sizeof op->buffer);
      if (length <= 0) {
        if (used > 1) break; /* said next time */
        finish(op, -length, AT_START);
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
