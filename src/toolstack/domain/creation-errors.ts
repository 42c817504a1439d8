/** Why a domain cannot be made, in libxl's words. */
import type { HypercallError } from '../../hypervisor/control.ts';
import { BuildError } from '../builder/build-error.ts';
import type { DomainConfig } from '../config/domain-config.ts';
import { type XenError } from '../xen-error.ts';
import { cleanUpLines, LibxlError, libxlLine } from './libxl-error.ts';

export class DuplicateName extends LibxlError {
  /** @param more lines of who wanted it */
  constructor(domid: number, name: string, more: readonly string[] = []) {
    const line = libxlLine('libxl__domain_rename', `Domain ${domid}:Domain with name "${name}" already exists.`);
    super('INVAL', [line, ...more], `a domain named "${name}" exists already`);
  }
}

/** After a building error comes the line of the step that called the builder, then the clean-up. */
export function failedCreation(error: XenError, domid: number): LibxlError {
  const rebuild =
    error instanceof LibxlError
      ? []
      : [libxlLine('domcreate_rebuild_done', `Domain ${domid}:cannot (re-)build domain: -3`)];
  const lines = [...error.lines, ...rebuild, ...cleanUpLines(domid)];
  return new LibxlError('FAIL', lines, error.message, error, error.hint);
}

/** Departs from Xen in one limit: a domain's memory is one WebAssembly memory, which ends at 4 GiB. */
export function noMemory(cause: HypercallError): BuildError {
  return new BuildError("can't allocate low memory for domain", {
    call: 'bootMemInit',
    code: 'outOfMemory',
    where: 'xg_dom_boot.c:119: xc_dom_boot_mem_init',
    hint: "a domain has less than 4096 MiB here, and no more than free_memory of 'xl info'",
    cause,
  });
}

export function refuseWhatIsMissing({ c_info }: DomainConfig): void {
  if (c_info.type !== 'pv')
    throw new LibxlError('FAIL', [`xl: domains of type ${c_info.type} are not supported yet; those of type pv are`]);
}
