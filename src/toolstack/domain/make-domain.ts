/** The first step of creation: the hypervisor sets a domain up. */
import { Errno } from '../../abi/errno.ts';
import { HypercallError } from '../../hypervisor/control.ts';
import type { DomainConfig } from '../config/domain-config.ts';
import { generateUuid, uuidBytes } from '../config/uuid.ts';
import type { XenError } from '../xen-error.ts';
import { failedCreation, noMemory } from './creation-errors.ts';
import { errorText, LibxlError, libxlLine } from './libxl-error.ts';
import type { CreateOptions, ManagedDomain } from './managed-domain.ts';
import { maxMemSlackKiB } from './memory-target.ts';
import type { DomainServices } from './services.ts';

/** libxl's defaults: LIBXL_MAX_VCPUS handling, memory of a domain that asks for none. */
export const defaultMemoryKiB = 32 * 1024;
/** libxl's: no number is asked for. */
const INVALID_DOMID = 0xffff_ffff;

/** Paused, and with nothing in it. Throws XenError. */
export function makeDomain(
  { hypervisor, clock }: Pick<DomainServices, 'hypervisor' | 'clock'>,
  config: DomainConfig,
  { template, runsSoon }: CreateOptions,
  nextDomid: number,
): ManagedDomain {
  const { b_info, c_info } = config;
  const uuid = (c_info.uuid ??= generateUuid());
  const memoryKiB = Math.max(b_info.max_memkb ?? defaultMemoryKiB, b_info.target_memkb ?? 0);
  const { event_channels: ports, max_grant_frames: grantFrames, max_grant_version: grantVersion } = b_info;
  try {
    const control = hypervisor.createDomain({
      ...(c_info.domid === undefined || c_info.domid === INVALID_DOMID ? {} : { domid: c_info.domid }),
      handle: uuidBytes(uuid),
      maxVcpus: maxVcpus(config),
      maxMemKiB: memoryKiB + maxMemSlackKiB,
      memmapLimitKiB: memoryKiB,
      ...(ports === undefined || ports === 0 ? {} : { maxEvtchnPort: ports }),
      ...(grantFrames === undefined ? {} : { maxGrantFrames: grantFrames }),
      ...(grantVersion === 1 || grantVersion === 2 ? { maxGrantVersion: grantVersion } : {}),
      ...(template === undefined ? {} : { template, runsSoon: runsSoon === true }),
    });
    const startTime = clock.now();
    return {
      domid: control.domid,
      control,
      uuid,
      name: '',
      config,
      nextConfig: undefined,
      startTime,
      announced: false,
      resting: undefined,
      destruction: undefined,
    };
  } catch (error) {
    if (error instanceof HypercallError) throw cannotMake(error, nextDomid);
    throw error;
  }
}

function cannotMake(error: HypercallError, nextDomid: number): XenError {
  // Memory is set aside when a domain is made, in Xen when it is built: the words are those of building.
  if (error.errno === Errno.ENOMEM) return failedCreation(noMemory(error), nextDomid);
  const why = errorText(error);
  return new LibxlError(
    'FAIL',
    [
      libxlLine('libxl__domain_make', `domain creation fail: ${why}`),
      libxlLine('initiate_domain_create', 'cannot make domain: -3'),
    ],
    why,
    error,
  );
}

export function maxVcpus(config: DomainConfig): number {
  return Math.max(1, config.b_info.max_vcpus ?? 1);
}
