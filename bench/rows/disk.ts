import { diskFigures } from '../block/disk-figures.ts';
import type { Row } from '../row.ts';

export const vbdRead: Row = {
  name: 'vbd.read',
  about: 'a guest reads a raw disk past its page cache, 256 times 1 MiB, the second time',
  unit: 'MB/s',
  better: 'higher',
  goal: 290,
  peers: { 'Xen on QEMU TCG': 29 },
  measure: async (note) => (await diskFigures(note)).read / 1e6,
};

export const vbdWrite: Row = {
  name: 'vbd.write',
  about: 'and writes it, with a flush at the end',
  unit: 'MB/s',
  better: 'higher',
  goal: 240,
  peers: { 'Xen on QEMU TCG': 24 },
  measure: async (note) => (await diskFigures(note)).write / 1e6,
};

export const vbdIops1: Row = {
  name: 'vbd.iops1',
  about: '4 KiB read anywhere, one after the other, a second',
  unit: '1/s',
  better: 'higher',
  goal: 5000,
  peers: {},
  measure: async (note) => (await diskFigures(note)).read1,
};

export const vbdIops32: Row = {
  name: 'vbd.iops32',
  about: '4 KiB read anywhere, 32 at a time, a second',
  unit: '1/s',
  better: 'higher',
  goal: 20000,
  peers: {},
  measure: async (note) => (await diskFigures(note)).read32,
};

export const vbdWriteIops32: Row = {
  name: 'vbd.iops32w',
  about: '4 KiB written anywhere, 32 at a time, a second',
  unit: '1/s',
  better: 'higher',
  goal: 20000,
  peers: {},
  measure: async (note) => (await diskFigures(note)).write32,
};
