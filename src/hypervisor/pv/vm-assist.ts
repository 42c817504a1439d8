/** HYPERVISOR_vm_assist. After do_vm_assist in xen/common/domain.c; types above 31 have no room in the domain's own word. */
import { Errno } from '../../abi/errno.ts';
import { VMASST_CMD, VMASST_TYPE } from '../../abi/arch-x86/xen-x86_64.ts';
import type { Domain } from '../domain.ts';
import type { HypercallRow } from '../hypercall.ts';
import { full } from '../hypercall.ts';
import { PvDomainState } from './pv-domain.ts';

const known: ReadonlySet<number> = new Set(Object.values(VMASST_TYPE));

const strictAt = (domain: Domain): number => (domain.layout.pvDomainAt + PvDomainState.at.m2pStrict) >>> 2;

/** VMASST_TYPE_m2p_strict: user mode does not see the M2P. */
export function m2pStrict(domain: Domain): boolean {
  return domain.i32[strictAt(domain)] !== 0;
}

export function vmAssist(domain: Domain, cmd: number, type: number): number {
  if (!known.has(type)) return Errno.EINVAL;
  if (cmd !== VMASST_CMD.enable && cmd !== VMASST_CMD.disable) return Errno.ENOSYS;
  const enable = cmd === VMASST_CMD.enable;
  if (type === VMASST_TYPE.m2p_strict) {
    domain.i32[strictAt(domain)] = enable ? 1 : 0;
    return 0;
  }
  return domain.locked(() => {
    const bits = domain.get('vmAssist');
    domain.set('vmAssist', enable ? (bits | (1 << type)) >>> 0 : (bits & ~(1 << type)) >>> 0);
    return 0;
  });
}

export const vmAssistRow: HypercallRow = {
  nr: 21,
  name: 'vm_assist',
  args: ['cmd', 'type'],
  support: full,
  run: (vcpu, args) => vmAssist(vcpu.domain, args.u32(0), args.u32(1)),
};
