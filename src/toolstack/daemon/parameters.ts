/** Reading a request's parameters: a client is another program, so nothing about them is taken for granted. */
import { shutdownActions, shutdownReactions, type DomainConfig, type ShutdownAction } from '../config/domain-config.ts';
import type { JsonObject, JsonValue } from '../config/json.ts';
import { parseUuid } from '../config/uuid.ts';
import { XenError } from '../xen-error.ts';

const maxText = 64 * 1024;
const maxList = 1024;
/** More than any host has; what does not fit is refused where memory is handed out. */
const maxMemKiB = 2 ** 40;

function refuse(what: string): never {
  throw new XenError(`bad request: ${what}`);
}

export function domid(params: JsonObject, name = 'domid'): number {
  return number(params[name], name, 0, 0xffffffff);
}

export function optionalDomid(params: JsonObject): number | undefined {
  return params['domid'] === undefined ? undefined : domid(params);
}

export function domids(params: JsonObject, name = 'domids'): readonly number[] | undefined {
  const value = params[name];
  if (value === undefined) return undefined;
  return list(value, name).map((item) => number(item, name, 0, 0xffffffff));
}

export function numbers(params: JsonObject, name: string, least: number, most: number): readonly number[] {
  return list(params[name], name).map((item) => number(item, name, least, most));
}

export function flag(params: JsonObject, name: string): boolean {
  const value = params[name];
  return typeof value === 'boolean' ? value : refuse(name);
}

export function count(params: JsonObject, name: string, least: number, most: number): number {
  return number(params[name], name, least, most);
}

export function text(params: JsonObject, name: string): string {
  return string(params[name], name);
}

export function choice<T extends string>(params: JsonObject, name: string, choices: readonly T[]): T {
  const given = text(params, name);
  return choices.find((choice) => choice === given) ?? refuse(name);
}

/** The domain configuration of a `create`, with the members that are acted on checked. */
export function config(params: JsonObject): DomainConfig {
  const message = object(params['config'], 'config');
  const create = object(message['c_info'], 'c_info');
  const build = object(message['b_info'], 'b_info');
  const reactions = object(message['reactions'], 'reactions');
  const type = create['type'];
  if (type !== 'pv' && type !== 'pvh' && type !== 'hvm') refuse('c_info.type');
  if (create['uuid'] !== undefined && parseUuid(string(create['uuid'], 'uuid')) === undefined) refuse('c_info.uuid');
  string(create['name'], 'name');
  optional(create['domid'], (value) => number(value, 'c_info.domid', 0, 0xffffffff));
  for (const name of ['kernel', 'ramdisk', 'cmdline', 'bootloader'] as const)
    optional(build[name], (value) => string(value, name));
  for (const name of ['max_memkb', 'target_memkb', 'video_memkb'] as const) {
    optional(build[name], (value) => number(value, name, 0, maxMemKiB));
  }
  for (const name of ['max_vcpus', 'event_channels', 'max_grant_frames', 'max_grant_version'] as const) {
    optional(build[name], (value) => number(value, name, 0, 0xffffffff));
  }
  optional(build['avail_vcpus'], (value) => {
    for (const vcpu of list(value, 'avail_vcpus', 0x10000)) number(vcpu, 'avail_vcpus', 0, 0xffff);
  });
  optional(build['bootloader_args'], (value) => list(value, 'bootloader_args').forEach((arg) => string(arg, 'arg')));
  for (const name of ['sched_params', 'of_type', 'arch_arm', 'arch_x86'] as const) object(build[name], name);
  const actions: readonly JsonValue[] = Object.values(shutdownActions) satisfies readonly ShutdownAction[];
  for (const reaction of shutdownReactions) {
    const action = reactions[reaction];
    if (action === undefined || !actions.includes(action)) refuse(reaction);
  }
  for (const devices of Object.values(object(message['devices'], 'devices')))
    optional(devices, (value) => list(value, 'devices').forEach((item) => object(item, 'devices')));
  return message as unknown as DomainConfig;
}

/** A device of a configuration; its members are read where they are acted on. */
export function device(params: JsonObject, name: string): JsonObject {
  return object(params[name], name);
}

function optional(value: JsonValue | undefined, check: (value: JsonValue) => unknown): void {
  if (value !== undefined) check(value);
}

function number(value: JsonValue | undefined, name: string, least: number, most: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most) return refuse(name);
  return value;
}

function string(value: JsonValue | undefined, name: string): string {
  if (typeof value !== 'string') return refuse(name);
  if (value.length > maxText)
    throw new XenError(`${name} is too long: ${value.length} characters, of ${maxText} at most`);
  return value;
}

function list(value: JsonValue | undefined, name: string, most = maxList): readonly JsonValue[] {
  if (!Array.isArray(value) || value.length > most) return refuse(name);
  return value as readonly JsonValue[];
}

function object(value: JsonValue | undefined, name: string): JsonObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return refuse(name);
  return value as JsonObject;
}
