/**
 * HYPERVISOR_console_io, number 18. An unprivileged domain is refused, as by Xen without CONFIG_VERBOSE_DEBUG; what it
 * wrote goes to the log all the same when guests' debug output is wanted: it is the earliest a kernel can say.
 */
import { Errno } from '../../abi/errno.ts';
import type { HypercallRow } from '../hypercall.ts';
import { full } from '../hypercall.ts';

const CONSOLEIO_write = 0;
/** guest_console_write copies in pieces of this size. */
const CHUNK = 128;
const MAX_LINE = 127;
/** Longer writes are cut: the guest is told -EPERM anyway. */
const MAX_WRITE = 4096;

export const consoleIoRow: HypercallRow = {
  nr: 18,
  name: 'console_io',
  args: ['cmd', 'count', 'buffer'],
  support: full,
  run(vcpu, args) {
    const count = Math.min(args.u32(1), MAX_WRITE);
    if (args.u32(0) !== CONSOLEIO_write || !vcpu.glue.wants('guestDebug')) return Errno.EPERM;
    let line = vcpu.consoleLine;
    for (let done = 0; done < count; done += CHUNK) {
      const bytes = vcpu.guest.bytes(args.num(2) + done, Math.min(CHUNK, count - done));
      if (bytes === undefined) break;
      for (const byte of bytes) {
        if (byte === 0x0a || line.length >= MAX_LINE) {
          vcpu.glue.log('guestDebug', `(d${vcpu.domain.domid}) ${line}`);
          line = '';
        }
        // What a terminal could take amiss does not get into the log.
        if ((byte >= 0x20 && byte < 0x7f) || byte === 0x09) line += String.fromCharCode(byte);
      }
    }
    vcpu.consoleLine = line;
    return Errno.EPERM;
  },
};
