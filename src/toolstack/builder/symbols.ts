/** Names for addresses, from the symbol table of the kernel's ELF file. Distributions' kernels are stripped of it. */
import { Elf64Sym, SHT_SYMTAB } from '../../abi/elf.ts';
import type { Symbolizer } from '../../hypervisor/control.ts';
import { cString, elfSections } from './elf-file.ts';

/** A kernel has some 100,000; a table of millions is no kernel's. */
const MAX_SYMBOLS = 1 << 20;

/** `undefined` for a kernel without symbols. */
export function kernelSymbols(elf: Uint8Array): Symbolizer | undefined {
  const sections = elfSections(elf);
  const table = sections.find((section) => section.type === SHT_SYMTAB);
  const strings = table === undefined ? undefined : sections[table.link]?.content;
  if (table === undefined || strings === undefined) return undefined;
  const { content } = table;
  const count = Math.min(MAX_SYMBOLS, Math.floor(content.length / Elf64Sym.size));
  const view = new DataView(content.buffer, content.byteOffset, content.length);

  const starts: { readonly value: number; readonly nameAt: number }[] = [];
  for (let i = 0; i < count; i++) {
    const symbol = Elf64Sym.read(view, i * Elf64Sym.size);
    // Zero and small values are offsets into the per-CPU area and constants.
    if (symbol.st_shndx !== 0 && symbol.st_name !== 0 && symbol.st_value < 0) {
      starts.push({ value: symbol.st_value, nameAt: symbol.st_name });
    }
  }
  if (starts.length === 0) return undefined;
  starts.sort((a, b) => a.value - b.value);
  const last = starts.at(-1)?.value ?? 0;
  return (va) => {
    if (va > last) return undefined;
    let low = 0;
    let high = starts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((starts[middle]?.value ?? Infinity) <= va) low = middle + 1;
      else high = middle;
    }
    const found = starts[low - 1];
    if (found === undefined) return undefined;
    const next = starts[low]?.value ?? found.value;
    return { name: cString(strings, found.nameAt), offset: va - found.value, size: next - found.value };
  };
}
