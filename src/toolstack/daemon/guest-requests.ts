/**
 * What the daemon does for requests that reach into a running guest, its memory, its vCPUs, its configuration after the next reboot, and into the
 * hypervisor.
 */
import { HypercallError, type DomainControl } from '../../hypervisor/control.ts';
import { formatUuid } from '../config/uuid.ts';
import { dumpCore, noDomainToDump } from '../core-dump/write-core.ts';
import { errorText, LibxlError, libxlErrors, libxlLine } from '../domain/libxl-error.ts';
import { setMaxMemory, setMemoryTarget } from '../domain/memory-target.ts';
import { setVcpusOnline } from '../domain/vcpu-online.ts';
import { pressDebugKey } from './debug-keys.ts';
import type { GuestMethods } from './guest-protocol.ts';
import * as read from './parameters.ts';
import type { Handlers } from './requests.ts';

const mostKiB = Number.MAX_SAFE_INTEGER;
/** A day. */
const longestWaitMs = 86_400_000;

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
    const why = sendTrigger(hypervisor.domain(domid), trigger, vcpu);
    if (why === undefined) return {};
    throw new LibxlError('FAIL', [
      libxlLine('libxl_send_trigger', `${prefix}Send trigger '${trigger}' failed: ${why}`),
    ]);
  },
  dumpCore: async ({ hypervisor }, params, call) => {
    const domid = read.domid(params);
    const path = read.text(params, 'path');
    const control = hypervisor.domain(domid);
    if (control === undefined) throw noDomainToDump(domid, path);
    await dumpCore(control, hypervisor.version, path, {
      progress: (done, total) => call.event({ progress: { done, total } }),
    });
    return {};
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
  attachAgent: async ({ hypervisor, agents }, params, call) => {
    const domid = read.domid(params);
    if (hypervisor.domain(domid) === undefined)
      throw new LibxlError('DOMAIN_NOTFOUND', [`there is no domain ${domid}`]);
    const gone = new AbortController();
    call.onGone(() => gone.abort());
    const timeoutMs = read.count(params, 'timeoutMs', 0, longestWaitMs);
    const link = await agents.link(domid, { timeoutMs, signal: gone.signal });
    call.attachAgent(link);
    return { operations: link.operations, window: link.window };
  },
  updateConfig: ({ manager }, params) => {
    manager.setNextConfig(read.domid(params), read.config(params));
    return {};
  },
};

/** Undefined: done. Else why not. */
function sendTrigger(control: DomainControl | undefined, trigger: string, vcpu: number): string | undefined {
  if (control === undefined || vcpu < 0 || vcpu > control.info().maxVcpuId) return 'No such process';
  if (trigger !== 'nmi') return refusals[trigger] ?? 'Function not implemented';
  try {
    control.sendNmi(vcpu);
    return undefined;
  } catch (error) {
    if (error instanceof HypercallError) return errorText(error);
    throw error;
  }
}

/** Xen's answers for a PV domain (arch/x86/domctl.c, XEN_DOMCTL_sendtrigger): these are keys and lines of a machine that it has not. */
const refusals: Readonly<Record<string, string>> = {
  power: 'Invalid argument',
  sleep: 'Invalid argument',
  init: 'Function not implemented',
  reset: 'Function not implemented',
};
