import type { GuestTerminal } from '../guest-terminal.ts';
import type { Machine } from '../machine.ts';

/** Two guests on one host, `one` and `two`, which the tests of this folder share. */
export interface Pair {
  readonly machine: Machine;
  readonly one: GuestTerminal;
  readonly two: GuestTerminal;
}

export const macs = { one: '00:16:3e:00:00:01', two: '00:16:3e:00:00:02' } as const;
/** Of `two`; the other one has what a domain has by default, which is half of it. */
export const CPU_WEIGHT = 512;
