/** The configuration of a clone: its parent's, with what no two domains can have in common made anew. */
import type { DomainConfig } from '../config/domain-config.ts';
import type { JsonObject } from '../config/json.ts';
import { generateUuid } from '../config/uuid.ts';

export interface CloneIdentity {
  /** By default the parent's with the first number that is free: `web-1`. */
  readonly name?: string | undefined;
  readonly uuid?: string | undefined;
}

/** `isFree`: no domain has the name. */
export function cloneConfig(
  parent: DomainConfig,
  { name, uuid }: CloneIdentity,
  isFree: (name: string) => boolean,
): DomainConfig {
  const config = structuredClone(parent);
  const { c_info, devices } = config;
  delete c_info.domid;
  const given = name ?? numbered(c_info.name, isFree);
  // A socket belongs to one domain.
  if (devices.channels !== undefined) devices.channels = devices.channels.map((channel) => besides(channel, given));
  if (devices.nics !== undefined) devices.nics = devices.nics.map(withoutMac);
  c_info.name = given;
  c_info.uuid = uuid ?? generateUuid();
  return config;
}

function numbered(name: string, isFree: (name: string) => boolean): string {
  for (let number = 1; ; number++) if (isFree(`${name}-${number}`)) return `${name}-${number}`;
}

function withoutMac({ mac: _, ...nic }: JsonObject): JsonObject {
  return nic;
}

function besides(channel: JsonObject, name: string): JsonObject {
  const socket = channel['connection.socket'];
  if (typeof socket !== 'object' || socket === null || Array.isArray(socket)) return channel;
  const { path } = socket as JsonObject;
  return typeof path === 'string'
    ? { ...channel, 'connection.socket': { ...socket, path: `${path}.${name}` } }
    : channel;
}
