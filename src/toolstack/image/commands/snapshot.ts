/** `xl-image snapshot create|list|apply|delete`: what a qcow2 image keeps of its own past. */
import { DiskError, openDisk } from '../../../dom0/disk/index.ts';
import { ImageFile } from '../../../dom0/disk/qcow2/image-file.ts';
import { readHeader } from '../../../dom0/disk/qcow2/open.ts';
import { Qcow2Disk } from '../../../dom0/disk/qcow2/qcow2-disk.ts';
import { readSnapshots } from '../../../dom0/disk/qcow2/snapshot-table.ts';
import { applySnapshot, createSnapshot, deleteSnapshot } from '../../../dom0/disk/qcow2/snapshots.ts';
import { type ImageInvocation, requireQcow2, usageError } from '../image-command.ts';
import { listSnapshots, snapshotsAsJson } from './info.ts';

type Change = (disk: Qcow2Disk, name: string, invocation: ImageInvocation) => Promise<string>;

const changes: Readonly<Record<string, Change>> = {
  create: async (disk, name, { now }) => {
    const { id } = await createSnapshot(disk, { name, now: now() });
    return `snapshot ${id} "${name}" is made`;
  },
  apply: async (disk, name) => {
    await applySnapshot(disk, name);
    return `the disk is as it was at "${name}"`;
  },
  delete: async (disk, name) => {
    await deleteSnapshot(disk, name);
    return `snapshot "${name}" is deleted`;
  },
};

export async function run(invocation: ImageInvocation): Promise<number> {
  const [verb = '', path = '', name] = invocation.arguments;
  if (verb === 'list') return list(invocation, path);
  const change = changes[verb];
  if (change === undefined) throw usageError(`snapshot ${verb}: there are create, list, apply and delete`);
  if (name === undefined || name === '') throw usageError(`snapshot ${verb} needs the name of a snapshot`);
  await requireQcow2(invocation, path, 'snapshots');
  const disk = await openDisk(invocation.host, path, { format: 'qcow2', readOnly: false });
  try {
    if (!(disk instanceof Qcow2Disk)) throw new DiskError('ENOTSUP', `${path} is not qcow2`);
    invocation.out(`${path}: ${await change(disk, name, invocation)}\n`);
  } finally {
    await disk.close();
  }
  return 0;
}

async function list(invocation: ImageInvocation, path: string): Promise<number> {
  await requireQcow2(invocation, path, 'snapshots');
  const file = await invocation.host.open(path, { readOnly: true, shared: true });
  try {
    const snapshots = await readSnapshots(new ImageFile(file, await readHeader(file)));
    if (invocation.options.has('j')) invocation.out(`${JSON.stringify(snapshotsAsJson(snapshots), null, 2)}\n`);
    else invocation.out(snapshots.length === 0 ? `${path} has no snapshots\n` : listSnapshots(snapshots));
    return 0;
  } finally {
    await file.close();
  }
}
