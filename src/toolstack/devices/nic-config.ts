/** A network interface of a configuration with libxl's defaults (xen/tools/libs/light/libxl_nic.c, libxl__device_nic_setdefault). */
import { randomBytes } from 'node:crypto';
import { EgressError, formatEgress, parseEgress } from '../../dom0/net/egress/egress-rules.ts';
import type { JsonObject } from '../config/json.ts';
import { LibxlError, libxlLine } from '../domain/libxl-error.ts';
import { XenError } from '../xen-error.ts';

export interface NicDevice {
  /** Undefined: the next that is free. */
  readonly devid: number | undefined;
  readonly mac: string;
  readonly bridge: string;
  readonly script: string;
  readonly ifname: string | undefined;
  readonly ip: string | undefined;
  readonly gatewaydev: string | undefined;
  /** Bytes for each interval, and microseconds. */
  readonly rate: readonly [bytes: number, usecs: number] | undefined;
  /** Undefined: the bridge's. */
  readonly mtu: number | undefined;
  readonly trusted: boolean;
  /** Rules as `parseEgress` reads them; undefined: everything is allowed. */
  readonly egress: string | undefined;
}

/** Where Debian has the hotplug scripts; the backend does their work. */
const scripts = '/etc/xen/scripts';
const defaultScript = 'vif-bridge';
const defaultBridge = 'xenbr0';
const noMac = '00:00:00:00:00:00';

/**
 * The interface with what is missing filled in, and its configuration with what must be the same when the domain is made again:
 * the MAC address (libxl__update_nic_configuration). Throws LibxlError.
 */
export function nicWithDefaults(config: JsonObject): { readonly nic: NicDevice; readonly config: JsonObject } {
  const text = (member: string): string | undefined => textOf(config, member);
  const number = (member: string): number | undefined => numberOf(config, member);
  const backend = text('backend_domname');
  if (backend !== undefined && backend !== '0' && backend !== 'Domain-0')
    throw new LibxlError('INVAL', [], `there is no backend domain "${backend}"`);
  if (text('nictype') === 'vif_ioemu') {
    const what = 'trying to create PV guest with an emulated interface';
    throw new LibxlError('INVAL', [libxlLine('libxl__device_nic_setdefault', what)], what);
  }
  const given = text('mac');
  const mac = given === undefined || given === noMac ? generateMac() : given;
  const [bytes, usecs] = [number('rate_bytes_per_interval'), number('rate_interval_usecs')];
  const script = text('script') ?? defaultScript;
  return {
    nic: {
      devid: number('devid'),
      mac,
      bridge: text('bridge') ?? defaultBridge,
      script: script.startsWith('/') ? script : `${scripts}/${script}`,
      ifname: text('ifname'),
      ip: text('ip'),
      gatewaydev: text('gatewaydev'),
      rate: bytes === undefined || usecs === undefined || usecs === 0 ? undefined : [bytes, usecs],
      mtu: number('mtu'),
      trusted: config['trusted'] !== 'False',
      egress: egressOf(config),
    },
    config: { ...config, mac, nictype: 'vif' },
  };
}

/** Xen's own range of addresses, in which the first half is for those who generate them. */
function generateMac(): string {
  const [a = 0, b = 0, c = 0] = randomBytes(3);
  return ['00', '16', '3e', ...[a & 0x7f, b, c].map((byte) => byte.toString(16).padStart(2, '0'))].join(':');
}

/** Not of libxl. */
function egressOf(config: JsonObject): string | undefined {
  const { egress } = config;
  if (egress === undefined) return undefined;
  try {
    return formatEgress(parseEgress(typeof egress === 'string' ? egress : ''));
  } catch (error) {
    if (!(error instanceof EgressError)) throw error;
    throw new LibxlError('INVAL', [`xl: egress: ${error.message}`], error.message, error);
  }
}

function textOf(config: JsonObject, member: string): string | undefined {
  const value = config[member];
  if (value === undefined) return undefined;
  if (typeof value !== 'string' || value.length > 1024) throw new XenError(`bad request: nic ${member}`);
  return value;
}

function numberOf(config: JsonObject, member: string): number | undefined {
  const value = config[member];
  if (value === undefined) return undefined;
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0)
    throw new XenError(`bad request: nic ${member}`);
  return value;
}
