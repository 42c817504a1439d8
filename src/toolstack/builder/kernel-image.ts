/** From the bytes of a kernel file to what is known of it before any domain memory exists. */
import { ELFCLASS32 } from '../../abi/elf.ts';
import { PAGE_SIZE } from '../../abi/numbers.ts';
import { BuildError, invalidKernel } from './build-error.ts';
import { domainBuilder, hex, libelf, type BuildLog } from './build-log.ts';
import { bzImagePayload, BzImageError } from './bzimage.ts';
import { compressionOf } from './compression/decompress.ts';
import { elfClass, ElfError, isElf, parseElf, type ElfFile } from './elf-file.ts';
import { readXenNotes, unmetRequirement, type XenNotes } from './xen-notes.ts';

export interface PvKernel {
  readonly elf: ElfFile;
  readonly notes: XenNotes;
  /** Guest-physical extent of the segments. */
  readonly physStart: number;
  readonly physEnd: number;
  readonly virtBase: number;
  readonly virtStart: number;
  readonly virtEnd: number;
  readonly entry: number;
  /** Where the kernel wants its P2M; `undefined` puts it behind the kernel. */
  readonly initP2m: number | undefined;
  /** The ramdisk may lie outside the first mapping. */
  readonly unmappedRamdisk: boolean;
  readonly hypercallPage: number | undefined;
}

/** Unpacks; a seam for doing it on another thread, to which the bytes may then belong. */
export type Unpack = (payload: Uint8Array) => Promise<Uint8Array>;

const FIND_LOADER = 'xg_dom_core.c:689: xc_dom_find_loader';
const PARSE_ELF = 'xc_dom_parse_elf_kernel';
const NOT_A_KERNEL = 'no loader found';
/** The range of addresses that a 64-bit PV guest must leave to Xen (xen/include/public/arch-x86/xen-x86_64.h). */
const XEN_START = -0x8000_0000_0000;
const XEN_END = -0x7800_0000_0000;

/** The kernel's ELF file: the file itself, unzipped, or the payload of a bzImage. Throws BuildError. */
export async function extractElf(file: Uint8Array, unpack: Unpack, log: BuildLog): Promise<Uint8Array> {
  let image = file;
  if (compressionOf(file) === 'gzip') {
    const { length } = file;
    image = await unpackOr(unpack, file, 'the gzip file');
    domainBuilder(log, `xc_dom_try_gunzip: unzip ok, ${hex(length)} -> ${hex(image.length)}`);
  }
  for (const loader of ['multiboot-binary', 'HVM-generic']) {
    domainBuilder(log, `xc_dom_find_loader: trying ${loader} loader ... `);
    domainBuilder(log, 'loader probe failed');
  }
  domainBuilder(log, 'xc_dom_find_loader: trying Linux bzImage loader ... ');
  let payload: Uint8Array | undefined;
  try {
    payload = bzImagePayload(image);
  } catch (error) {
    if (error instanceof BzImageError) throw invalidKernel(NOT_A_KERNEL, FIND_LOADER, `bzImage: ${error.message}`);
    throw error;
  }
  if (payload !== undefined) {
    const elf = await unpackOr(unpack, payload, 'the payload of the bzImage');
    if (!isElf(elf)) throw invalidKernel(NOT_A_KERNEL, FIND_LOADER, 'the payload of the bzImage is not an ELF file');
    domainBuilder(log, 'loader probe OK');
    return elf;
  }
  domainBuilder(log, 'loader probe failed');
  domainBuilder(log, 'xc_dom_find_loader: trying ELF-generic loader ... ');
  if (!isElf(image)) {
    domainBuilder(log, 'loader probe failed');
    throw invalidKernel(NOT_A_KERNEL, FIND_LOADER, 'the file is neither a bzImage nor an ELF file');
  }
  domainBuilder(log, 'loader probe OK');
  return image;
}

/** Reads headers and notes; throws BuildError for a kernel that cannot run as a 64-bit PV guest. */
export function parseKernel(bytes: Uint8Array, log: BuildLog): PvKernel {
  if (elfClass(bytes) === ELFCLASS32) {
    const text = 'guest type xen-3.0-x86_32p not supported by xen kernel, sorry';
    throw invalidKernel(text, 'xc_dom_compat_check', 'only 64-bit PV kernels are supported');
  }
  try {
    const elf = parseElf(bytes);
    for (const { paddr, memSize } of elf.load) libelf(log, `ELF: phdr: paddr=${hex(paddr)} memsz=${hex(memSize)}`);
    const physStart = Math.min(...elf.load.map((segment) => segment.paddr));
    const physEnd = Math.max(...elf.load.map((segment) => segment.paddr + segment.memSize));
    libelf(log, `ELF: memory: ${hex(physStart)} -> ${hex(physEnd)}`);
    const notes = readXenNotes(elf, log);
    const unmet = unmetRequirement(notes);
    if (unmet !== undefined) throw new ElfError(unmet);
    return place(elf, notes, physStart, physEnd, log);
  } catch (error) {
    if (error instanceof ElfError) throw invalidKernel(error.message, PARSE_ELF, error.hint);
    throw error;
  }
}

function place(elf: ElfFile, notes: XenNotes, physStart: number, physEnd: number, log: BuildLog): PvKernel {
  const number = (name: Parameters<typeof notes.numbers.get>[0]): number | undefined => notes.numbers.get(name);
  const virtBase = number('VIRT_BASE') ?? 0;
  const paddrOffset = number('PADDR_OFFSET') ?? 0;
  const virtOffset = virtBase - paddrOffset;
  const kernel: PvKernel = {
    elf,
    notes,
    physStart,
    physEnd,
    virtBase,
    virtStart: virtOffset + physStart,
    virtEnd: virtOffset + physEnd,
    entry: number('ENTRY') ?? elf.entry,
    initP2m: number('INIT_P2M'),
    unmappedRamdisk: number('MOD_START_PFN') === 1,
    hypercallPage: number('HYPERCALL_PAGE'),
  };
  libelf(log, 'ELF: addresses:');
  libelf(log, `    virt_base        = ${hex(virtBase)}`);
  libelf(log, `    elf_paddr_offset = ${hex(paddrOffset)}`);
  libelf(log, `    virt_offset      = ${hex(virtOffset)}`);
  libelf(log, `    virt_kstart      = ${hex(kernel.virtStart)}`);
  libelf(log, `    virt_kend        = ${hex(kernel.virtEnd)}`);
  libelf(log, `    virt_entry       = ${hex(kernel.entry)}`);
  libelf(log, `    p2m_base         = ${hex(kernel.initP2m ?? -1)}`);
  checkAddresses(kernel);
  const range = `${hex(kernel.virtStart)} -> ${hex(kernel.virtEnd)}`;
  domainBuilder(log, `${PARSE_ELF}: xen-3.0-x86_64: ${range}`);
  return kernel;
}

function checkAddresses(kernel: PvKernel): void {
  const { virtBase, virtStart, virtEnd, entry, initP2m, hypercallPage } = kernel;
  const inKernel = (va: number): boolean => va >= virtStart && va < virtEnd;
  if (virtBase % PAGE_SIZE !== 0 || (initP2m ?? 0) % PAGE_SIZE !== 0)
    throw new ElfError('base addresses must be page aligned');
  if (virtStart < virtBase || !inKernel(entry)) throw new ElfError('ERROR: ELF start or entries are out of bounds');
  if (!isGuests(virtBase, virtEnd))
    throw new ElfError(`the kernel asks for addresses that Xen owns (${hex(virtBase)})`);
  if (initP2m !== undefined) {
    if (inKernel(initP2m)) throw new ElfError('ERROR: P->M table base is out of bounds');
    if (!isGuests(initP2m, initP2m)) throw new ElfError('ERROR: P->M table base lies where Xen owns the addresses');
  }
  if (hypercallPage !== undefined && (hypercallPage % PAGE_SIZE !== 0 || !inKernel(hypercallPage))) {
    throw new ElfError('the hypercall page is not a page of the kernel');
  }
}

/** A canonical range that wraps neither at the hole, nor at the top, nor touches what is Xen's. */
export function isGuests(from: number, to: number): boolean {
  if (from >= 0) return to < -XEN_START;
  return from >= XEN_END && to <= 0;
}

async function unpackOr(unpack: Unpack, payload: Uint8Array, what: string): Promise<Uint8Array> {
  try {
    return await unpack(payload);
  } catch (cause) {
    throw new BuildError(NOT_A_KERNEL, {
      call: 'parseImage',
      code: 'invalidKernel',
      where: FIND_LOADER,
      hint: `${what} cannot be unpacked: ${cause instanceof Error ? cause.message : String(cause)}`,
      cause,
    });
  }
}
