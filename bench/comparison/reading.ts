/** One run of a program of the bench: what it did, and how long it took by the guest's clock and by ours. */
import type { Run } from '../peers/peer.ts';

export interface Reading {
  readonly units: number;
  /** Seconds by which rates are reckoned. */
  readonly seconds: number;
  /** Seconds that the guest's clock says, and that lay between the arrivals of the program's lines on the host. */
  readonly guest: number;
  readonly host: number;
  /** Which part of the time the peer's vCPU was on a processor. */
  readonly share: number | undefined;
}

const BEGIN = '@begin';
/** Every terminal on the way adds a carriage return: of a guest of Xen in QEMU there are two. */
const END = /^@end (\d+) (\d+\.\d+)\r*$/m;

/** The guest's own seconds are the better ones while they agree with ours: the console's way to us is in ours alone. */
const TOLERANCE = 0.05;
/** A guest clock may only tick. Linux' slowest tick is 10 ms, and a line may have to wait for one. */
const TOLERANCE_SECONDS = 0.03;

export function readingOf({ printed, share }: Run): Reading {
  const { text } = printed;
  const begin = text.indexOf(BEGIN);
  const end = END.exec(text);
  if (begin < 0 || end === null)
    throw new Error(`the program did not do its work: ${text.trim() || 'it printed nothing'}`);
  const [, units = '', seconds = ''] = end;
  const guest = Number(seconds);
  const host = (printed.arrived(end.index) - printed.arrived(begin)) / 1000;
  const agree = Math.abs(guest - host) <= host * TOLERANCE + TOLERANCE_SECONDS;
  return { units: Number(units), seconds: agree ? guest : host, guest, host, share };
}
