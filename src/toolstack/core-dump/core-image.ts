/**
 * A core of a PV domain as a plan: the bytes before its pages, which pages follow, and the bytes after them. Nothing of the guest's own is followed
 * to make it: which frames there are, and what the guest calls them, the hypervisor knows.
 */
import {
  EI_CLASS,
  EI_DATA,
  ELF_MAGIC,
  ELFCLASS64,
  ELFDATA2LSB,
  EM_X86_64,
  Elf64Ehdr,
  Elf64Phdr,
  Elf64Shdr,
  ElfNhdr,
  ET_CORE,
  EV_CURRENT,
  SHT_NOTE,
  SHT_NULL,
  SHT_PROGBITS,
  SHT_STRTAB,
} from '../../abi/elf.ts';
import { VcpuGuestContext } from '../../abi/arch-x86.ts';
import { PAGE_SIZE } from '../../abi/numbers.ts';
import type { ValueOf } from '../../abi/struct.ts';
import type { DomainControl, XenVersion } from '../../hypervisor/control.ts';
import * as format from './format.ts';

/** What is asked of a domain that is dumped. */
export type DumpedDomain = Pick<
  DomainControl,
  'domid' | 'frames' | 'sharedInfoMfn' | 'info' | 'getVcpuContext' | 'pfnOf'
>;

export interface CoreImage {
  /** The file begins with it; a multiple of the page size. */
  readonly head: Uint8Array;
  /** The frames whose pages follow, and what the guest calls each. */
  readonly mfns: Uint32Array;
  readonly pfns: Uint32Array;
  /** After the pages comes `.xen_p2m`, and then this. */
  readonly names: Uint8Array;
}

/** EI_VERSION of e_ident. */
const EI_VERSION = 6;
const EI_ABIVERSION = 8;
/** The C structures' own alignment. */
const wordAlign = 8;

/** Undefined: the domain has no vCPU that can be dumped. */
export function planCore(domain: DumpedDomain, version: XenVersion): CoreImage | undefined {
  const contexts: Uint8Array[] = [];
  for (let vcpu = 0; vcpu <= domain.info().maxVcpuId; vcpu++) {
    const context = domain.getVcpuContext(vcpu);
    if (context !== undefined) contexts.push(context);
  }
  if (contexts.length === 0) return undefined;
  const { mfns, pfns } = ramOf(domain);
  const names = nameTable();
  const parts: Readonly<Partial<Record<format.SectionName, Uint8Array>>> = {
    notes: notes(version, contexts.length, mfns.length),
    vcpus: concat(contexts),
    sharedInfo: domain.frames.view(domain.sharedInfoMfn).slice(),
  };
  const table = Object.keys(format.sections) as format.SectionName[];
  let at = Elf64Ehdr.size + table.length * Elf64Shdr.size;
  const inHead = Object.values(parts).reduce((sum, part) => sum + part.length, at);
  const head = new Uint8Array(Math.ceil(inHead / PAGE_SIZE) * PAGE_SIZE);
  const view = new DataView(head.buffer);
  writeFileHeader(view, table);
  const pagesAt = head.length;
  const p2mAt = pagesAt + mfns.length * PAGE_SIZE;
  const namesAt = p2mAt + mfns.length * format.P2mEntry.size;
  table.forEach((name, index) => {
    const part = parts[name];
    const header: Partial<ValueOf<typeof Elf64Shdr>> = { sh_name: names.offsets[name] };
    if (part !== undefined) {
      head.set(part, at);
      Object.assign(header, { sh_type: SHT_PROGBITS, sh_offset: at, sh_size: part.length });
      at += part.length;
    }
    Object.assign(
      header,
      {
        none: { sh_type: SHT_NULL },
        names: { sh_type: SHT_STRTAB, sh_offset: namesAt, sh_size: names.bytes.length },
        notes: { sh_type: SHT_NOTE },
        vcpus: { sh_addralign: wordAlign, sh_entsize: VcpuGuestContext.size },
        sharedInfo: { sh_addralign: wordAlign, sh_entsize: PAGE_SIZE },
        pages: {
          sh_type: SHT_PROGBITS,
          sh_offset: pagesAt,
          sh_size: p2mAt - pagesAt,
          sh_addralign: PAGE_SIZE,
          sh_entsize: PAGE_SIZE,
        },
        p2m: {
          sh_type: SHT_PROGBITS,
          sh_offset: p2mAt,
          sh_size: namesAt - p2mAt,
          sh_addralign: wordAlign,
          sh_entsize: format.P2mEntry.size,
        },
      }[name] satisfies Partial<ValueOf<typeof Elf64Shdr>>,
    );
    Elf64Shdr.write(view, Elf64Ehdr.size + index * Elf64Shdr.size, header);
  });
  return { head, mfns, pfns, names: names.bytes };
}

/** `.xen_p2m`'s entries from `first` on. */
export function p2mEntries({ mfns, pfns }: CoreImage, first: number, count: number): Uint8Array {
  const bytes = new Uint8Array(count * format.P2mEntry.size);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < count; i++) {
    format.P2mEntry.write(view, i * format.P2mEntry.size, { pfn: pfns[first + i] ?? 0, gmfn: mfns[first + i] ?? 0 });
  }
  return bytes;
}

function ramOf(domain: DumpedDomain): {
  mfns: Uint32Array;
  pfns: Uint32Array;
} {
  const { frames } = domain;
  const mfns = new Uint32Array(frames.count);
  const pfns = new Uint32Array(frames.count);
  let count = 0;
  for (let mfn = 0; mfn < frames.count; mfn++) {
    const pfn = domain.pfnOf(mfn);
    if (pfn === undefined) continue;
    mfns[count] = mfn;
    pfns[count++] = pfn;
  }
  return { mfns: mfns.slice(0, count), pfns: pfns.slice(0, count) };
}

function writeFileHeader(view: DataView, table: readonly format.SectionName[]): void {
  const ident = new Uint8Array(16);
  ident.set(ELF_MAGIC);
  ident[EI_CLASS] = ELFCLASS64;
  ident[EI_DATA] = ELFDATA2LSB;
  ident[EI_VERSION] = EV_CURRENT;
  ident[EI_ABIVERSION] = EV_CURRENT;
  Elf64Ehdr.write(view, 0, {
    e_ident: ident,
    e_type: ET_CORE,
    e_machine: EM_X86_64,
    e_version: EV_CURRENT,
    e_shoff: Elf64Ehdr.size,
    e_ehsize: Elf64Ehdr.size,
    e_phentsize: Elf64Phdr.size,
    e_shentsize: Elf64Shdr.size,
    e_shnum: table.length,
    e_shstrndx: table.indexOf('names'),
  });
}

function nameTable(): { readonly bytes: Uint8Array; readonly offsets: Record<format.SectionName, number> } {
  let text = '';
  const offsets = Object.entries(format.sections).map(([name, section]) => {
    const at = text.length;
    text += `${section}\0`;
    return [name, at];
  });
  return {
    bytes: new TextEncoder().encode(text),
    offsets: Object.fromEntries(offsets) as Record<format.SectionName, number>,
  };
}

function notes(version: XenVersion, vcpus: number, pages: number): Uint8Array {
  const { HeaderDesc, XenVersionDesc, FormatVersionDesc, noteTypes } = format;
  const desc = (size: number, write: (view: DataView) => void): Uint8Array => {
    const bytes = new Uint8Array(size);
    write(new DataView(bytes.buffer));
    return bytes;
  };
  const text = (value: string): Uint8Array => new TextEncoder().encode(value);
  return concat([
    note(noteTypes.none, new Uint8Array()),
    note(
      noteTypes.header,
      desc(HeaderDesc.size, (view) =>
        HeaderDesc.write(view, 0, {
          xch_magic: format.pvMagic,
          xch_nr_vcpus: vcpus,
          xch_nr_pages: pages,
          xch_page_size: PAGE_SIZE,
        }),
      ),
    ),
    note(
      noteTypes.xenVersion,
      desc(XenVersionDesc.size, (view) =>
        XenVersionDesc.write(view, 0, {
          major_version: version.major,
          minor_version: version.minor,
          extra_version: text(version.extraVersion),
          compile_info: {
            compiler: text(version.compiler),
            compile_by: text(version.compileBy),
            compile_domain: text(version.compileDomain),
            compile_date: text(version.compileDate),
          },
          capabilities: text(version.capabilities),
          changeset: text(version.changeset),
          // As it is written there, without its sign.
          virt_start: Number(BigInt.asIntN(64, BigInt(version.virtStart))),
          pagesize: version.pageSize,
        }),
      ),
    ),
    note(
      noteTypes.formatVersion,
      desc(FormatVersionDesc.size, (view) => FormatVersionDesc.write(view, 0, { version: format.formatVersion })),
    ),
  ]);
}

function note(type: number, content: Uint8Array): Uint8Array {
  const name = new TextEncoder().encode(`${format.noteName}\0`);
  const bytes = new Uint8Array(ElfNhdr.size + name.length + content.length);
  ElfNhdr.write(new DataView(bytes.buffer), 0, { n_namesz: name.length, n_descsz: content.length, n_type: type });
  bytes.set(name, ElfNhdr.size);
  bytes.set(content, ElfNhdr.size + name.length);
  return bytes;
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
