/**
 * What the daemon does for requests that reach into a running guest, its memory, its vCPUs, its configuration after the next reboot, and into the
 * hypervisor.
 */
import { HypercallError } from '../../hypervisor/control.ts';
import { formatUuid } from '../config/uuid.ts';
import { errorText, LibxlError, libxlErrors, libxlLine } from '../domain/libxl-error.ts';
import { setMaxMemory, setMemoryTarget } from '../domain/memory-target.ts';
import { setVcpusOnline } from '../domain/vcpu-online.ts';
import { pressDebugKey } from './debug-keys.ts';
import type { GuestMethods } from './guest-protocol.ts';
import * as read from './parameters.ts';
import type { Handlers } from './requests.ts';

const mostKiB = Number.MAX_SAFE_INTEGER;

export const guestRequests: Handlers<keyof GuestMethods> = {
  setMemory: ({ hypervisor, xenstore }, params) => {
    const domid = read.domid(params);
    const control = hypervisor.domain(domid);
    const uuid = formatUuid(control?.info().handle ?? new Uint8Array(16));
    setMemoryTarget(xenstore, { domid, control, uuid }, read.count(params, 'kib', -mostKiB, mostKiB));
    return {};
  },
  setMaxMemory: ({ hypervisor, xenstore }, params) => {
    const domid = read.domid(params);
    setMaxMemory(
      xenstore,
      { domid, control: hypervisor.domain(domid), uuid: '' },
      read.count(params, 'kib', -mostKiB, mostKiB),
    );
    return {};
  },
  setVcpus: ({ hypervisor, xenstore }, params) => {
    const domid = read.domid(params);
    const control = hypervisor.domain(domid);
    if (control === undefined) throw new LibxlError('DOMAIN_NOTFOUND', []);
    setVcpusOnline(xenstore, domid, read.count(params, 'vcpus', 0, 0x7fffffff), control.info().maxVcpuId + 1);
    return {};
  },
  trigger: ({ hypervisor }, params) => {
    const domid = read.domid(params);
    const trigger = read.text(params, 'trigger');
    const vcpu = read.count(params, 'vcpu', -(2 ** 31), 2 ** 31 - 1);
    const prefix = domid === 0 ? '' : `Domain ${domid}:`;
    if (trigger === 's3resume') {
      const text = `${prefix}Send trigger 's3resume' failed, rc=${libxlErrors.INVAL}`;
      throw new LibxlError('INVAL', [libxlLine('domain_s3_resume_done', text)]);
    }
    const control = hypervisor.domain(domid);
    const vcpus = control === undefined ? 0 : control.info().maxVcpuId + 1;
    const why = vcpu >= 0 && vcpu < vcpus ? refusals[trigger] : 'No such process';
    if (why === undefined) throw new LibxlError('FAIL', [`xl: trigger ${trigger} is not supported yet`]);
    throw new LibxlError('FAIL', [
      libxlLine('libxl_send_trigger', `${prefix}Send trigger '${trigger}' failed: ${why}`),
    ]);
  },
  setParameters: ({ hypervisor }, params) => {
    try {
      hypervisor.setParameters(read.text(params, 'text'));
    } catch (error) {
      if (!(error instanceof HypercallError)) throw error;
      throw new LibxlError('FAIL', [libxlLine('libxl_set_parameters', `setting parameters: ${errorText(error)}`)]);
    }
    return {};
  },
  debugKeys: (context, params) => {
    for (const key of read.text(params, 'keys')) pressDebugKey(context, key);
    return {};
  },
  updateConfig: ({ manager }, params) => {
    manager.setNextConfig(read.domid(params), read.config(params));
    return {};
  },
};

/** Xen's answers for a PV domain (arch/x86/domctl.c, XEN_DOMCTL_sendtrigger): these are keys and lines of a machine that it has not. */
const refusals: Readonly<Record<string, string>> = {
  power: 'Invalid argument',
  sleep: 'Invalid argument',
  init: 'Function not implemented',
  reset: 'Function not implemented',
};
