/** Reads a dump-core file as an analysis tool would: by its section headers, and memory by the tables that CR3 points to. */
import assert from 'node:assert/strict';
import { closeSync, openSync, readSync, fstatSync } from 'node:fs';
import { CpuUserRegs, VcpuGuestContext } from '../../../abi/arch-x86.ts';
import { Elf64Ehdr, Elf64Shdr, ElfNhdr, ET_CORE } from '../../../abi/elf.ts';
import { PAGE_SIZE } from '../../../abi/numbers.ts';
import type { ValueOf } from '../../../abi/struct.ts';
import * as format from '../format.ts';

interface Section extends ValueOf<typeof Elf64Shdr> {
  readonly name: string;
}

export class CoreReader {
  readonly #file: number;
  readonly size: number;
  readonly sections: readonly Section[];
  readonly header: ValueOf<typeof format.HeaderDesc>;
  readonly xenVersion: ValueOf<typeof format.XenVersionDesc>;
  /** Types of all notes, in their order. */
  readonly noteTypes: readonly number[];
  readonly contexts: readonly ValueOf<typeof VcpuGuestContext>[];
  readonly registers: readonly ValueOf<typeof CpuUserRegs>[];
  /** Number of the page in the file, by machine frame and by the guest's number. */
  readonly #byMfn = new Map<number, number>();
  readonly #byPfn = new Map<number, number>();

  constructor(path: string) {
    this.#file = openSync(path, 'r');
    this.size = fstatSync(this.#file).size;
    const file = Elf64Ehdr.read(this.#view(0, Elf64Ehdr.size), 0);
    assert.deepEqual([file.e_type, file.e_phnum], [ET_CORE, 0]);
    const headers = Array.from({ length: file.e_shnum }, (_, i) =>
      Elf64Shdr.read(this.#view(file.e_shoff + i * Elf64Shdr.size, Elf64Shdr.size), 0),
    );
    const strings = headers[file.e_shstrndx];
    assert(strings);
    const names = this.#bytes(strings.sh_offset, strings.sh_size).toString('latin1');
    this.sections = headers.map((header) => ({
      ...header,
      name: names.slice(header.sh_name, names.indexOf('\0', header.sh_name)),
    }));
    const notes = this.#notes();
    this.noteTypes = [...notes.keys()];
    this.header = format.HeaderDesc.read(this.#desc(notes, format.noteTypes.header), 0);
    this.xenVersion = format.XenVersionDesc.read(this.#desc(notes, format.noteTypes.xenVersion), 0);
    const vcpus = this.section('vcpus');
    const at = Array.from({ length: this.header.xch_nr_vcpus }, (_, i) => vcpus.sh_offset + i * VcpuGuestContext.size);
    this.contexts = at.map((where) => VcpuGuestContext.read(this.#view(where, VcpuGuestContext.size), 0));
    this.registers = at.map((where) =>
      CpuUserRegs.read(this.#view(where + VcpuGuestContext.at.user_regs, CpuUserRegs.size), 0),
    );
    const p2m = this.section('p2m');
    const entries = this.#view(p2m.sh_offset, p2m.sh_size);
    for (let page = 0; page * format.P2mEntry.size < p2m.sh_size; page++) {
      const { pfn, gmfn } = format.P2mEntry.read(entries, page * format.P2mEntry.size);
      this.#byMfn.set(gmfn, page);
      this.#byPfn.set(pfn, page);
    }
  }

  close(): void {
    closeSync(this.#file);
  }

  section(name: format.SectionName): Section {
    return this.sections.find((section) => section.name === format.sections[name]) ?? assert.fail(`no section ${name}`);
  }

  content(name: format.SectionName): Buffer {
    const { sh_offset, sh_size } = this.section(name);
    return this.#bytes(sh_offset, sh_size);
  }

  get pages(): number {
    return this.#byPfn.size;
  }

  page(pfn: number): Buffer {
    return this.#page(this.#byPfn.get(pfn) ?? assert.fail(`no page ${pfn}`));
  }

  /** Guest memory by virtual address, through the kernel's tables of vCPU 0. */
  read(va: bigint, length: number): Buffer {
    const parts: Buffer[] = [];
    for (let at = va; at < va + BigInt(length);) {
      const offset = Number(at & 0xfffn);
      const some = Math.min(PAGE_SIZE - offset, Number(va + BigInt(length) - at));
      parts.push(this.#frame(this.#translate(at)).subarray(offset, offset + some));
      at += BigInt(some);
    }
    return Buffer.concat(parts);
  }

  #translate(va: bigint): number {
    const cr3 = this.contexts[0]?.ctrlreg[3] ?? assert.fail('no vCPU');
    let mfn = (cr3.hi * 2 ** 32 + cr3.lo) / PAGE_SIZE;
    for (const shift of [39n, 30n, 21n, 12n]) {
      const entry = this.#frame(mfn).readBigUInt64LE(Number((va >> shift) & 511n) * 8);
      assert(entry & 1n, `0x${BigInt.asUintN(64, va).toString(16)} is not mapped`);
      mfn = Number((entry >> 12n) & 0xffffffffffn);
    }
    return mfn;
  }

  #frame(mfn: number): Buffer {
    return this.#page(this.#byMfn.get(mfn) ?? assert.fail(`no frame ${mfn}`));
  }

  #page(page: number): Buffer {
    return this.#bytes(this.section('pages').sh_offset + page * PAGE_SIZE, PAGE_SIZE);
  }

  #notes(): Map<number, Buffer> {
    const content = this.content('notes');
    const notes = new Map<number, Buffer>();
    for (let at = 0; at < content.length;) {
      const view = new DataView(content.buffer, content.byteOffset + at);
      const { n_namesz, n_descsz, n_type } = ElfNhdr.read(view, 0);
      const desc = at + ElfNhdr.size + Math.ceil(n_namesz / 4) * 4;
      assert.equal(content.toString('latin1', at + ElfNhdr.size, at + ElfNhdr.size + n_namesz), 'Xen\0');
      notes.set(n_type, content.subarray(desc, desc + n_descsz));
      at = desc + Math.ceil(n_descsz / 4) * 4;
    }
    return notes;
  }

  #desc(notes: ReadonlyMap<number, Buffer>, type: number): DataView {
    const desc = notes.get(type) ?? assert.fail(`no note ${type.toString(16)}`);
    return new DataView(desc.buffer, desc.byteOffset, desc.length);
  }

  #view(at: number, length: number): DataView {
    const bytes = this.#bytes(at, length);
    return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  #bytes(at: number, length: number): Buffer {
    const bytes = Buffer.alloc(length);
    for (let read = 0; read < length;) {
      const some = readSync(this.#file, bytes, read, length - read, at + read);
      assert(some > 0, 'the file ends too soon');
      read += some;
    }
    return bytes;
  }
}
