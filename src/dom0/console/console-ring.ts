/**
 * The backend's half of the PV console ring. After xen/include/public/io/console.h.
 *
 * All of the page is the guest's to change. An index that cannot be true makes the ring look empty (output) or full (input), as
 * xenconsoled treats it: the guest only harms its own console, and one that mends its indices is heard again.
 */
import { XENCONS_IN_SIZE, XENCONS_OUT_SIZE, XenconsInterface } from '../../abi/io/console.ts';
import { indexDistance } from '../../abi/io/ring.ts';

const at = XenconsInterface.at;

export class ConsoleRing {
  readonly #page: Uint8Array;
  readonly #words: Int32Array;

  /** Over the ring's page itself, not a copy. */
  constructor(page: Uint8Array) {
    this.#page = page;
    this.#words = new Int32Array(page.buffer, page.byteOffset, page.byteLength / 4);
  }

  /** Takes everything that the guest has put out. Undefined: nothing. */
  takeOutput(): Uint8Array | undefined {
    const cons = this.#load(at.out_cons);
    const count = indexDistance(this.#load(at.out_prod), cons);
    if (count === 0 || count > XENCONS_OUT_SIZE) return undefined;
    const output = new Uint8Array(count);
    const start = cons & (XENCONS_OUT_SIZE - 1);
    const first = Math.min(count, XENCONS_OUT_SIZE - start);
    output.set(this.#page.subarray(at.out + start, at.out + start + first));
    output.set(this.#page.subarray(at.out, at.out + count - first), first);
    this.#store(at.out_cons, cons + count);
    return output;
  }

  /** How much input the guest can be given now. */
  get inputRoom(): number {
    const used = indexDistance(this.#load(at.in_prod), this.#load(at.in_cons));
    return used > XENCONS_IN_SIZE ? 0 : XENCONS_IN_SIZE - used;
  }

  /** Gives the guest as much of `input` as there is room for; returns how much that was. */
  putInput(input: Uint8Array): number {
    const count = Math.min(input.length, this.inputRoom);
    if (count === 0) return 0;
    const prod = this.#load(at.in_prod);
    const start = prod & (XENCONS_IN_SIZE - 1);
    const first = Math.min(count, XENCONS_IN_SIZE - start);
    this.#page.set(input.subarray(0, first), at.in + start);
    this.#page.set(input.subarray(first, count), at.in);
    this.#store(at.in_prod, prod + count);
    return count;
  }

  #load(offset: number): number {
    return Atomics.load(this.#words, offset >> 2);
  }

  #store(offset: number, value: number): void {
    Atomics.store(this.#words, offset >> 2, value | 0);
  }
}
