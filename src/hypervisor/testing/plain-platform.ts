/** A platform without page tables or segments: upcalls run a function of the test, frames are counted and no more. */
import type { Domain } from '../domain.ts';
import type { Platform, PlatformKind } from '../platform.ts';
import { PGC_allocated, PGC_count_mask } from '../state.ts';
import type { Vcpu } from '../vcpu.ts';

export interface PlainPlatform extends PlatformKind {
  /** Upcalls so far, by vCPU. */
  readonly upcalls: Map<number, number>;
}

/** `onUpcall` is the guest's handler: it runs with events masked, as after a bounce, and returns by iret. */
export function plainPlatform(onUpcall: (vcpu: Vcpu) => void = () => undefined): PlainPlatform {
  const upcalls = new Map<number, number>();
  const getPage = (domain: Domain, mfn: number): boolean => {
    const isMine = domain.hasFrame(mfn) && (domain.isRam(mfn) || mfn >= domain.layout.maxPages);
    if (isMine) domain.setCount(mfn, domain.countOf(mfn) + 1);
    return isMine;
  };
  const putPage = (domain: Domain, mfn: number): void => {
    if ((domain.countOf(mfn) & PGC_count_mask) === 0) throw new Error(`frame ${mfn}: dropped once too often`);
    domain.setCount(mfn, domain.countOf(mfn) - 1);
  };
  const kind: PlainPlatform = {
    name: 'pv',
    upcalls,
    populated: () => undefined,
    pinTable: () => 0,
    frameType: () => ({ level: 0, pinned: false }),
    extended: () => ({
      syscall32Callback: 0,
      sysenterCallback: 0,
      syscall32DisablesEvents: false,
      sysenterDisablesEvents: false,
      tscAux: 0,
    }),
    setExtended: () => undefined,
    cpuid: () => [0, 0, 0, 0],
    checkContext: () => 0,
    assign: (domain, mfn) => domain.setCount(mfn, PGC_allocated),
    release(domain, mfn) {
      domain.setCount(mfn, domain.countOf(mfn) & ~PGC_allocated);
      return true;
    },
    getPage,
    putPage,
    getWritable: getPage,
    putWritable: putPage,
    pfnOf: (_, mfn) => mfn,
    createVcpu(vcpu): Platform {
      return {
        kind,
        hypercalls: [],
        loadContext: () => {
          vcpu.kernelMode = true;
        },
        saveContext: () => undefined,
        onException: () => vcpu.crash('exception'),
        onUserSyscall: () => vcpu.crash('syscall in user mode'),
        onSysenter: () => vcpu.crash('sysenter'),
        onSoftwareInterrupt: () => vcpu.crash('int'),
        onPrivileged: () => vcpu.crash('privileged instruction'),
        onCpuid: () => undefined,
        deliverUpcall() {
          upcalls.set(vcpu.id, (upcalls.get(vcpu.id) ?? 0) + 1);
          vcpu.upcallMask = true;
          onUpcall(vcpu);
          vcpu.upcallMask = false;
        },
        flushTlb: () => undefined,
        raiseNmi: () => undefined,
        controlRegisters: () => ({ cr0: 0x8005003b, cr2: 0, cr3: 0, cr4: 0x660, gsShadow: 0 }),
      };
    },
  };
  return kind;
}
