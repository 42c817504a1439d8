/** The table of hypercalls: rows common to all guests, the platform's, and refusals for all other numbers. */
import { dispatchOps, full } from '../hypercall.ts';
import type { HypercallRow } from '../hypercall.ts';
import { HypercallTable } from '../hypercall.ts';
import { eventChannelOps } from '../event-channel/ops.ts';
import { grantTableOpRow } from '../grant-table/ops.ts';
import { multicallRow } from '../multicall.ts';
import { consoleIoRow } from './console-io.ts';
import { memoryOpRow } from './memory-op.ts';
import { physdevOpRow } from './physdev-op.ts';
import { refusedRows } from './refused.ts';
import { schedOpCompatRow, schedOpRow } from './sched-op.ts';
import { setTimerOpRow } from './set-timer-op.ts';
import { vcpuOpRow } from './vcpu-op.ts';
import { xenVersionRow } from './xen-version.ts';

const dispatchEventChannelOps = dispatchOps(eventChannelOps);

export const eventChannelOpRow: HypercallRow = {
  nr: 32,
  name: 'event_channel_op',
  args: ['cmd', 'arg'],
  support: full,
  run: (vcpu, args) => dispatchEventChannelOps(vcpu, args.u32(0), args.num(1), args),
};

const commonRows: readonly HypercallRow[] = [
  schedOpCompatRow,
  memoryOpRow,
  setTimerOpRow,
  xenVersionRow,
  consoleIoRow,
  grantTableOpRow,
  vcpuOpRow,
  schedOpRow,
  eventChannelOpRow,
  physdevOpRow,
];

/** The table of one vCPU. A platform that has a row for a number takes it out of the refused ones. */
export function createHypercallTable(platformRows: readonly HypercallRow[]): HypercallTable {
  const taken = new Set(platformRows.map((row) => row.nr));
  const refused = refusedRows.filter((row) => !taken.has(row.nr));
  const table: HypercallTable = new HypercallTable([
    ...commonRows,
    multicallRow(() => table),
    ...platformRows,
    ...refused,
  ]);
  return table;
}
