/**
 * Where everything lies in the one shared memory of a domain. All sizes follow from a few numbers, so that every thread
 * computes the same layout for itself.
 *
 *   0             null guard: address 0 means "none"
 *   domainAt      DomainState, event-channel ports, FIFO page list, grant map counts, the PV platform's domain block
 *   pageInfoAt    page_info[]: 8 bytes for each frame
 *   vcpusAt       for each vCPU: VcpuState, the PV platform's vCPU block, its start context, then the CPU region
 *   framesAt      frames: [0, maxPages) are guest RAM (MFN == PFN), then the frames that Xen owns
 */
import type { HostAddress, Mfn } from '../abi/numbers.ts';
import { PAGE_SIZE } from '../abi/numbers.ts';
import { VcpuGuestContext } from '../abi/arch-x86.ts';
import { DomainState, EvtchnEntry, PageInfo, VcpuState } from './state.ts';
import type { ProcessorShape } from './processor.ts';

const WASM_PAGE = 65536;
/** Where DomainState lies in every domain. */
export const DOMAIN_AT = WASM_PAGE;
const MAX_WASM_PAGES = 65536;

/** Limits of xen/include/public/xen.h and of what libxl allows. */
export const MAX_VCPUS = 128;
export const MAX_EVTCHN_PORT = 131071;
export const MAX_GRANT_FRAMES = 256;
/** v1 entries are 8 bytes, v2 entries 16; a v2 status is 2 bytes (grant_table.h). */
const STATUS_PER_FRAME = 2048;
const GRANTS_V2_PER_FRAME = 256;

/** Bytes that the PV platform may lay out as it likes, per vCPU and per domain (src/hypervisor/pv). */
export const PV_VCPU_BLOCK = 16384;
export const PV_DOMAIN_BLOCK = 16384;

export interface DomainShape {
  readonly maxPages: number;
  readonly maxVcpus: number;
  readonly maxEvtchnPort: number;
  readonly maxGrantFrames: number;
  readonly processor: ProcessorShape;
}

export interface DomainLayout extends DomainShape {
  readonly domainAt: HostAddress;
  readonly evtchnAt: HostAddress;
  readonly fifoPagesAt: HostAddress;
  readonly pvDomainAt: HostAddress;
  readonly pageInfoAt: HostAddress;
  readonly vcpusAt: HostAddress;
  readonly vcpuStride: number;
  readonly framesAt: HostAddress;
  readonly totalFrames: number;
  readonly sharedInfoMfn: Mfn;
  /** Grant-table frames; `maxGrantFrames` of them. */
  readonly grantMfn: Mfn;
  readonly statusMfn: Mfn;
  readonly statusFrames: number;
  /** M2P[] for all frames of the domain, filled in by the PV platform … */
  readonly m2pMfn: Mfn;
  readonly m2pFrames: number;
  /** … and the tables that map it: L3, L2, then L2, L1 and a page of ~0 for the rest of the window, then its L1 tables. */
  readonly m2pTablesMfn: Mfn;
  readonly m2pTables: number;
  /** Size of the memory in pages of WebAssembly (64 KiB). */
  readonly wasmPages: number;
}

const align = (value: number, to: number): number => Math.ceil(value / to) * to;

/** Undefined: the domain does not fit into the 4 GiB that one WebAssembly memory has. */
export function computeLayout(shape: DomainShape): DomainLayout | undefined {
  const domainAt = DOMAIN_AT;
  const evtchnAt = align(domainAt + DomainState.size, 64);
  const fifoPagesAt = align(evtchnAt + (shape.maxEvtchnPort + 1) * EvtchnEntry.size, 64);
  const pvDomainAt = align(fifoPagesAt + 4 * 128, PAGE_SIZE);
  const pageInfoAt = pvDomainAt + PV_DOMAIN_BLOCK;

  const sharedInfoMfn = shape.maxPages;
  const grantMfn = sharedInfoMfn + 1;
  const statusMfn = grantMfn + shape.maxGrantFrames;
  const statusFrames = Math.ceil((shape.maxGrantFrames * GRANTS_V2_PER_FRAME) / STATUS_PER_FRAME);
  const m2pTablesMfn = statusMfn + statusFrames;
  // Upper bound: the M2P covers itself too.
  const m2pFrames = Math.ceil(((m2pTablesMfn + 16) * 1.003 * 8) / PAGE_SIZE) + 1;
  const m2pTables = 5 + Math.ceil(m2pFrames / 512);
  const m2pMfn = m2pTablesMfn + m2pTables;
  const totalFrames = m2pMfn + m2pFrames;
  if (totalFrames * 8 > m2pFrames * PAGE_SIZE) throw new Error(`M2P of ${m2pFrames} frames for ${totalFrames} frames`);

  const vcpusAt = align(pageInfoAt + totalFrames * PageInfo.size, PAGE_SIZE);
  const vcpuStride = VCPU_BLOCK + shape.processor.regionSize(totalFrames);
  const framesAt = align(vcpusAt + shape.maxVcpus * vcpuStride, PAGE_SIZE);
  const wasmPages = Math.ceil((framesAt + totalFrames * PAGE_SIZE) / WASM_PAGE);
  if (wasmPages > MAX_WASM_PAGES) return undefined;
  return {
    ...shape,
    domainAt,
    evtchnAt,
    fifoPagesAt,
    pvDomainAt,
    pageInfoAt,
    vcpusAt,
    vcpuStride,
    framesAt,
    totalFrames,
    sharedInfoMfn,
    grantMfn,
    statusMfn,
    statusFrames,
    m2pMfn,
    m2pFrames,
    m2pTablesMfn,
    m2pTables,
    wasmPages,
  };
}

/** Offsets within a vCPU's block. */
const CONTEXT = align(VcpuState.size, 64) + PV_VCPU_BLOCK;
const VCPU_BLOCK = align(CONTEXT + VcpuGuestContext.size, PAGE_SIZE);
export const vcpuBlock = {
  state: 0,
  pv: align(VcpuState.size, 64),
  context: CONTEXT,
  processor: VCPU_BLOCK,
} as const;

export function vcpuAt(layout: DomainLayout, vcpu: number): HostAddress {
  return layout.vcpusAt + vcpu * layout.vcpuStride;
}

/** Where the CPU region of a vCPU begins. */
export function cpuRegionAt(layout: DomainLayout, vcpu: number): HostAddress {
  return vcpuAt(layout, vcpu) + VCPU_BLOCK;
}

export function createMemory(wasmPages: number): WebAssembly.Memory {
  return new WebAssembly.Memory({ initial: wasmPages, maximum: wasmPages, shared: true });
}
