/** HYPERVISOR_multicall. After xen/include/public/xen.h (multicall_entry) and xen/common/multicall.c. */
import { Errno } from '../abi/errno.ts';
import { array, s64, struct, u64, u64lohi } from '../abi/struct.ts';
import { hiOf, loOf } from '../abi/numbers.ts';
import type { HypercallRow, HypercallTable } from './hypercall.ts';
import { HypercallArguments, continueLater, full, noResult } from './hypercall.ts';

export const MulticallEntry = struct('multicall_entry', { op: u64, result: s64, args: array(u64lohi, 6) }, 64);

const MULTICALL = 13;
/** Xen preempts and continues a long list; a list that no guest sends is refused instead. */
const MAX_CALLS = 65536;

/** The table is asked at call time, since the row is part of it. */
export function multicallRow(table: () => HypercallTable): HypercallRow {
  const args = new HypercallArguments();
  return {
    nr: MULTICALL,
    name: 'multicall',
    args: ['multicall_entry *call_list', 'nr_calls'],
    support: full,
    run(vcpu, own) {
      const list = own.num(0);
      const count = own.u32(1);
      if (count > MAX_CALLS) return Errno.EINVAL;
      for (let i = 0; i < count; i++) {
        const at = list + i * MulticallEntry.size;
        const entry = vcpu.guest.view(at, MulticallEntry.size);
        if (entry === undefined) return Errno.EFAULT;
        for (let j = 0; j < 6; j++) {
          args.lo[j] = entry.getUint32(MulticallEntry.at.args + j * 8, true);
          args.hi[j] = entry.getUint32(MulticallEntry.at.args + j * 8 + 4, true);
        }
        const number = entry.getUint32(MulticallEntry.at.op, true);
        // Neither may nest: a multicall in a multicall, and iret, which abandons the list.
        const refused = number === MULTICALL || entry.getUint32(MulticallEntry.at.op + 4, true) !== 0;
        const result = refused ? Errno.ENOSYS : table().call(vcpu, number, args);
        if (result === noResult) return noResult;
        // An entry that fails does not stop the list.
        if (!vcpu.guest.writeU64(at + MulticallEntry.at.result, loOf(result), hiOf(result))) return Errno.EFAULT;
        if (vcpu.domain.shutdownCode !== undefined) return 0;
        if (i + 1 < count && vcpu.exitRequested) {
          return continueLater(vcpu, MULTICALL, list + (i + 1) * MulticallEntry.size, count - i - 1);
        }
      }
      return 0;
    },
  };
}
