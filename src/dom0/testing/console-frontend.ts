/** The guest's half of the console ring, as far as tests need it. */
import { XENCONS_IN_SIZE, XENCONS_OUT_SIZE, XenconsInterface } from '../../abi/io/console.ts';
import type { FakeDomain } from './fake-hypervisor.ts';

const at = XenconsInterface.at;
type Index = 'in_cons' | 'in_prod' | 'out_cons' | 'out_prod';

export class ConsoleFrontend {
  readonly page: Uint8Array;
  /** Signals that have woken domain 0. */
  heard = 0;
  readonly #words: DataView;
  readonly #domain: FakeDomain;
  readonly #port: number;

  constructor(domain: FakeDomain, mfn: number, port: number) {
    this.page = domain.frames.view(mfn);
    this.#words = new DataView(this.page.buffer, this.page.byteOffset, this.page.byteLength);
    this.#domain = domain;
    this.#port = port;
  }

  /** Prints as much as fits, without telling the backend; returns how much that was. */
  put(text: string): number {
    const prod = this.word('out_prod');
    const count = Math.min(text.length, XENCONS_OUT_SIZE - ((prod - this.word('out_cons')) >>> 0));
    for (let i = 0; i < count; i++) this.page[at.out + ((prod + i) % XENCONS_OUT_SIZE)] = text.charCodeAt(i);
    this.setWord('out_prod', prod + count);
    return count;
  }

  /** Prints all of it, as a guest's console driver does. */
  print(text: string): void {
    for (let sent = 0; sent < text.length;) {
      const count = this.put(text.slice(sent));
      if (count === 0) throw new Error('nobody takes the output');
      sent += count;
      this.signal();
    }
  }

  /** Takes what was typed. */
  take(max = Infinity): string {
    const cons = this.word('in_cons');
    const count = Math.min((this.word('in_prod') - cons) >>> 0, max);
    const bytes = Array.from({ length: count }, (_, i) => this.page[at.in + ((cons + i) % XENCONS_IN_SIZE)] ?? 0);
    this.setWord('in_cons', cons + count);
    this.signal();
    return String.fromCharCode(...bytes);
  }

  signal(): void {
    if (this.#domain.send(this.#port)) this.heard += 1;
  }

  word(index: Index): number {
    return this.#words.getUint32(at[index], true);
  }

  setWord(index: Index, value: number): void {
    this.#words.setUint32(at[index], value >>> 0, true);
  }
}
