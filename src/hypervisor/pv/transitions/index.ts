/**
 * The transitions that happen most, as WebAssembly beside the processor's own (src/cpu/hooks.ts): system calls, `iret`, page faults, upcalls, and hypercalls of a few
 * words. Each does the simple case of what the files above say in full; anything else is left to them by returning the exit with nothing changed.
 */
import { importHookServices } from '../../../cpu/hooks.ts';
import { ModuleBuilder } from '../../../cpu/wasm/module.ts';
import { defineEntry } from './entry.ts';
import { defineException } from './exception.ts';
import { defineSyscall } from './syscall.ts';

const compiled = new Map<number, WebAssembly.Module>();

/** For a hypervisor that says it is `xenVersion`; made once in a thread, and the same for every vCPU of every domain. */
export function transitions(xenVersion: number): WebAssembly.Module {
  let module = compiled.get(xenVersion);
  if (module === undefined) {
    const m = new ModuleBuilder({ table: 'imported' });
    const services = importHookServices(m);
    const entry = defineEntry(m, services);
    m.export('syscall', defineSyscall(m, services, entry, xenVersion));
    m.export('exception', defineException(m, services, entry));
    compiled.set(xenVersion, (module = new WebAssembly.Module(m.encode())));
  }
  return module;
}
