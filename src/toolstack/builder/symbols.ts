/** Names for addresses in a guest's kernel, for profiles and for the dump that a crash leaves. Looked for when the first is asked for. */
import { Elf64Sym, SHT_SYMTAB } from '../../abi/elf.ts';
import type { Symbolizer } from '../../hypervisor/control.ts';
import { cString, elfSections } from './elf-file.ts';
import { readKallsyms, type KernelSymbol } from './kallsyms.ts';

const MAX_SYMBOLS = 1 << 20;

/**
 * From the symbol table of the ELF file, when it was not stripped of it, or else from the guest's memory as it is
 * then. Keeps nothing of the file but that table: a kernel of 60 MB would weigh on every domain.
 */
export function kernelSymbols(elf: Uint8Array, memory: () => Uint8Array, kernelStart: number): Symbolizer {
  const sections = elfSections(elf);
  const table = sections.find((section) => section.type === SHT_SYMTAB);
  const symbols = table?.content.slice();
  const strings = sections[table?.link ?? -1]?.content.slice();
  return symbolizer(() =>
    symbols === undefined || strings === undefined
      ? readKallsyms(memory(), kernelStart)
      : readSymbolTable(symbols, strings),
  );
}

/** `load` gives symbols in ascending order, once. */
export function symbolizer(load: () => readonly KernelSymbol[] | undefined): Symbolizer {
  let known: readonly KernelSymbol[] | undefined;
  return (va) => {
    const symbols = (known ??= load() ?? []);
    let low = 0;
    let high = symbols.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((symbols[middle]?.value ?? Infinity) <= va) low = middle + 1;
      else high = middle;
    }
    const found = symbols[low - 1];
    const next = symbols[low];
    // Behind the last symbol, which marks the end, there is nothing.
    if (found === undefined || next === undefined) return undefined;
    return { name: found.name, offset: va - found.value, size: next.value - found.value };
  };
}

function readSymbolTable(symbols: Uint8Array, strings: Uint8Array): KernelSymbol[] {
  const view = new DataView(symbols.buffer, symbols.byteOffset, symbols.length);
  const count = Math.min(MAX_SYMBOLS, Math.floor(symbols.length / Elf64Sym.size));
  const found: KernelSymbol[] = [];
  for (let i = 0; i < count; i++) {
    const { st_shndx, st_name, st_value } = Elf64Sym.read(view, i * Elf64Sym.size);
    // Small values are constants, and offsets into the per-CPU area.
    if (st_shndx !== 0 && st_name !== 0 && st_value < 0)
      found.push({ value: st_value, name: cString(strings, st_name) });
  }
  return found.sort((a, b) => a.value - b.value);
}
