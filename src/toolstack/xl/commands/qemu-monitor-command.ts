/** `xl qemu-monitor-command`: no domain here has a process of QEMU, so it ends as xl's does for a PV domain that needs none. */
import { libxlLine } from '../../domain/libxl-error.ts';
import { findDomain, readArguments, type Invocation } from '../command.ts';

export async function run(invocation: Invocation): Promise<number> {
  const { arguments: given } = await readArguments(invocation, { short: '' }, 2);
  const domid = await findDomain(invocation, given[0] ?? '');
  const socket = `/var/run/xen/qmp-libxl-${domid}`;
  const what = `Domain ${domid}:Failed to connect to QMP socket ${socket}: No such file or directory`;
  invocation.err(libxlLine('qmp_ev_lock_aquired', what));
  return 1;
}
