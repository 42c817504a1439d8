/* What the agent uses of Linux' x86-64 system calls (numbers: arch/x86/entry/syscalls/syscall_64.tbl). There is no C library beneath it, so that one
   file runs in every distribution, and in a ramdisk that has nothing else. Results below zero are negative error numbers. */

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;

long system_call(long number, long a, long b, long c, long d, long e, long f);
/* clone(2) with CLONE_VM | CLONE_VFORK: runs `run(argument)` on another stack, in the same memory, and returns when that has called execve or _exit. */
long spawn(void *stack_top, void (*run)(void *), void *argument);

#define SYS0(n) system_call(n, 0, 0, 0, 0, 0, 0)
#define SYS1(n, a) system_call(n, (long)(a), 0, 0, 0, 0, 0)
#define SYS2(n, a, b) system_call(n, (long)(a), (long)(b), 0, 0, 0, 0)
#define SYS3(n, a, b, c) system_call(n, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define SYS4(n, a, b, c, d) system_call(n, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define SYS5(n, a, b, c, d, e) system_call(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)

#define sys_read(fd, at, n) SYS3(0, fd, at, n)
#define sys_write(fd, at, n) SYS3(1, fd, at, n)
#define sys_open(path, flags, mode) SYS3(2, path, flags, mode)
#define sys_close(fd) SYS1(3, fd)
#define sys_stat(path, st) SYS2(4, path, st)
#define sys_lstat(path, st) SYS2(6, path, st)
#define sys_poll(fds, n, milliseconds) SYS3(7, fds, n, milliseconds)
#define sys_lseek(fd, offset, whence) SYS3(8, fd, offset, whence)
#define sys_mmap(length) system_call(9, 0, (long)(length), 3, 0x22, -1, 0) /* PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS */
#define sys_munmap(at, length) SYS2(11, at, length)
#define sys_sigaction(signal, action) SYS4(13, signal, action, 0, 8)
#define sys_sigprocmask(how, set) SYS4(14, how, set, 0, 8)
#define sys_ioctl(fd, request, at) SYS3(16, fd, request, at)
#define sys_dup2(from, to) SYS2(33, from, to)
#define sys_nanosleep(time) SYS2(35, time, 0)
#define sys_getpid() SYS0(39)
#define sys_execve(path, argv, env) SYS3(59, path, argv, env)
#define sys_wait(pid, status, options) SYS4(61, pid, status, options, 0)
#define sys_kill(pid, signal) SYS2(62, pid, signal)
#define sys_fcntl(fd, command, argument) SYS3(72, fd, command, argument)
#define sys_chdir(path) SYS1(80, path)
#define sys_rename(from, to) SYS2(82, from, to)
#define sys_mkdir(path, mode) SYS2(83, path, mode)
#define sys_unlink(path) SYS1(87, path)
#define sys_fchmod(fd, mode) SYS2(91, fd, mode)
#define sys_fchown(fd, uid, gid) SYS3(93, fd, uid, gid)
#define sys_umask(mode) SYS1(95, mode)
#define sys_setsid() SYS0(112)
#define sys_getdents(fd, at, n) SYS3(217, fd, at, n)
#define sys_exit(code) SYS1(231, code)
#define sys_waitid(kind, id, info, options) SYS5(247, kind, id, info, options, 0)
#define sys_openat(dir, name, flags) SYS4(257, dir, name, flags, 0)
#define sys_fstatat(dir, name, st, flags) SYS4(262, dir, name, st, flags)
#define sys_unlinkat(dir, name, flags) SYS3(263, dir, name, flags)
#define sys_signalfd(set, flags) SYS4(289, -1, set, 8, flags)
#define sys_pipe(fds, flags) SYS2(293, fds, flags)

enum { ENOENT = 2, EIO = 5, E2BIG = 7, EAGAIN = 11, ENOMEM = 12, EACCES = 13, ENOTDIR = 20, EISDIR = 21, EINVAL = 22, ESPIPE = 29, EPIPE = 32, ELOOP = 40, EEXIST = 17, EUSERS = 87 };

enum { O_RDONLY = 0, O_WRONLY = 1, O_RDWR = 2, O_CREAT = 0100, O_EXCL = 0200, O_NOCTTY = 0400, O_TRUNC = 01000, O_NONBLOCK = 04000 };
enum { O_DIRECTORY = 0200000, O_NOFOLLOW = 0400000, O_CLOEXEC = 02000000 };
enum { AT_FDCWD = -100, AT_SYMLINK_NOFOLLOW = 0x100, AT_REMOVEDIR = 0x200 };
enum { S_IFMT = 0170000, S_IFDIR = 0040000, S_IFREG = 0100000, S_IFLNK = 0120000 };
enum { POLLIN = 1, POLLOUT = 4, POLLERR = 8, POLLHUP = 16, POLLNVAL = 32 };
enum { SIGKILL = 9, SIGTERM = 15, SIGCHLD = 17 };
enum { SIG_SETMASK = 2, WNOHANG = 1, WEXITED = 4, WNOWAIT = 0x1000000, P_ALL = 0 };
enum { F_SETFL = 4, SEEK_SET = 0 };
enum { TCGETS = 0x5401, TCSETSF = 0x5404, TIOCEXCL = 0x540c, FIONREAD = 0x541b };

struct pollfd { int fd; u16 events; u16 revents; };
struct timespec { long seconds, nanoseconds; };
struct stat {
  u64 dev, ino, nlink;
  u32 mode, uid, gid, pad;
  u64 rdev, size, blksize, blocks;
  u64 atime, atime_ns, mtime, mtime_ns, ctime, ctime_ns;
  u64 unused[3];
};
struct dirent { u64 ino, offset; u16 length; u8 type; char name[1]; };
struct termios { u32 input, output, control, local; u8 line, characters[19]; };
struct sigaction { u64 handler, flags, restorer, mask; };
