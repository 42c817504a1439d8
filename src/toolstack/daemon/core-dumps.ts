/** Where cores of crashed domains go: a file for each name, as libxl has it. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { XenVersion } from '../../hypervisor/control.ts';
import { dumpCore } from '../core-dump/write-core.ts';
import type { CoreDumps } from '../domain/monitor.ts';
import { fileName } from './log-files.ts';

export function coreDumps(directory: string, version: XenVersion): CoreDumps {
  return {
    path: (name) => join(directory, fileName(name)),
    async dump(control, path) {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      await dumpCore(control, version, path);
    },
  };
}
