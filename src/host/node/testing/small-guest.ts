/** A PV domain of 64 pages whose kernel is a few bytes of code, on any host: each frame `n` is mapped at `va(n)`. */
import type { DomainControl, HypervisorControl } from '../../../hypervisor/control.ts';

const RAM = 64;
const BASE = 0x400000;
const L4 = 1;
const L3 = 2;
const L2 = 3;
const L1 = 4;
const CODE = 16;
/** P, A; with RW, US and D for tables (SDM Vol. 3A, "4-Level Paging"). */
const READ_ONLY = 0x21;
const WRITABLE = 0x23;
const TABLE = 0x67;

export const va = (frame: number): number => BASE + frame * 4096;

export function createSmallGuest(host: HypervisorControl, code: readonly number[], vcpus = 1): DomainControl {
  const domain = host.createDomain({ handle: new Uint8Array(16), maxVcpus: vcpus, maxMemKiB: RAM * 4 });
  domain.populate(RAM);
  const { dataView, base } = domain.frames;
  const entry = (table: number, slot: number, value: number): void =>
    dataView.setUint32(base + table * 4096 + slot * 8, value, true);
  entry(L4, 0, L3 * 4096 + TABLE);
  entry(L3, 0, L2 * 4096 + TABLE);
  entry(L2, BASE / 2 ** 21, L1 * 4096 + TABLE);
  for (let frame = 0; frame < RAM; frame++)
    entry(L1, frame, frame * 4096 + (frame >= L4 && frame <= L1 ? READ_ONLY : WRITABLE));
  domain.frames.view(CODE).set(code);
  domain.pinTable(L4, 4);
  for (let vcpu = 0; vcpu < vcpus; vcpu++)
    domain.setVcpuContext(vcpu, { rip: va(CODE), rsp: va(9 + vcpu), rsi: 0, cr3Mfn: L4 });
  return domain;
}

export const le32 = (value: number): number[] => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);
/** mov eax, nr; mov edi, a; mov esi, b; syscall */
export const hypercall = (nr: number, a: number, b: number): number[] => [
  0xb8,
  ...le32(nr),
  0xbf,
  ...le32(a),
  0xbe,
  ...le32(b),
  0x0f,
  0x05,
];
/** jmp to itself */
export const spin = [0xeb, 0xfe];
/** jmp back over `length` bytes of code and itself */
export const jumpBack = (length: number): number[] => [0xeb, (-2 - length) & 0xff];
export const ud2 = [0x0f, 0x0b];
