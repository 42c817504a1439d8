/**
 * What `xl list -l` prints of a running domain: the configuration that it was made from, with libxl's defaults, and with what has changed
 * since (libxl_retrieve_domain_configuration: memory and vCPUs from xenstore, scheduling from the hypervisor).
 */
import { configToJson, type DomainConfig } from '../config/domain-config.ts';
import type { JsonValue } from '../config/json.ts';
import { currentMemory, currentVcpus } from '../domain/current-config.ts';
import type { RequestContext } from './requests.ts';

type Context = Pick<RequestContext, 'manager' | 'hypervisor' | 'pools' | 'scheduling' | 'xenstore'>;

const pageKiB = 4;

export function retrieveConfig(context: Context, domid: number): JsonValue {
  const { manager, hypervisor, pools, scheduling, xenstore } = context;
  const sched_params = { sched: pools.poolOf(domid).scheduler, ...scheduling.parameters(domid) };
  const domain = manager.domain(domid);
  if (domain === undefined) {
    const memkb = (hypervisor.domain(domid)?.info().totPages ?? 0) * pageKiB;
    const { max_memkb = memkb, target_memkb = memkb } = currentMemory(xenstore, domid);
    const b_info = { max_memkb, target_memkb, sched_params, 'type.pv': {}, arch_arm: {}, arch_x86: {} };
    return { c_info: { type: 'pv', name: manager.nameOf(domid) ?? '' }, b_info };
  }
  const { config } = domain;
  const info = config.b_info;
  const disks = config.devices.disks?.map((disk) => ({ ...disk, colo_restore_enable: 'False' })) ?? [];
  const max_vcpus = Math.max(1, info.max_vcpus ?? 1);
  const full: DomainConfig = {
    ...config,
    devices: { ...config.devices, disks },
    c_info: { ...config.c_info, name: domain.name, domid: 0xffffffff, uuid: domain.uuid },
    b_info: {
      ...info,
      ...currentMemory(xenstore, domid),
      max_vcpus,
      avail_vcpus: currentVcpus(xenstore, domid, max_vcpus) ?? info.avail_vcpus ?? [0],
      video_memkb: info.video_memkb ?? 0,
      sched_params: { ...info.sched_params, ...sched_params },
      arch_x86: { msr_relaxed: info.arch_x86.msr_relaxed ?? 'False' },
    },
  };
  return configToJson(full);
}
