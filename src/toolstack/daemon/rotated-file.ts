/**
 * A file that is appended to, and set aside when it has become too large: `web.log`, then `web.log.1` and so on, so that nobody who may write
 * without end can fill the disk. What cannot be written is lost, and said once: a full disk is no reason to stop a guest.
 */
import { closeSync, existsSync, fstatSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';

export interface RotationLimits {
  /** Bytes of a file before it is set aside. A single write is never cut in two. */
  readonly size: number;
  /** Files that were set aside and are kept. */
  readonly files: number;
}

export class RotatedFile {
  readonly path: string;
  readonly #limits: RotationLimits;
  readonly #onProblem: (message: string) => void;
  #file: number | undefined;
  #size = 0;
  #complained = false;

  constructor(path: string, limits: RotationLimits, onProblem: (message: string) => void) {
    this.path = path;
    this.#limits = limits;
    this.#onProblem = onProblem;
  }

  write(bytes: Uint8Array): void {
    try {
      if (this.#size > 0 && this.#size + bytes.length > this.#limits.size) {
        this.close();
        setAside(this.path, this.#limits.files);
      }
      this.#file ??= this.#open();
      writeSync(this.#file, bytes);
      this.#size += bytes.length;
      this.#complained = false;
    } catch (error) {
      if (!this.#complained) this.#onProblem(`cannot write ${this.path}: ${(error as Error).message}`);
      this.#complained = true;
    }
  }

  /** The next write opens the path again: somebody may have renamed or removed the file. */
  close(): void {
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
    this.#size = 0;
  }

  #open(): number {
    const file = openSync(this.path, 'a', 0o600);
    this.#size = fstatSync(file).size;
    return file;
  }
}

/** Gives `path` free: its file becomes number 1, number 1 becomes 2, and the last one of so many goes. */
export function setAside(path: string, files: number): void {
  for (let number = files; number > 0; number--) {
    const older = number === 1 ? path : `${path}.${number - 1}`;
    if (existsSync(older)) renameSync(older, `${path}.${number}`);
  }
  if (files === 0) rmSync(path, { force: true });
}
