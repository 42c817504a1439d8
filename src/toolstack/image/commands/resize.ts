/** `xl-image resize`: a larger disk, or a smaller one when that is meant. */
import { DiskError, SECTOR_SIZE } from '../../../dom0/disk/index.ts';
import { openDisk } from '../../../dom0/disk/index.ts';
import { Qcow2Disk } from '../../../dom0/disk/qcow2/qcow2-disk.ts';
import { resizeQcow2 } from '../../../dom0/disk/qcow2/resize.ts';
import { formatOf, type ImageInvocation, usageError } from '../image-command.ts';
import { describeSize, readSize } from '../size.ts';

export async function run(invocation: ImageInvocation): Promise<number> {
  const [path = '', text = ''] = invocation.arguments;
  const format = await formatOf(invocation, path);
  if (format === 'vhd') {
    throw new DiskError('ENOTSUP', `${path}: a VHD keeps its size`, {
      hint: 'xl-image convert makes another image of it',
    });
  }
  const disk = await openDisk(invocation.host, path, { format, readOnly: false });
  const before = disk.size;
  let wanted: number;
  try {
    const sign = /^[+-]/.exec(text)?.[0];
    const given = readSize(sign === undefined ? text : text.slice(1));
    const exact = sign === '+' ? before + given : sign === '-' ? before - given : given;
    wanted = Math.ceil(exact / SECTOR_SIZE) * SECTOR_SIZE;
    if (wanted < 0) throw usageError(`${path} has ${describeSize(before)} only`);
    if (wanted < before && !invocation.options.has('s')) {
      throw usageError(`${path} would lose what lies behind ${describeSize(wanted)}`, 'when that is meant: --shrink');
    }
    if (disk instanceof Qcow2Disk) await resizeQcow2(disk, wanted);
  } finally {
    await disk.close();
  }
  if (format === 'raw') {
    const file = await invocation.host.open(path, { readOnly: false });
    try {
      await file.truncate(wanted);
      await file.flush();
    } finally {
      await file.close();
    }
  }
  invocation.out(`${path}: ${describeSize(before)} → ${describeSize(wanted)}\n`);
  return 0;
}
