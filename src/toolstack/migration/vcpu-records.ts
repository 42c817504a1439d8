/** What a vCPU has beside its vcpu_guest_context. */
import { FLAT_RING3_CS64 } from '../../abi/arch-x86.ts';
import { ExtVcpuContext, VcpuMsr } from './stream-format.ts';
import { MSR } from '../../abi/arch-x86/msr-index.ts';
import type { VcpuExtended } from '../../hypervisor/control.ts';
import { StreamError } from './byte-stream.ts';
import { viewOf } from './records.ts';

export function writeExtended(vcpu: number, more: VcpuExtended): Uint8Array {
  const body = new Uint8Array(ExtVcpuContext.size);
  ExtVcpuContext.write(viewOf(body), 0, {
    vcpu,
    size: ExtVcpuContext.size,
    syscall32_callback_eip: more.syscall32Callback,
    sysenter_callback_eip: more.sysenterCallback,
    syscall32_callback_cs: FLAT_RING3_CS64,
    sysenter_callback_cs: FLAT_RING3_CS64,
    syscall32_disables_events: more.syscall32DisablesEvents ? 1 : 0,
    sysenter_disables_events: more.sysenterDisablesEvents ? 1 : 0,
  });
  return body;
}

export function readExtended(body: Uint8Array, more: VcpuExtended): VcpuExtended {
  if (body.length < ExtVcpuContext.at.vmce)
    throw new StreamError('the saved domain is damaged: a vCPU record is too short');
  const padded = new Uint8Array(ExtVcpuContext.size);
  padded.set(body.subarray(0, ExtVcpuContext.size));
  const c = ExtVcpuContext.read(viewOf(padded), 0);
  return {
    ...more,
    syscall32Callback: c.syscall32_callback_eip,
    sysenterCallback: c.sysenter_callback_eip,
    syscall32DisablesEvents: c.syscall32_disables_events !== 0,
    sysenterDisablesEvents: c.sysenter_disables_events !== 0,
  };
}

export function writeMsrs({ tscAux }: VcpuExtended): Uint8Array {
  if (tscAux === 0) return new Uint8Array();
  const body = new Uint8Array(VcpuMsr.size);
  VcpuMsr.write(viewOf(body), 0, { index: MSR.TSC_AUX, value: tscAux });
  return body;
}

/** Registers that this processor does not have count only when they are not zero. */
export function readMsrs(body: Uint8Array, more: VcpuExtended): VcpuExtended {
  const view = viewOf(body);
  let { tscAux } = more;
  for (let at = 0; at + VcpuMsr.size <= body.length; at += VcpuMsr.size) {
    const { index, value } = VcpuMsr.read(view, at);
    if (index === MSR.TSC_AUX) tscAux = value >>> 0;
    else if (value !== 0)
      throw new StreamError(
        `the saved domain uses model-specific register 0x${index.toString(16)}, which this processor does not have`,
      );
  }
  return { ...more, tscAux };
}
