import { FxAt, Mode, Selector, StateAt, STACK_TOP, STATE_SIZE } from './layout.ts';

const LOW32 = 0xffff_ffffn;

/** A complete user-mode state in the bytes of `struct state`. BigInt is fine here: nothing of this runs in a guest. */
export class MachineState {
  readonly bytes: Uint8Array;
  readonly view: DataView;

  constructor(bytes: Uint8Array = new Uint8Array(STATE_SIZE)) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Everything as after program start: flags clear, x87 empty, all exceptions masked. */
  static fresh(mode: Mode = Mode.long64): MachineState {
    const s = new MachineState();
    s.rflags = 0x202;
    s.setGpr(4, BigInt(STACK_TOP - 0x800));
    const data = mode === Mode.compat32 ? Selector.data : 0;
    s.setSelector(0, data);
    s.setSelector(1, mode === Mode.compat32 ? Selector.compat32 : Selector.long64);
    s.setSelector(2, Selector.data);
    s.setSelector(3, data);
    s.setSelector(4, data);
    s.setSelector(5, data);
    s.fcw = 0x37f;
    s.mxcsr = 0x1f80;
    s.view.setUint32(StateAt.fx + FxAt.mxcsrMask, 0xffff, true);
    return s;
  }

  copy(): MachineState {
    return new MachineState(this.bytes.slice());
  }

  gpr(n: number): bigint {
    return this.view.getBigUint64(StateAt.gpr + 8 * n, true);
  }
  setGpr(n: number, value: bigint): void {
    this.view.setBigUint64(StateAt.gpr + 8 * n, value, true);
  }
  setGprLow(n: number, value: number): void {
    this.view.setUint32(StateAt.gpr + 8 * n, value, true);
  }
  setGprByte(n: number, value: number): void {
    this.bytes[StateAt.gpr + 8 * n] = value;
  }

  get rflags(): number {
    return this.view.getUint32(StateAt.rflags, true);
  }
  set rflags(value: number) {
    this.view.setUint32(StateAt.rflags, value, true);
    this.view.setUint32(StateAt.rflags + 4, 0, true);
  }
  get rip(): bigint {
    return this.view.getBigInt64(StateAt.rip, true);
  }
  set rip(value: bigint) {
    this.view.setBigInt64(StateAt.rip, value, true);
  }
  get fsBase(): bigint {
    return this.view.getBigUint64(StateAt.fsBase, true);
  }
  set fsBase(value: bigint) {
    this.view.setBigUint64(StateAt.fsBase, value, true);
  }
  get gsBase(): bigint {
    return this.view.getBigUint64(StateAt.gsBase, true);
  }
  set gsBase(value: bigint) {
    this.view.setBigUint64(StateAt.gsBase, value, true);
  }
  selector(n: number): number {
    return this.view.getUint16(StateAt.selector + 2 * n, true);
  }
  setSelector(n: number, value: number): void {
    this.view.setUint16(StateAt.selector + 2 * n, value, true);
  }

  get fcw(): number {
    return this.view.getUint16(StateAt.fx + FxAt.control, true);
  }
  set fcw(value: number) {
    this.view.setUint16(StateAt.fx + FxAt.control, value, true);
  }
  get fsw(): number {
    return this.view.getUint16(StateAt.fx + FxAt.status, true);
  }
  set fsw(value: number) {
    this.view.setUint16(StateAt.fx + FxAt.status, value, true);
  }
  get tags(): number {
    return this.view.getUint8(StateAt.fx + FxAt.tags);
  }
  set tags(value: number) {
    this.view.setUint8(StateAt.fx + FxAt.tags, value);
  }
  get mxcsr(): number {
    return this.view.getUint32(StateAt.fx + FxAt.mxcsr, true);
  }
  set mxcsr(value: number) {
    this.view.setUint32(StateAt.fx + FxAt.mxcsr, value, true);
  }
  /** Ten bytes of ST(n). */
  st(n: number): Uint8Array {
    const at = StateAt.fx + FxAt.st + 16 * n;
    return this.bytes.subarray(at, at + 10);
  }
  xmm(n: number): Uint8Array {
    const at = StateAt.fx + FxAt.xmm + 16 * n;
    return this.bytes.subarray(at, at + 16);
  }
  /** The FXSAVE image, for loadFpu and saveFpu. */
  fx(): Uint8Array {
    return this.bytes.subarray(StateAt.fx, StateAt.fx + 512);
  }
}

export function hex(value: bigint, digits = 16): string {
  return BigInt.asUintN(4 * digits, value)
    .toString(16)
    .padStart(digits, '0');
}

export function low32(value: bigint): bigint {
  return value & LOW32;
}
