/** Reads small arguments of hypercalls as 32-bit words, without allocation: the form in which page-table entries travel. */
import type { GuestAccess } from '../guest-access.ts';
import type { Domain } from '../domain.ts';
import type { Processor } from '../processor.ts';

const PAGE_MASK = 4095;
const MAX_WORDS = 16;

export class GuestWords {
  /** What the last `fetch` read. */
  readonly words = new Int32Array(MAX_WORDS);
  readonly #domain: Domain;
  readonly #processor: Processor;
  readonly #access: GuestAccess;

  constructor(domain: Domain, processor: Processor, access: GuestAccess) {
    this.#domain = domain;
    this.#processor = processor;
    this.#access = access;
  }

  /** Copies `count` words from the guest's address `va`; false on a fault. */
  fetch(va: number, count: number): boolean {
    const { words } = this;
    const bytes = count * 4;
    if ((va & 3) === 0 && (va & PAGE_MASK) + bytes <= 4096 && this.#access.allowed(va, bytes)) {
      const at = this.#processor.translate(va, 'read');
      if (at === 0) return false;
      const { i32 } = this.#domain;
      const from = at >>> 2;
      for (let i = 0; i < count; i++) words[i] = i32[from + i] ?? 0;
      return true;
    }
    const view = this.#access.view(va, bytes);
    if (view === undefined) return false;
    for (let i = 0; i < count; i++) words[i] = view.getInt32(i * 4, true);
    return true;
  }

  lo(word: number): number {
    return this.words[word] ?? 0;
  }
}
