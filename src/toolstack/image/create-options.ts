/** `-o name=value,…`: what a new image is like. The names are qemu-img's. */
import { type CreateDiskOptions } from '../../dom0/disk/create-disk.ts';
import { type DiskFormat } from '../../dom0/disk/index.ts';
import { preallocations } from '../../dom0/disk/qcow2/create.ts';
import { vhdSubformats } from '../../dom0/disk/vhd/create.ts';
import { type ImageSurroundings, usageError } from './image-command.ts';
import { readSize } from './size.ts';

/** Milliseconds from 1970 to 2000, from when on VHDs count. */
const YEAR_2000 = 946_684_800_000;

type Draft = { -readonly [Key in keyof CreateDiskOptions]: CreateDiskOptions[Key] };
type Qcow2 = NonNullable<CreateDiskOptions['qcow2']>;

interface OptionRow {
  readonly formats: readonly DiskFormat[];
  set(draft: Draft, value: string): void;
}

function chosen<T extends string>(name: string, value: string, choices: readonly T[]): T {
  const choice = choices.find((one) => one === value);
  if (choice === undefined) throw usageError(`${name}=${value}: there are ${choices.join(', ')}`);
  return choice;
}

function isOn(name: string, value: string): boolean {
  return chosen(name, value, ['on', 'off']) === 'on';
}

function qcow2(read: (value: string) => Qcow2): OptionRow {
  return {
    formats: ['qcow2'],
    set: (draft, value) => {
      draft.qcow2 = { ...draft.qcow2, ...read(value) };
    },
  };
}

const optionRows: Readonly<Record<string, OptionRow>> = {
  preallocation: {
    formats: ['raw', 'qcow2', 'vhd'],
    set: (draft, value) => {
      draft.preallocation = chosen('preallocation', value, preallocations);
    },
  },
  compat: qcow2((value) => ({
    compat: chosen('compat', value.replace('v3', '1.1').replace('v2', '0.10'), ['0.10', '1.1']),
  })),
  cluster_size: qcow2((value) => ({ clusterSize: readSize(value) })),
  refcount_bits: qcow2((value) => ({ refcountBits: readSize(value) })),
  lazy_refcounts: qcow2((value) => ({ lazyRefcounts: isOn('lazy_refcounts', value) })),
  compression_type: qcow2((value) => ({ compressionType: chosen('compression_type', value, ['zlib', 'zstd']) })),
  subformat: {
    formats: ['vhd'],
    set: (draft, value) => {
      draft.vhd = { ...draft.vhd, subformat: chosen('subformat', value, vhdSubformats) };
    },
  },
};

export function readCreateOptions(
  format: DiskFormat,
  size: number,
  text: string | undefined,
  { now, random }: Pick<ImageSurroundings, 'now' | 'random'>,
): Draft {
  const timestamp = Math.max(0, Math.floor((now() - YEAR_2000) / 1000));
  const draft: Draft = { format, size, vhd: { subformat: 'dynamic', uuid: random(16), timestamp } };
  for (const part of (text ?? '').split(',').filter((one) => one !== '')) {
    const equals = part.indexOf('=');
    const name = equals < 0 ? part : part.slice(0, equals);
    const row = optionRows[name];
    if (row === undefined || !row.formats.includes(format)) {
      const known = Object.keys(optionRows).filter((one) => optionRows[one]?.formats.includes(format));
      throw usageError(`${format} has no option "${name}"`, `it has ${known.join(', ')}`);
    }
    row.set(draft, equals < 0 ? 'on' : part.slice(equals + 1));
  }
  return draft;
}
