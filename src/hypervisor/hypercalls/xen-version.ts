/** HYPERVISOR_xen_version, number 17. After xen/include/public/version.h, xen/common/kernel.c and xsm_xen_version. */
import { HYPERVISOR_VIRT_START } from '../../abi/arch-x86.ts';
import { Errno } from '../../abi/errno.ts';
import { PAGE_SIZE, hiOf, loOf } from '../../abi/numbers.ts';
import {
  CAPABILITIES_LENGTH,
  CHANGESET_LENGTH,
  COMMANDLINE_LENGTH,
  EXTRAVERSION_LENGTH,
  XENVER,
  XenCompileInfo,
  XenFeatureInfo,
} from '../../abi/version.ts';
import { VMASST_TYPE_pae_extended_cr3, XENFEAT } from '../../abi/xen.ts';
import type { HypercallRow, OpTable } from '../hypercall.ts';
import { dispatchOps, full, none, rawOp, refusedOp } from '../hypercall.ts';
import { DomainState } from '../state.ts';
import type { Vcpu } from '../vcpu.ts';
import { xenVersion } from '../xen-version.ts';

/** What an unprivileged domain reads instead of the command line. */
const DENIED = '<denied>';
const version = xenVersion('');
const encoder = new TextEncoder();

export const xenVersionOps = {
  // The cheapest call of all: Linux makes it only to have its pending events delivered.
  version: rawOp({ nr: XENVER.version, support: full, run: () => (version.major << 16) | version.minor }),
  extraversion: text(XENVER.extraversion, version.extraVersion, EXTRAVERSION_LENGTH),
  compile_info: rawOp({ nr: XENVER.compile_info, support: full, run: compileInfo }),
  capabilities: text(XENVER.capabilities, version.capabilities, CAPABILITIES_LENGTH),
  changeset: text(XENVER.changeset, version.changeset, CHANGESET_LENGTH),
  platform_parameters: rawOp({ nr: XENVER.platform_parameters, support: full, run: platformParameters }),
  get_features: rawOp({ nr: XENVER.get_features, support: full, run: getFeatures }),
  pagesize: rawOp({ nr: XENVER.pagesize, support: full, run: () => PAGE_SIZE }),
  guest_handle: rawOp({ nr: XENVER.guest_handle, support: full, run: guestHandle }),
  commandline: text(XENVER.commandline, DENIED, COMMANDLINE_LENGTH),
  build_id: refusedOp(XENVER.build_id, none('told to the control domain only', Errno.EPERM)),
} satisfies OpTable;

const dispatch = dispatchOps(xenVersionOps);

export const xenVersionRow: HypercallRow = {
  nr: 17,
  name: 'xen_version',
  args: ['cmd', 'arg'],
  support: full,
  run: (vcpu, args) => dispatch(vcpu, args.u32(0), args.num(1), args),
};

function text(nr: number, value: string, length: number): ReturnType<typeof rawOp> {
  const buffer = new Uint8Array(length);
  buffer.set(encoder.encode(value).subarray(0, length - 1));
  return rawOp({ nr, support: full, run: (vcpu, va) => (vcpu.guest.writeBytes(va, buffer) ? 0 : Errno.EFAULT) });
}

function compileInfo(vcpu: Vcpu, va: number): number {
  const written = vcpu.guest.write(XenCompileInfo, va, {
    compiler: encoder.encode(version.compiler),
    compile_by: encoder.encode(version.compileBy),
    compile_domain: encoder.encode(version.compileDomain),
    compile_date: encoder.encode(version.compileDate),
  });
  return written ? 0 : Errno.EFAULT;
}

function platformParameters(vcpu: Vcpu, va: number): number {
  return vcpu.guest.writeU64(va, loOf(HYPERVISOR_VIRT_START), hiOf(HYPERVISOR_VIRT_START)) ? 0 : Errno.EFAULT;
}

const bit = (feature: keyof typeof XENFEAT): number => 1 << XENFEAT[feature];
const PV_FEATURES =
  bit('mmu_pt_update_preserve_ad') |
  bit('highmem_assist') |
  bit('gnttab_map_avail_bits') |
  bit('memory_op_vnode_supported') |
  bit('direct_mapped');

function getFeatures(vcpu: Vcpu, va: number): number {
  const info = vcpu.guest.read(XenFeatureInfo, va);
  if (info === undefined) return Errno.EFAULT;
  if (info.submap_idx !== 0) return Errno.EINVAL;
  const extendedCr3 = (vcpu.domain.get('vmAssist') & (1 << VMASST_TYPE_pae_extended_cr3)) !== 0;
  const submap = PV_FEATURES | (extendedCr3 ? bit('pae_pgdir_above_4gb') : 0);
  return vcpu.guest.write(XenFeatureInfo, va, { submap }) ? 0 : Errno.EFAULT;
}

function guestHandle(vcpu: Vcpu, va: number): number {
  const { domain } = vcpu;
  const at = domain.at + DomainState.at.handle;
  return vcpu.guest.writeBytes(va, domain.u8.slice(at, at + 16)) ? 0 : Errno.EFAULT;
}
