/**
 * What Xen keeps of a PV vCPU beside its registers (struct pv_vcpu of xen/arch/x86/include/asm/domain.h), in the vCPU's
 * block of the domain's memory: other threads initialise and save it. Addresses are doubles; they are canonical.
 */
import { FIRST_RESERVED_GDT_PAGE, NR_VECTORS } from '../../abi/arch-x86/xen-x86_64.ts';
import { TrapInfo } from '../../abi/arch-x86.ts';
import { array, bytes, f64, struct, u32 } from '../../abi/struct.ts';
import type { Domain } from '../domain.ts';

export const PvVcpuState = struct(
  'pv_vcpu',
  {
    kernelSp: f64,
    eventCallback: f64,
    failsafeCallback: f64,
    syscallCallback: f64,
    syscall32Callback: f64,
    sysenterCallback: f64,
    /** The GS base that is not in the register: the user's in kernel mode, the kernel's in user mode. */
    gsInactive: f64,
    cr2: f64,
    ldtBase: f64,
    dr: array(f64, 4),
    /** MFN of the kernel's and the user's L4; 0: none. */
    cr3: u32,
    userCr3: u32,
    kernelSs: u32,
    failsafeDisablesEvents: u32,
    syscallDisablesEvents: u32,
    syscall32DisablesEvents: u32,
    sysenterDisablesEvents: u32,
    cr4: u32,
    dr6: u32,
    dr7: u32,
    dr7Emulated: u32,
    ldtEnts: u32,
    gdtEnts: u32,
    gdtFrames: array(u32, FIRST_RESERVED_GDT_PAGE),
    nmiPending: u32,
    /** NMIs are blocked until the handler's iret. */
    nmiMasked: u32,
    pciCf8: u32,
    cmosIndex: u32,
    tscAux: u32,
    /** The kernel's base changed since the user's TLB set was last emptied: NEW_BASEPTR flushes both, on the way to user mode. */
    userTlbStale: u32,
    trapTable: bytes(NR_VECTORS * TrapInfo.size),
  },
  'internal',
);

type Fields = typeof PvVcpuState.at;
export type AddressField =
  | 'kernelSp'
  | 'eventCallback'
  | 'failsafeCallback'
  | 'syscallCallback'
  | 'syscall32Callback'
  | 'sysenterCallback'
  | 'gsInactive'
  | 'cr2'
  | 'ldtBase';
export type WordField = Exclude<keyof Fields, AddressField | 'dr' | 'gdtFrames' | 'trapTable'>;

/** Access to the block at `at`, without allocation. */
export class PvState {
  readonly domain: Domain;
  readonly at: number;
  readonly #f64: Float64Array;
  readonly #u32: Uint32Array;
  readonly #traps: number;

  constructor(domain: Domain, at: number) {
    this.domain = domain;
    this.at = at;
    this.#f64 = domain.f64;
    this.#u32 = domain.u32;
    this.#traps = (at + PvVcpuState.at.trapTable) >>> 2;
  }

  address(field: AddressField): number {
    return this.#f64[(this.at + PvVcpuState.at[field]) >>> 3] ?? 0;
  }

  setAddress(field: AddressField, value: number): void {
    this.#f64[(this.at + PvVcpuState.at[field]) >>> 3] = value;
  }

  word(field: WordField): number {
    return this.#u32[(this.at + PvVcpuState.at[field]) >>> 2] ?? 0;
  }

  setWord(field: WordField, value: number): void {
    this.#u32[(this.at + PvVcpuState.at[field]) >>> 2] = value;
  }

  debugAddress(n: number): number {
    return this.#f64[((this.at + PvVcpuState.at.dr) >>> 3) + n] ?? 0;
  }

  setDebugAddress(n: number, value: number): void {
    this.#f64[((this.at + PvVcpuState.at.dr) >>> 3) + n] = value;
  }

  gdtFrame(page: number): number {
    return this.#u32[((this.at + PvVcpuState.at.gdtFrames) >>> 2) + page] ?? 0;
  }

  setGdtFrame(page: number, mfn: number): void {
    this.#u32[((this.at + PvVcpuState.at.gdtFrames) >>> 2) + page] = mfn;
  }

  /** Address of a trap handler; 0: none. */
  trapHandler(vector: number): number {
    const index = this.#traps + vector * 4;
    return ((this.#u32[index + 3] ?? 0) | 0) * 0x1_0000_0000 + (this.#u32[index + 2] ?? 0);
  }

  trapFlags(vector: number): number {
    return ((this.#u32[this.#traps + vector * 4] ?? 0) >>> 8) & 0xff;
  }

  setTrap(vector: number, flags: number, cs: number, addressLo: number, addressHi: number): void {
    const index = this.#traps + vector * 4;
    this.#u32[index] = vector | (flags << 8) | (cs << 16);
    this.#u32[index + 1] = 0;
    this.#u32[index + 2] = addressLo;
    this.#u32[index + 3] = addressHi;
  }

  clearTraps(): void {
    this.#u32.fill(0, this.#traps, this.#traps + NR_VECTORS * 4);
  }
}
