/* The way to the host: a console of the domain that has a name in xenstore, beside the one that people use. */
#include "agent.h"

/* xen/include/public/io/xs_wire.h */
struct message { u32 type, request, transaction, length; };
enum { XS_DIRECTORY = 1, XS_READ = 2, XS_ERROR = 16, XENSTORE_PAYLOAD = 4096 };

static int read_whole(int fd, u8 *at, u32 length) {
  while (length > 0) {
    long got = sys_read(fd, at, length);
    if (got <= 0) return -1;
    at += got;
    length -= got;
  }
  return 0;
}

/* Asks xenstore; the answer, with a zero behind it, and its length or -1. */
static int ask(int fd, u32 type, const char *path, char *answer) {
  struct { struct message head; char path[128]; } question;
  struct message head;
  u32 length = length_of(path) + 1;
  if (length > sizeof question.path) return -1;
  memset(&question, 0, sizeof question);
  question.head.type = type;
  question.head.length = length;
  memcpy(question.path, path, length);
  length += sizeof head;
  if (sys_write(fd, &question, length) != length) return -1;
  if (read_whole(fd, (u8 *)&head, sizeof head) || head.length > XENSTORE_PAYLOAD) return -1;
  if (read_whole(fd, (u8 *)answer, head.length)) return -1;
  answer[head.length] = 0;
  return head.type == type ? (int)head.length : -1;
}

static const char *const xenbuses[] = { "/dev/xen/xenbus", "/proc/xen/xenbus" };

/* The number of the console, or -ENOENT. */
static int find_console(const char *name) {
  static char consoles[XENSTORE_PAYLOAD + 1], answer[XENSTORE_PAYLOAD + 1];
  char path[128];
  int fd = -1, found = -ENOENT;
  for (int n = 0; n < 2 && fd < 0; n++) fd = sys_open(xenbuses[n], O_RDWR | O_CLOEXEC, 0);
  if (fd < 0) return fd;
  int length = ask(fd, XS_DIRECTORY, "device/console", consoles);
  for (int at = 0; at < length && found < 0; at += length_of(consoles + at) + 1) {
    if (length_of(consoles + at) > 8) continue;
    append(append(append(path, "device/console/"), consoles + at), "/name");
    if (ask(fd, XS_READ, path, answer) < 0 || !same_text(answer, name)) continue;
    found = 0;
    for (const char *digit = consoles + at; *digit; digit++) found = found * 10 + *digit - '0';
  }
  sys_close(fd);
  return found;
}

/* Every byte as it is, both ways. */
static void make_raw(int fd) {
  struct termios terminal;
  if (sys_ioctl(fd, TCGETS, &terminal) < 0) return; /* no terminal: a socket, in tests */
  terminal.input = terminal.output = terminal.local = 0;
  terminal.control = (terminal.control & ~0x170u) | 0x8b0; /* CS8 | CREAD | CLOCAL, no parity */
  terminal.characters[5] = 0;                              /* VTIME */
  terminal.characters[6] = 1;                              /* VMIN */
  sys_ioctl(fd, TCSETSF, &terminal);
  sys_ioctl(fd, TIOCEXCL, 0);
}

long open_channel(const char *path) {
  long fd = sys_open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC, 0);
  if (fd >= 0) make_raw(fd);
  return fd;
}

/* Linux gives consoles their names in the order of their numbers in xenstore, and the first one is /dev/hvc0. */
long open_channel_named(const char *name) {
  char path[32];
  int number = find_console(name);
  if (number < 0) return number;
  append_number(append(path, "/dev/hvc"), number);
  long fd = open_channel(path);
  return fd == -ENOENT ? -EAGAIN : fd; /* there is one, and /dev may follow */
}
