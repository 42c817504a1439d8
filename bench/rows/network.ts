import { pairFigures } from '../network/guest-pair.ts';
import type { Row } from '../row.ts';

export const vifThroughput: Row = {
  name: 'vif.throughput',
  about: 'one TCP connection between two guests on xenbr0, 64 MiB in writes of 64 KiB, the second time',
  unit: 'MB/s',
  better: 'higher',
  goal: 40,
  peers: { 'Xen on QEMU TCG': 3 },
  measure: async (note) => (await pairFigures(note)).bytesPerSecond / 1e6,
};

export const vifRoundTrip: Row = {
  name: 'vif.roundtrip',
  about: 'a byte on that connection to the other guest and back, mean of 1000',
  unit: 'µs',
  better: 'lower',
  goal: 500,
  peers: {},
  measure: async (note) => (await pairFigures(note)).roundTrip * 1e6,
};
