/** What this hypervisor says it is. Guests and tools see the interface of Xen 4.17, which this follows. */
import { HYPERVISOR_VIRT_START } from '../abi/arch-x86.ts';
import { PAGE_SIZE, hexAddress } from '../abi/numbers.ts';
import type { XenVersion } from './control.ts';

export function xenVersion(commandLine: string, scheduler = 'credit2'): XenVersion {
  return {
    major: 4,
    minor: 17,
    extraVersion: '.7',
    compiler: 'TypeScript, WebAssembly',
    compileBy: 'xenolith',
    compileDomain: 'localdomain',
    compileDate: '',
    // PV guests only, so far; a tool refuses what is not named here.
    capabilities: 'xen-3.0-x86_64 ',
    changeset: '',
    commandLine,
    buildId: '',
    pageSize: PAGE_SIZE,
    virtStart: `0x${hexAddress(HYPERVISOR_VIRT_START)}`,
    scheduler,
  };
}
