/**
 * What xenconsoled may do to a console's bytes on their way into a log file: a time stamp before each line (`--timestamp`), and dots
 * for escape characters (`--replace-escape`), so that a log can be shown on a terminal without letting a guest steer it.
 */
import type { LogSink } from './guest-log.ts';

export interface LogFormat {
  /** What stands before each line, such as `[2026-01-31 12:00:00] `. */
  readonly stamp?: (() => string) | undefined;
  readonly replaceEscape?: boolean;
}

const NEWLINE = 10;
const RETURN = 13;
const ESCAPE = 27;
const DOT = 46;

/** The log itself when there is nothing to change. */
export function formatted(log: LogSink, { stamp, replaceEscape = false }: LogFormat): LogSink {
  const clean = replaceEscape ? { ...pass(log), write: (bytes: Uint8Array) => log.write(withoutEscapes(bytes)) } : log;
  if (stamp === undefined) return clean;
  const lines = new StampedLines(stamp);
  clean.write(lines.take(bytesOf('Logfile Opened\n')));
  return { ...pass(clean), write: (bytes) => clean.write(lines.take(bytes)) };
}

function pass(log: LogSink): Pick<LogSink, 'close'> {
  return { close: () => log.close() };
}

function withoutEscapes(bytes: Uint8Array): Uint8Array {
  return bytes.includes(ESCAPE) ? bytes.map((byte) => (byte === ESCAPE ? DOT : byte)) : bytes;
}

/** Lines of which any part may come at a time. Returns that follow a line's end are dropped, as xenconsoled does: Linux ends lines with both. */
class StampedLines {
  readonly #stamp: () => string;
  #atStart = true;

  constructor(stamp: () => string) {
    this.#stamp = stamp;
  }

  take(bytes: Uint8Array): Uint8Array {
    const stamp = bytesOf(this.#stamp());
    const parts: Uint8Array[] = [];
    for (let at = 0; at < bytes.length;) {
      if (this.#atStart && bytes[at] === RETURN) {
        at++;
        continue;
      }
      const newline = bytes.indexOf(NEWLINE, at);
      const end = newline < 0 ? bytes.length : newline + 1;
      if (this.#atStart) parts.push(stamp);
      parts.push(bytes.subarray(at, end));
      this.#atStart = newline >= 0;
      at = end;
    }
    return concatenated(parts);
  }
}

function concatenated(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0));
}
