/**
 * Pseudo-terminals for consoles, where the platform has them (Linux): posix_openpt(3) and its kin by node:ffi (docs/adr/0010), since Node
 * opens none. The daemon keeps the slave open itself, as xenconsoled does: without any, the master cannot be waited on.
 */
import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { ReadStream } from 'node:tty';
import type { Pty } from '../../dom0/console/index.ts';

/** Of asm-generic/fcntl.h; Node does not name it. */
const O_CLOEXEC = 0o2000000;
const masterFlags = constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK | O_CLOEXEC;
const TCSANOW = 0;
/** More than any libc's struct termios needs, and more than a node's name. */
const STRUCT_SIZE = 128;

/**
 * When a terminal is full, it is tried again after the first of these times, then after ever longer ones: libuv can wait for a master to be
 * readable, but writes to it with blocking calls only. A guest whose terminal nobody reads costs one call a second.
 */
const retryMs = { first: 10, last: 1000 } as const;

type Library = ReturnType<typeof load>;
let loaded: Library | undefined;

function load() {
  const { dlopen } = process.getBuiltinModule('node:ffi');
  return dlopen('libc.so.6', {
    posix_openpt: { arguments: ['i32'], return: 'i32' },
    grantpt: { arguments: ['i32'], return: 'i32' },
    unlockpt: { arguments: ['i32'], return: 'i32' },
    ptsname_r: { arguments: ['i32', 'buffer', 'u64'], return: 'i32' },
    tcgetattr: { arguments: ['i32', 'buffer'], return: 'i32' },
    cfmakeraw: { arguments: ['buffer'], return: 'void' },
    tcsetattr: { arguments: ['i32', 'i32', 'buffer'], return: 'i32' },
  }).functions;
}

/** Undefined where there are none, or no more of them; `onProblem` hears why. */
export function openPty(onProblem: (message: string) => void): Pty | undefined {
  if (process.platform !== 'linux') return undefined;
  try {
    return new NodePty(onProblem);
  } catch (error) {
    onProblem(`no terminal for a console: ${(error as Error).message}`);
    return undefined;
  }
}

class NodePty implements Pty {
  readonly path: string;
  onInput: ((bytes: Uint8Array) => void) | undefined;
  onRoom: (() => void) | undefined;
  readonly #master: number;
  readonly #slave: number;
  readonly #reader: ReadStream;
  #retry: NodeJS.Timeout | undefined;
  #delay: number = retryMs.first;
  #closed = false;

  constructor(onProblem: (message: string) => void) {
    const { master, slave, path } = openPair();
    this.path = path;
    this.#master = master;
    this.#slave = slave;
    this.#reader = new ReadStream(master);
    this.#reader.on('data', (bytes: Buffer) => this.#typed(bytes));
    this.#reader.on('error', (error) => onProblem(`${path}: ${error.message}`));
    this.#reader.unref();
  }

  write(bytes: Uint8Array): number {
    if (this.#closed) return bytes.length;
    let taken = 0;
    try {
      while (taken < bytes.length) taken += writeSync(this.#master, bytes, taken);
    } catch (error) {
      // Whatever else is wrong with a terminal, its guest must not hear of it.
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return bytes.length;
    }
    if (taken > 0) this.#delay = retryMs.first;
    if (taken < bytes.length) this.#tryLater();
    return taken;
  }

  takeInput(taken: boolean): void {
    if (taken) this.#reader.resume();
    else this.#reader.pause();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#retry);
    this.#reader.destroy();
    closeSync(this.#slave);
  }

  /** Who types is there, and most likely reads. */
  #typed(bytes: Buffer): void {
    this.#delay = retryMs.first;
    if (this.#retry) this.#tryLater();
    this.onInput?.(bytes);
  }

  #tryLater(): void {
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      this.onRoom?.();
    }, this.#delay).unref();
    this.#delay = Math.min(this.#delay * 2, retryMs.last);
  }
}

function openPair(): { readonly master: number; readonly slave: number; readonly path: string } {
  const libc = (loaded ??= load());
  const master = libc.posix_openpt(masterFlags);
  if (master < 0) throw new Error('posix_openpt failed');
  try {
    if (libc.grantpt(master) < 0 || libc.unlockpt(master) < 0) throw new Error('grantpt or unlockpt failed');
    const name = Buffer.alloc(STRUCT_SIZE);
    if (libc.ptsname_r(master, name, BigInt(name.length)) !== 0) throw new Error('ptsname_r failed');
    const path = name.toString('latin1', 0, name.indexOf(0));
    const slave = openSync(path, constants.O_RDWR | constants.O_NOCTTY);
    try {
      makeRaw(libc, slave);
      return { master, slave, path };
    } catch (error) {
      closeSync(slave);
      throw error;
    }
  } catch (error) {
    closeSync(master);
    throw error;
  }
}

/** Or the terminal would echo to the guest what the guest itself prints. */
function makeRaw(libc: Library, slave: number): void {
  const termios = Buffer.alloc(STRUCT_SIZE);
  if (libc.tcgetattr(slave, termios) < 0) throw new Error('tcgetattr failed');
  libc.cfmakeraw(termios);
  if (libc.tcsetattr(slave, TCSANOW, termios) < 0) throw new Error('tcsetattr failed');
}
