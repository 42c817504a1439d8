/** Numbers of Linux that come out of a guest, by name. The host may be another system, with other numbers. */

/** After include/uapi/asm-generic/errno-base.h and errno.h, with strerror's words. */
const errors: Readonly<Record<number, readonly [code: string, text: string]>> = {
  1: ['EPERM', 'operation not permitted'],
  2: ['ENOENT', 'no such file or directory'],
  5: ['EIO', 'input/output error'],
  6: ['ENXIO', 'no such device or address'],
  7: ['E2BIG', 'argument list too long'],
  8: ['ENOEXEC', 'not a program'],
  11: ['EAGAIN', 'it has nothing to give now'],
  12: ['ENOMEM', 'out of memory'],
  13: ['EACCES', 'permission denied'],
  16: ['EBUSY', 'device or resource busy'],
  17: ['EEXIST', 'file exists'],
  18: ['EXDEV', 'on another file system'],
  20: ['ENOTDIR', 'not a directory'],
  21: ['EISDIR', 'is a directory'],
  22: ['EINVAL', 'invalid argument'],
  23: ['ENFILE', 'too many open files in the guest'],
  24: ['EMFILE', 'too many open files'],
  26: ['ETXTBSY', 'it is being executed'],
  27: ['EFBIG', 'file too large'],
  28: ['ENOSPC', 'no space left on device'],
  29: ['ESPIPE', 'it has no positions'],
  30: ['EROFS', 'read-only file system'],
  32: ['EPIPE', 'nobody reads it'],
  36: ['ENAMETOOLONG', 'file name too long'],
  39: ['ENOTEMPTY', 'directory not empty'],
  40: ['ELOOP', 'too many levels of links or folders'],
  87: ['EUSERS', 'too many at a time'],
  95: ['EOPNOTSUPP', 'operation not supported'],
  122: ['EDQUOT', 'disk quota exceeded'],
};

export function linuxError(errno: number): { readonly code: string; readonly text: string } {
  const [code, text] = errors[errno] ?? [`errno ${errno}`, `error ${errno}`];
  return { code, text };
}

/** arch/x86/include/uapi/asm/signal.h, from 1 on. */
const signals = [
  ...['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGILL', 'SIGTRAP', 'SIGABRT', 'SIGBUS', 'SIGFPE', 'SIGKILL', 'SIGUSR1'],
  ...['SIGSEGV', 'SIGUSR2', 'SIGPIPE', 'SIGALRM', 'SIGTERM', 'SIGSTKFLT', 'SIGCHLD', 'SIGCONT', 'SIGSTOP', 'SIGTSTP'],
  ...['SIGTTIN', 'SIGTTOU', 'SIGURG', 'SIGXCPU', 'SIGXFSZ', 'SIGVTALRM', 'SIGPROF', 'SIGWINCH', 'SIGIO', 'SIGPWR'],
  'SIGSYS',
];

/** Throws RangeError for what is no signal. */
export function signalNumber(signal: string | number): number {
  const found = typeof signal === 'number' ? signal : signals.indexOf(signal) + 1;
  if (!Number.isInteger(found) || found < 1 || found > 64) throw new RangeError(`${signal} is no signal`);
  return found;
}

export function signalName(signal: number): string {
  return signals[signal - 1] ?? `SIG${signal}`;
}
