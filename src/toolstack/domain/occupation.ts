/**
 * What a domain's guest is suspended for: for one thing at a time. libxl keeps its operations on a domain apart by a lock of the domain's userdata
 * (libxl__lock_domain_userdata); who comes second waits there for as long as a save takes. Here they are told.
 */
import { LibxlError } from './libxl-error.ts';
import type { ManagedDomain } from './managed-domain.ts';

export type Occupation = 'saved' | 'moved' | 'cloned';

const occupations = new WeakMap<ManagedDomain, Occupation>();

export function isOccupied(domain: ManagedDomain): boolean {
  return occupations.has(domain);
}

/** Does the work while nobody else can begin any for which the guest is suspended. Throws LibxlError where somebody has. */
export async function occupied<T>(domain: ManagedDomain, by: Occupation, work: () => Promise<T>): Promise<T> {
  const other = occupations.get(domain);
  if (other !== undefined) {
    const why = `domain ${domain.domid} cannot be ${by}: it is being ${other}`;
    throw new LibxlError('FAIL', [`xl: ${why}`], why);
  }
  occupations.set(domain, by);
  try {
    return await work();
  } finally {
    occupations.delete(domain);
  }
}
