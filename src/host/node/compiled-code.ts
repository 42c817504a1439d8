/** Bounds the folder in which Node keeps compiled code (bin/launch): Node adds to it and never removes. */
import { readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** Several checkouts with their tests and tools fit. */
const MAX_BYTES = 64 << 20;

/** Removes the oldest entries when there are too many. A process that has one open keeps it; what is missing is compiled anew. */
export function boundCompiledCode(folder: string, maxBytes = MAX_BYTES): void {
  const entries = readdirSync(folder).map((name) => {
    const path = join(folder, name);
    const { size, mtimeMs } = statSync(path);
    return { path, size, mtimeMs };
  });
  let total = entries.reduce((sum, { size }) => sum + size, 0);
  if (total <= maxBytes) return;
  entries.sort((a, b) => a.mtimeMs - b.mtimeMs);
  for (const { path, size } of entries) {
    if (total <= maxBytes / 2) return;
    rmSync(path, { force: true });
    total -= size;
  }
}
