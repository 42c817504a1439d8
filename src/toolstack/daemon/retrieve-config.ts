/**
 * What `xl list -l` prints of a running domain: the configuration that it was made from, with libxl's defaults, and with what has changed
 * since (libxl_retrieve_domain_configuration: memory and vCPUs from xenstore, scheduling from the hypervisor).
 */
import { configToJson, type DomainConfig } from '../config/domain-config.ts';
import type { JsonValue } from '../config/json.ts';
import { domainPath } from '../domain/xenstore-tree.ts';
import type { RequestContext } from './requests.ts';

type Context = Pick<RequestContext, 'manager' | 'hypervisor' | 'pools' | 'scheduling' | 'xenstore'>;

const pageKiB = 4;

export function retrieveConfig(context: Context, domid: number): JsonValue {
  const { manager, hypervisor, pools, scheduling } = context;
  const sched_params = { sched: pools.poolOf(domid).scheduler, ...scheduling.parameters(domid) };
  const domain = manager.domain(domid);
  if (domain === undefined) {
    const memkb = (hypervisor.domain(domid)?.info().totPages ?? 0) * pageKiB;
    const { max_memkb = memkb, target_memkb = memkb } = memory(context, domid);
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
      ...memory(context, domid),
      max_vcpus,
      avail_vcpus: available(context, domid, max_vcpus) ?? info.avail_vcpus ?? [0],
      video_memkb: info.video_memkb ?? 0,
      sched_params: { ...info.sched_params, ...sched_params },
      arch_x86: { msr_relaxed: info.arch_x86.msr_relaxed ?? 'False' },
    },
  };
  return configToJson(full);
}

function memory({ xenstore }: Context, domid: number): { max_memkb?: number; target_memkb?: number } {
  const path = `${domainPath(domid)}/memory`;
  const [most, target] = [xenstore.read(`${path}/static-max`), xenstore.read(`${path}/target`)];
  return {
    ...(most === undefined ? {} : { max_memkb: Number(most) }),
    ...(target === undefined ? {} : { target_memkb: Number(target) }),
  };
}

function available({ xenstore }: Context, domid: number, most: number): readonly number[] | undefined {
  const path = `${domainPath(domid)}/cpu`;
  if (xenstore.read(`${path}/0/availability`) === undefined) return undefined;
  return Array.from({ length: most }, (_, vcpu) => vcpu).filter(
    (vcpu) => xenstore.read(`${path}/${vcpu}/availability`) === 'online',
  );
}
