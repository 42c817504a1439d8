/**
 * Who may do what to a node. After docs/misc/xenstore.txt, SET_PERMS, and the XenBus page it refers to: a list of entries of which
 * the first names the owner, who may do everything, and what everybody may do who is not named by a later entry.
 */

/** Bits: r is 1, w is 2. */
export const Access = { n: 0, r: 1, w: 2, b: 3 } as const;
export type AccessLetter = keyof typeof Access;
export const READ = Access.r;
export const WRITE = Access.w;

export interface Permission {
  readonly access: AccessLetter;
  readonly domid: number;
  /** There was no such domain when the entry was made, and one that comes later shall not have the right. */
  readonly ignored?: true;
}
/** At least one entry. */
export type Permissions = readonly [Permission, ...Permission[]];

/** On whose behalf a request is made. */
export interface Caller {
  readonly domid: number;
  /** Domain 0 and what is connected through its socket: exempt from permissions and quotas. */
  readonly privileged: boolean;
  /** XS_SET_TARGET: a stub domain acts as the domain it serves. */
  readonly target?: number | undefined;
}

export const dom0: Caller = { domid: 0, privileged: true };

export function isOwner(perms: Permissions, caller: Caller): boolean {
  const owner = perms[0].domid;
  return caller.privileged || owner === caller.domid || owner === caller.target;
}

/** Whether `caller` has all of `wanted` (bits of READ and WRITE). */
export function permits(perms: Permissions, caller: Caller, wanted: number): boolean {
  if (isOwner(perms, caller)) return true;
  let granted: number | undefined;
  for (let i = 1; i < perms.length; i++) {
    const entry = perms[i];
    if (entry && !entry.ignored && (entry.domid === caller.domid || entry.domid === caller.target)) {
      granted = Access[entry.access];
      break;
    }
  }
  return ((granted ?? Access[perms[0].access]) & wanted) === wanted;
}

/** `r12`; undefined when malformed. The number is read as strtol does, and keeps 32 bits: so does xenstored. */
export function parsePermission(text: string): Permission | undefined {
  const match = /^([nrwb])\s*([+-]?)(0x[\da-f]+|\d+)$/i.exec(text);
  const [, access = '', sign = '', digits = ''] = match ?? [];
  if (!(access in Access)) return undefined;
  const octal = /^0[0-7]+$/.test(digits);
  if (!octal && /^0\d/.test(digits)) return undefined;
  const magnitude = Number(octal ? `0o${digits.slice(1)}` : digits) % 2 ** 32;
  return { access: access as AccessLetter, domid: (sign === '-' ? -magnitude : magnitude) | 0 };
}

/** Entries in order; undefined when there is none or one is malformed. */
export function parsePermissions(texts: readonly string[]): Permissions | undefined {
  const parsed: Permission[] = [];
  for (const text of texts) {
    const entry = parsePermission(text);
    if (!entry) return undefined;
    parsed.push(entry);
  }
  const [owner, ...others] = parsed;
  return owner && [owner, ...others];
}

/** As they shall be kept: rights of domains that do not exist are void. Undefined when the owner does not exist. */
export function forExisting(perms: Permissions, exists: (domid: number) => boolean): Permissions | undefined {
  const [owner, ...others] = perms;
  if (!exists(owner.domid)) return undefined;
  return [owner, ...others.map((entry) => (exists(entry.domid) ? entry : { ...entry, ignored: true as const }))];
}

export function formatPermissions(perms: Permissions): string[] {
  return perms.map((entry) => entry.access + String(entry.domid));
}

/** The list without a domain that is gone; undefined when that domain owned the node. */
export function withoutDomain(perms: Permissions, domid: number): Permissions | undefined {
  if (perms[0].domid === domid) return undefined;
  const [owner, ...others] = perms;
  const kept = others.filter((entry) => entry.domid !== domid);
  return kept.length === others.length ? perms : [owner, ...kept];
}

/** The list with another owner: what an unprivileged creator makes of the parent's. */
export function ownedBy(perms: Permissions, domid: number): Permissions {
  const [owner, ...others] = perms;
  return owner.domid === domid ? perms : [{ access: owner.access, domid }, ...others];
}
