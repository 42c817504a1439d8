/** A folder for one host, gone when the host is closed, when the process ends, or, if that was killed, when the next host opens. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Followed by the number of the process. */
const PREFIX = 'xenolith-host-';

export interface TemporaryFolder {
  readonly path: string;
  readonly logs: string;
  readonly dumps: string;
  remove(): void;
}

export function temporaryFolder(parent: string = tmpdir()): TemporaryFolder {
  sweep(parent);
  const path = mkdtempSync(join(parent, `${PREFIX}${process.pid}-`));
  const [logs, dumps] = [join(path, 'log'), join(path, 'dump')];
  mkdirSync(logs);
  const remove = (): void => {
    process.off('exit', remove);
    rmSync(path, { recursive: true, force: true });
  };
  process.on('exit', remove);
  return { path, logs, dumps, remove };
}

/** Only what is ours to take away; the rest belongs to somebody else. */
function sweep(parent: string): void {
  for (const name of readdirSync(parent)) {
    const pid = name.startsWith(PREFIX) ? Number.parseInt(name.slice(PREFIX.length), 10) : NaN;
    if (!(pid > 0) || isAlive(pid)) continue;
    try {
      rmSync(join(parent, name), { recursive: true, force: true });
    } catch {
      // Another user's.
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // Somebody else's process is alive too.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
