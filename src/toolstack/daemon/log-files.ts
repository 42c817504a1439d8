/** The daemon's log files, named and rotated as libxl's: `xl-web.log`, and what was there before as `xl-web.log.1` and so on. */
import { closeSync, existsSync, fstatSync, openSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { LogSink } from '../../dom0/console/index.ts';
import type { MonitorLog } from '../domain/services.ts';

/** libxl keeps so many old ones. */
const oldLogs = 9;

export function openMonitorLog(directory: string, domainName: string): MonitorLog {
  const path = join(directory, `xl-${fileName(domainName)}.log`);
  for (let number = oldLogs; number > 0; number--) {
    const older = number === 1 ? path : `${path}.${number - 1}`;
    if (existsSync(older)) renameSync(older, `${path}.${number}`);
  }
  const file = openSync(path, 'a', 0o600);
  return {
    line: (text) => void writeSync(file, `${text}\n`),
    close: () => closeSync(file),
  };
}

/** Past this size a guest's console log is set aside, so that a chatty guest cannot fill the disk: two files of this at most. */
const consoleLogLimit = 8 * 1024 * 1024;

/** `guest-web.log`: all that the guest has printed, as xenconsoled --log=guest writes it. */
export function openConsoleLog(directory: string, domainName: string): LogSink {
  const path = join(directory, `guest-${fileName(domainName)}.log`);
  let file = openSync(path, 'a', 0o600);
  let size = fstatSync(file).size;
  return {
    write(bytes) {
      if (size > consoleLogLimit) {
        closeSync(file);
        renameSync(path, `${path}.1`);
        file = openSync(path, 'a', 0o600);
        size = 0;
      }
      writeSync(file, bytes);
      size += bytes.length;
    },
    close: () => closeSync(file),
  };
}

/** A domain's name may hold anything; a file's may not hold a slash, begin with a dot or be long. */
function fileName(domainName: string): string {
  return encodeURIComponent(domainName).replace(/^\./, '%2E').slice(0, 200);
}
