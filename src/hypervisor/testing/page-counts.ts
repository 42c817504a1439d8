/** What a domain's page_info[] must say, counted afresh from everything that may hold a reference to a frame. */
import { ENTRIES, FIRST_XEN_SLOT, LAST_XEN_SLOT, PTE } from '../../abi/arch-x86/page-table.ts';
import { VcpuGuestContext } from '../../abi/arch-x86.ts';
import { PAGE_SIZE } from '../../abi/numbers.ts';
import type { GrantMapping } from '../control.ts';
import { vcpuBlock } from '../domain-memory.ts';
import type { Domain } from '../domain.ts';
import { PGT, PageTypes } from '../pv/page-type.ts';
import { PvState } from '../pv/pv-state.ts';
import { PGC_allocated, PGC_count_mask, VcpuState } from '../state.ts';

/** A grant that domain 0 has mapped. */
export interface MappedGrant {
  readonly mapping: GrantMapping;
  readonly readonly: boolean;
}

interface Counts {
  readonly uses: number[];
  readonly references: number[];
}

/** Frames whose counts differ from a fresh count, and other contradictions; nothing when all is well. */
export function wrongPageCounts(domain: Domain, grants: readonly MappedGrant[]): string[] {
  const types = new PageTypes(domain);
  const { uses, references } = recount(domain, grants);
  const wrong: string[] = [];
  let allocated = 0;
  for (let mfn = 0; mfn < domain.layout.totalFrames; mfn++) {
    const counted = `${types.typeCount(mfn)} uses and ${types.count(mfn) & PGC_count_mask} references`;
    const found = `${uses[mfn] ?? 0} uses and ${references[mfn] ?? 0} references`;
    if (counted !== found) wrong.push(`frame ${mfn} (type ${types.type(mfn)}) has ${counted}, there are ${found}`);
    if (mfn < domain.layout.maxPages && (types.count(mfn) & PGC_allocated) !== 0) allocated++;
  }
  if (allocated !== domain.get('totPages'))
    wrong.push(`${allocated} pages are allocated, totPages is ${domain.get('totPages')}`);
  return wrong;
}

function recount(domain: Domain, grants: readonly MappedGrant[]): Counts {
  const { totalFrames, maxPages } = domain.layout;
  const counts: Counts = {
    uses: new Array<number>(totalFrames).fill(0),
    references: new Array<number>(totalFrames).fill(0),
  };
  const use = (mfn: number, typed: boolean): void => {
    counts.references[mfn] = (counts.references[mfn] ?? 0) + 1;
    if (typed) counts.uses[mfn] = (counts.uses[mfn] ?? 0) + 1;
  };
  for (let mfn = maxPages; mfn < totalFrames; mfn++) use(mfn, true);
  for (let mfn = 0; mfn < maxPages; mfn++) countTable(domain, mfn, use);
  for (let vcpu = 0; vcpu < domain.layout.maxVcpus; vcpu++) countVcpu(domain, vcpu, use);
  for (let page = 0; page < domain.get('fifoPages'); page++)
    use(domain.u32[(domain.layout.fifoPagesAt >>> 2) + page] ?? 0, true);
  if (domain.get('pirqEoiMfn') !== 0) use(domain.get('pirqEoiMfn'), true);
  for (const { mapping, readonly } of grants) use(mapping.mfn, !readonly);
  return counts;
}

type Use = (mfn: number, typed: boolean) => void;

/** What a validated table's entries refer to, and its pin. */
function countTable(domain: Domain, mfn: number, use: Use): void {
  const types = new PageTypes(domain);
  if (types.isPinned(mfn)) use(mfn, true);
  const level = types.typeInUse(mfn);
  if (level === PGT.none || level > PGT.l4_page_table) return;
  for (let slot = 0; slot < ENTRIES; slot++) {
    if (level === PGT.l4_page_table && slot >= FIRST_XEN_SLOT && slot <= LAST_XEN_SLOT) continue;
    const lo = domain.u32[(domain.frameAt(mfn) + slot * 8) / 4] ?? 0;
    if ((lo & PTE.P) === 0) continue;
    const target = lo >>> 12;
    if (level === PGT.l1_page_table) use(target, (lo & PTE.RW) !== 0);
    else if (target !== mfn) use(target, true);
  }
}

function countVcpu(domain: Domain, vcpu: number, use: Use): void {
  const base = domain.vcpuAt(vcpu);
  const word = (field: 'initialised' | 'contextPending' | 'infoRegistered' | 'infoMfn' | 'fifoControlAt'): number =>
    domain.u32[(base + VcpuState.at[field]) >>> 2] ?? 0;
  if (word('infoRegistered') !== 0) use(word('infoMfn'), true);
  if (word('fifoControlAt') !== 0) use(Math.floor((word('fifoControlAt') - domain.layout.framesAt) / PAGE_SIZE), true);
  if (word('initialised') === 0) return;
  const tables =
    word('contextPending') !== 0 ? ofContext(domain, base + vcpuBlock.context) : ofState(domain, base + vcpuBlock.pv);
  for (const mfn of tables) use(mfn, true);
}

/** Frames that a vCPU holds once its context is loaded … */
function ofState(domain: Domain, at: number): number[] {
  const state = new PvState(domain, at);
  const gdt = Array.from({ length: Math.ceil(state.word('gdtEnts') / 512) }, (_, i) => state.gdtFrame(i));
  return [...gdt, state.word('cr3'), ...(state.word('userCr3') === 0 ? [] : [state.word('userCr3')])];
}

/** … and before. */
function ofContext(domain: Domain, at: number): number[] {
  const c = VcpuGuestContext.read(domain.view, at);
  const base = (n: number): number => (c.ctrlreg[n]?.lo ?? 0) >>> 12;
  return [...c.gdt_frames.slice(0, Math.ceil(c.gdt_ents / 512)), base(3), ...(base(1) === 0 ? [] : [base(1)])];
}
