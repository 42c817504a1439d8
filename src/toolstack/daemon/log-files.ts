/** The daemon's log files, named as libxl and xenconsoled name theirs, and set aside when they are full or, as libxl's, for each domain. */
import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { formatted, type LogSink } from '../../dom0/console/index.ts';
import type { ConsoleConfig } from '../config/console-config.ts';
import type { MonitorLog } from '../domain/services.ts';
import { RotatedFile, setAside } from './rotated-file.ts';

/** libxl keeps so many old ones. */
const oldLogs = 9;

/** `xl-web.log`: what became of a domain. */
export function openMonitorLog(directory: string, domainName: string): MonitorLog {
  const path = join(directory, `xl-${fileName(domainName)}.log`);
  setAside(path, oldLogs);
  const file = openSync(path, 'a', 0o600);
  return {
    line: (text) => void writeSync(file, `${text}\n`),
    close: () => closeSync(file),
  };
}

/** `console/guest-web.log` and `console/hypervisor.log`: all that was printed, as xenconsoled writes it. */
export class ConsoleLogs {
  readonly #directory: string;
  readonly #config: ConsoleConfig;
  readonly #now: () => Date;
  readonly #onProblem: (message: string) => void;
  readonly #open = new Set<RotatedFile>();

  constructor(logs: string, config: ConsoleConfig, now: () => Date, onProblem: (message: string) => void) {
    this.#directory = config.logDir ?? join(logs, 'console');
    this.#config = config;
    this.#now = now;
    this.#onProblem = onProblem;
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
  }

  /** Undefined when guests are not logged. */
  guest(domainName: string): LogSink | undefined {
    const { log, timestamp } = this.#config;
    return log.guest ? this.#sink(`guest-${fileName(domainName)}.log`, timestamp.guest) : undefined;
  }

  hypervisor(): LogSink | undefined {
    const { log, timestamp } = this.#config;
    return log.hv ? this.#sink('hypervisor.log', timestamp.hv) : undefined;
  }

  /** `com1.log`: what the hypervisor sends to a serial port, whatever else is logged. */
  serial(port: string): LogSink {
    return this.#sink(`${port}.log`, false);
  }

  /** After SIGHUP, as xenconsoled: a log that was moved away begins anew. */
  reopen(): void {
    for (const file of this.#open) file.close();
  }

  #sink(name: string, stamped: boolean): LogSink {
    const { logSize: size, logFiles: files, replaceEscape } = this.#config;
    const file = new RotatedFile(join(this.#directory, name), { size, files }, this.#onProblem);
    this.#open.add(file);
    const sink: LogSink = {
      write: (bytes) => file.write(bytes),
      close: () => {
        file.close();
        this.#open.delete(file);
      },
    };
    return formatted(sink, { replaceEscape, stamp: stamped ? () => `[${localTime(this.#now())}] ` : undefined });
  }
}

/** `2026-01-31 12:00:00`, by the host's clock and time zone. */
function localTime(date: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** A domain's name may hold anything; a file's may not hold a slash, begin with a dot or be long. */
export function fileName(domainName: string): string {
  return encodeURIComponent(domainName).replace(/^\./, '%2E').slice(0, 200);
}
