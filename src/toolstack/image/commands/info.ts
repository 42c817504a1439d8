/** `xl-image info`: what an image is. The members of its JSON have qemu-img's names. */
import { stat } from 'node:fs/promises';
import { type DiskFormat, type DiskHost } from '../../../dom0/disk/index.ts';
import { CompatibleLazyRefcounts, Incompatible } from '../../../dom0/disk/qcow2/header.ts';
import { ImageFile } from '../../../dom0/disk/qcow2/image-file.ts';
import { readHeader } from '../../../dom0/disk/qcow2/open.ts';
import { readSnapshots, type Snapshot } from '../../../dom0/disk/qcow2/snapshot-table.ts';
import { readFooter } from '../../../dom0/disk/vhd/open.ts';
import { formatOf, type ImageInvocation } from '../image-command.ts';
import { describeSize } from '../size.ts';

type Facts = Record<string, string | number | boolean>;

interface ImageInfo {
  readonly size: number;
  readonly clusterSize?: number;
  readonly backing?: { readonly name: string; readonly format: string | undefined };
  readonly snapshots?: readonly Snapshot[];
  /** What only this format has. */
  readonly facts: Facts;
}

export async function run(invocation: ImageInvocation): Promise<number> {
  const [path = ''] = invocation.arguments;
  const format = await formatOf(invocation, path);
  const info = await readers[format](invocation.host, path);
  const { blocks } = await stat(path);
  const actual = blocks * 512;
  invocation.out(invocation.options.has('j') ? asJson(path, format, info, actual) : asText(path, format, info, actual));
  return 0;
}

const readers: Readonly<Record<DiskFormat, (host: DiskHost, path: string) => Promise<ImageInfo>>> = {
  raw: async (host, path) => {
    const file = await host.open(path, { readOnly: true, shared: true });
    try {
      return { size: await file.size(), facts: {} };
    } finally {
      await file.close();
    }
  },
  qcow2: async (host, path) => {
    const file = await host.open(path, { readOnly: true, shared: true });
    try {
      const header = await readHeader(file);
      const { backingFile } = header;
      return {
        size: header.size,
        clusterSize: 2 ** header.clusterBits,
        ...(backingFile === undefined ? {} : { backing: { name: backingFile, format: header.backingFormat } }),
        snapshots: await readSnapshots(new ImageFile(file, header)),
        facts: {
          compat: header.version === 2 ? '0.10' : '1.1',
          'compression-type': header.compressionType,
          'lazy-refcounts': (header.compatibleFeatures & CompatibleLazyRefcounts) !== 0,
          'refcount-bits': 2 ** header.refcountOrder,
          dirty: (header.incompatibleFeatures & Incompatible.dirty) !== 0,
          corrupt: (header.incompatibleFeatures & Incompatible.corrupt) !== 0,
        },
      };
    } finally {
      await file.close();
    }
  },
  vhd: async (host, path) => {
    const file = await host.open(path, { readOnly: true, shared: true });
    try {
      const footer = await readFooter(file);
      return { size: footer.size, facts: { type: footer.type } };
    } finally {
      await file.close();
    }
  },
};

function asText(path: string, format: DiskFormat, info: ImageInfo, actual: number): string {
  const { size, clusterSize, backing, snapshots = [], facts } = info;
  const lines = [
    `image: ${path}`,
    `format: ${format}`,
    `virtual size: ${describeSize(size)} (${size} bytes)`,
    `takes on the host: ${describeSize(actual)}`,
    ...(clusterSize === undefined ? [] : [`cluster size: ${describeSize(clusterSize)}`]),
    ...(backing === undefined ? [] : [`backing file: ${backing.name} (${backing.format ?? 'format not recorded'})`]),
    ...Object.entries(facts).map(([name, value]) => `${name.replaceAll('-', ' ')}: ${value}`),
  ];
  return `${lines.join('\n')}\n${snapshots.length === 0 ? '' : `snapshots:\n${listSnapshots(snapshots)}`}`;
}

export function listSnapshots(snapshots: readonly Snapshot[]): string {
  const rows = snapshots.map(({ id, name, diskSize, seconds }) => [
    id,
    name,
    describeSize(diskSize),
    new Date(seconds * 1000).toISOString().slice(0, 19).replace('T', ' '),
  ]);
  const table = [['ID', 'NAME', 'SIZE', 'MADE (UTC)'], ...rows];
  const widths = [0, 1, 2].map((column) => Math.max(...table.map((row) => row[column]?.length ?? 0)));
  return table.map((row) => `${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')}\n`).join('');
}

export function snapshotsAsJson(snapshots: readonly Snapshot[]): unknown[] {
  return snapshots.map(({ id, name, seconds, nanoseconds, vmStateSize, diskSize }) => ({
    id,
    name,
    'date-sec': seconds,
    'date-nsec': nanoseconds,
    'vm-state-size': vmStateSize,
    'disk-size': diskSize,
  }));
}

function asJson(path: string, format: DiskFormat, info: ImageInfo, actual: number): string {
  const { size, clusterSize, backing, snapshots = [], facts } = info;
  const report = {
    filename: path,
    format,
    'virtual-size': size,
    'actual-size': actual,
    ...(clusterSize === undefined ? {} : { 'cluster-size': clusterSize }),
    ...(backing === undefined ? {} : { 'backing-filename': backing.name, 'backing-filename-format': backing.format }),
    ...(snapshots.length === 0 ? {} : { snapshots: snapshotsAsJson(snapshots) }),
    'format-specific': { type: format, data: facts },
  };
  return `${JSON.stringify(report, null, 2)}\n`;
}
