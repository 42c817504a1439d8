import { I32, I64 } from '../wasm/value.ts';

/**
 * An operation whose fields are known when code is generated: what a definition reads from it becomes a constant. This is all that makes a translation out of a
 * definition; the interpreter hands in an address that is known only when the code runs.
 */
export class KnownOperation extends I32 {
  readonly at: number;
  readonly #memory: DataView;

  /** @param at where `memory` has it; @param address the operation's own host address, for helpers that are given it */
  constructor(memory: DataView, at: number, address: number) {
    const constant = I32.of(address | 0);
    super(constant.code, []);
    this.known = constant.known;
    this.at = at;
    this.#memory = memory;
  }

  override load8U(offset = 0): I32 {
    return I32.of(this.#memory.getUint8(this.at + offset));
  }
  override load16U(offset = 0): I32 {
    return I32.of(this.#memory.getUint16(this.at + offset, true));
  }
  override load32(offset = 0): I32 {
    return I32.of(this.#memory.getInt32(this.at + offset, true));
  }
  override load64(offset = 0): I64 {
    return I64.of(this.#memory.getBigInt64(this.at + offset, true));
  }
  override load64From8U(offset = 0): I64 {
    return I64.of(this.#memory.getUint8(this.at + offset));
  }
  override load64From16U(offset = 0): I64 {
    return I64.of(this.#memory.getUint16(this.at + offset, true));
  }
  override load64From32U(offset = 0): I64 {
    return I64.of(this.#memory.getUint32(this.at + offset, true));
  }
  override load64From32S(offset = 0): I64 {
    return I64.of(this.#memory.getInt32(this.at + offset, true));
  }
}
