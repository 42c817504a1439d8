/** The process that the crash test kills: `crash-writer IMAGE SEED FIRST-VERSION` writes, flushes, and says so, until it is no more. */
import { writeSync } from 'node:fs';
import { openDisk, SECTOR_SIZE } from '../../../dom0/disk/index.ts';
import { nodeDiskHost } from '../disk-files.ts';
import { crashBytes, crashPlan } from './crash-plan.ts';

const [path = '', seed, firstVersion] = process.argv.slice(2);
const disk = await openDisk(nodeDiskHost, path, { format: 'qcow2', readOnly: false });
for (const batch of crashPlan(Number(seed), Number(firstVersion))) {
  await Promise.all(
    batch.map((step) => {
      const at = step.sector * SECTOR_SIZE;
      if (step.kind === 'write') return disk.write(at, [crashBytes(step)]);
      const length = step.count * SECTOR_SIZE;
      return step.version % 2 === 0 ? disk.discard(at, length) : disk.writeZeroes(at, length);
    }),
  );
  await disk.flush();
  writeSync(1, `${batch.at(-1)?.version}\n`);
}
