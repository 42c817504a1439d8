import { transfer } from '../network/nat-transfer.ts';
import { median } from '../guest/boots.ts';
import type { Row } from '../row.ts';

const MEGABYTES = 400;
const ROUNDS = 3;

function row(direction: 'download' | 'upload', about: string): Row {
  return {
    name: `net.nat.${direction}`,
    about: `${about}: ${MEGABYTES} MB by TCP through the NAT and a socket of the host, without a guest, by processor time of both ends`,
    unit: 'MB/s',
    better: 'higher',
    goal: 200,
    peers: {},
    async measure(note) {
      const results: number[] = [];
      for (let round = 0; round < ROUNDS; round++) {
        results.push(await transfer(direction, MEGABYTES));
        note(`round ${round + 1}: ${results.at(-1)?.toFixed(0)} MB/s`);
      }
      return median(results);
    },
  };
}

export const natDownload = row('download', 'to the guest');
export const natUpload = row('upload', 'from the guest');
