/** Hypercalls that an ordinary PV domain of Xen 4.17 is refused, and those that no longer exist: each with Xen's answer. */
import { Errno } from '../../abi/errno.ts';
import type { HypercallRow, Support } from '../hypercall.ts';
import { none } from '../hypercall.ts';

const row = (nr: number, name: string, args: readonly string[], support: Support): HypercallRow => ({
  nr,
  name,
  args,
  support,
});
const controlDomain = none('for the control domain', Errno.EPERM);

export const refusedRows: readonly HypercallRow[] = [
  row(4, 'set_callbacks', ['event_address', 'failsafe_address', 'syscall_address'], none('replaced by callback_op')),
  row(7, 'platform_op', ['u_xenpf_op'], controlDomain),
  row(11, 'ni_hypercall', [], none('never used')),
  row(16, 'event_channel_op_compat', ['uop'], none('replaced by event_channel_op')),
  row(19, 'physdev_op_compat', ['uop'], none('replaced by physdev_op')),
  row(22, 'update_va_mapping_otherdomain', ['va', 'val', 'flags', 'domid'], controlDomain),
  row(27, 'xsm_op', ['op'], none('no security module')),
  row(28, 'nmi_op', ['cmd', 'arg'], none('NMI callbacks are registered with callback_op')),
  row(31, 'xenoprof_op', ['op', 'arg'], none('no profiler')),
  row(34, 'hvm_op', ['op', 'arg'], none('for HVM guests')),
  row(35, 'sysctl', ['u_sysctl'], controlDomain),
  row(36, 'domctl', ['u_domctl'], controlDomain),
  row(37, 'kexec_op', ['op', 'uarg'], controlDomain),
  row(38, 'tmem_op', ['uops'], none('removed from Xen')),
  row(39, 'argo_op', ['cmd', 'arg1', 'arg2', 'arg3', 'arg4'], none('Argo is not enabled', Errno.EOPNOTSUPP)),
  // "VPMU disabled by hypervisor", as Linux puts it.
  row(40, 'xenpmu_op', ['op', 'arg'], none('no virtual performance counters', Errno.EOPNOTSUPP)),
  row(41, 'dm_op', ['domid', 'nr_bufs', 'bufs'], controlDomain),
  row(42, 'hypfs_op', ['cmd', 'arg1', 'arg2', 'arg3', 'arg4'], controlDomain),
  row(48, 'mca', ['u_xen_mc'], controlDomain),
];
