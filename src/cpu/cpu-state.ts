import { Flag } from './flags.ts';
import type { Vaddr } from './processor.ts';
import { type Mode, S, View } from './state-layout.ts';

const TWO32 = 2 ** 32;
const GPRS = 16;

/** What is not the guest's: no reset changes it. */
const KEPT = [
  [S.space, S.exitRequest],
  [S.hookSyscall, S.jumpKey + 8],
  [S.views, S.views + 2 * View.size],
  [S.siblingMasks, S.busLock + 4],
] as const;

/** The architectural state of a stopped vCPU, read and written in place. */
export class CpuState {
  readonly #view: DataView;
  readonly #at: number;
  readonly #flags: { readFlags(vcpu: number): number; writeFlags(vcpu: number, image: number): void };

  constructor(
    memory: ArrayBufferLike,
    at: number,
    flags: { readFlags(vcpu: number): number; writeFlags(vcpu: number, image: number): void },
  ) {
    this.#view = new DataView(memory);
    this.#at = at;
    this.#flags = flags;
  }

  /** Power-on values of what is not zero (SDM Vol. 3A, "Processor State After Reset", as far as a user-level processor has it). */
  reset(): void {
    for (let at = 0; at < S.end; at += 4) {
      const kept = KEPT.some(([from, to]) => at >= from && at < to);
      if (!kept) this.#set32(at, 0);
    }
    this.rflags = 0x202;
    this.#set32(S.mxcsr, 0x1f80);
    this.#set32(S.ldtLimit, -1);
    this.#set32(S.x87Control, 0x37f);
  }

  /** Instructions executed so far, as far as whole blocks and exits count them. */
  get instructionsRetired(): number {
    return this.#view.getFloat64(this.#at + S.retired, true);
  }
  set instructionsRetired(value: number) {
    this.#view.setFloat64(this.#at + S.retired, value, true);
  }

  lo(gpr: number): number {
    return this.#view.getUint32(this.#at + S.gpr + gpr * 8, true);
  }
  hi(gpr: number): number {
    return this.#view.getUint32(this.#at + S.gpr + gpr * 8 + 4, true);
  }
  /** As a signed double: exact for canonical addresses and everything below 2^53. */
  num(gpr: number): number {
    return this.#num(S.gpr + gpr * 8);
  }
  /** Sign-extended from a double. */
  set(gpr: number, value: number): void {
    this.#setNum(S.gpr + gpr * 8, value);
  }
  setLoHi(gpr: number, lo: number, hi: number): void {
    this.#set32(S.gpr + gpr * 8, lo);
    this.#set32(S.gpr + gpr * 8 + 4, hi);
  }
  /** The sixteen general registers, for dumps. */
  gprs(): bigint[] {
    return Array.from({ length: GPRS }, (_, i) => this.#view.getBigUint64(this.#at + S.gpr + i * 8, true));
  }
  setGprBig(gpr: number, value: bigint): void {
    this.#view.setBigUint64(this.#at + S.gpr + gpr * 8, BigInt.asUintN(64, value), true);
  }

  get rip(): Vaddr {
    return this.#num(S.rip);
  }
  set rip(value: Vaddr) {
    this.#setNum(S.rip, value);
  }
  get ripLow(): number {
    return this.#get32(S.rip);
  }
  get ripHigh(): number {
    return this.#get32(S.rip + 4);
  }
  /** Makes the page of RIP the page that operations are relative to. */
  copyPageOfRip(): void {
    this.#set32(S.pageVa, this.ripLow & ~0xfff);
    this.#set32(S.pageVa + 4, this.ripHigh);
  }

  get rflags(): number {
    return this.#flags.readFlags(this.#at) >>> 0;
  }
  set rflags(value: number) {
    this.#flags.writeFlags(this.#at, value | 0);
  }

  get trapFlag(): boolean {
    return (this.#get32(S.flagsRest) & Flag.TF) !== 0;
  }

  selector(segment: number): number {
    return this.#view.getUint16(this.#at + S.selector + segment * 2, true);
  }
  setSelector(segment: number, value: number): void {
    this.#view.setUint16(this.#at + S.selector + segment * 2, value, true);
  }
  segmentBase(segment: number): Vaddr {
    return this.#num(S.segmentBase + segment * 8);
  }
  setSegmentBase(segment: number, value: Vaddr): void {
    this.#setNum(S.segmentBase + segment * 8, value);
  }
  setSegmentBaseLoHi(segment: number, lo: number, hi: number): void {
    this.#set32(S.segmentBase + segment * 8, lo);
    this.#set32(S.segmentBase + segment * 8 + 4, hi);
  }
  get fsBase(): Vaddr {
    return this.segmentBase(4);
  }
  set fsBase(value: Vaddr) {
    this.setSegmentBase(4, value);
  }
  get gsBase(): Vaddr {
    return this.segmentBase(5);
  }
  set gsBase(value: Vaddr) {
    this.setSegmentBase(5, value);
  }
  get ldtSelector(): number {
    return this.#view.getUint16(this.#at + S.ldtSelector, true);
  }
  set ldtSelector(value: number) {
    this.#view.setUint16(this.#at + S.ldtSelector, value, true);
  }

  get mode(): Mode {
    return this.#get32(S.mode) === 0 ? 0 : 1;
  }
  /** 64-bit mode, as against compatibility mode. */
  get long64(): boolean {
    return this.#get32(S.mode) === 0;
  }
  set long64(value: boolean) {
    this.#set32(S.mode, value ? 0 : 1);
  }

  get vector(): number {
    return this.#get32(S.vector);
  }
  get errorCode(): number {
    return this.#get32(S.errorCode);
  }
  get hasErrorCode(): boolean {
    return this.#get32(S.hasErrorCode) !== 0;
  }
  get faultAddress(): Vaddr {
    return this.#num(S.faultAddress);
  }
  set faultAddress(value: Vaddr) {
    this.#setNum(S.faultAddress, value);
  }
  get faultAddressLow(): number {
    return this.#get32(S.faultAddress);
  }
  get faultAddressHigh(): number {
    return this.#get32(S.faultAddress + 4);
  }
  /** Exit details, see `Privileged`. */
  detail(n: number): number {
    return this.#get32(S.detail + 4 * n);
  }
  /** Length in bytes of the instruction that made the exit. */
  get instructionLength(): number {
    return this.#get32(S.length);
  }

  setException(vector: number, errorCode?: number): void {
    this.#set32(S.vector, vector);
    this.#set32(S.hasErrorCode, errorCode === undefined ? 0 : 1);
    this.#set32(S.errorCode, errorCode ?? 0);
  }

  /** Byte address of the word that makes `run` return soon, for other threads. */
  /** PAUSE instructions executed, modulo 2^32. */
  get pauses(): number {
    return this.#view.getUint32(this.#at + S.pauses, true);
  }

  get exitRequestAt(): number {
    return this.#at + S.exitRequest;
  }
  set exitRequest(value: number) {
    this.#set32(S.exitRequest, value);
  }

  /** CR0.TS. */
  get taskSwitched(): boolean {
    return this.#get32(S.taskSwitched) !== 0;
  }
  set taskSwitched(value: boolean) {
    this.#set32(S.taskSwitched, value ? 1 : 0);
  }
  /** What RDTSCP and RDPID give in ECX. */
  get tscAux(): number {
    return this.#get32(S.tscAux);
  }
  set tscAux(value: number) {
    this.#set32(S.tscAux, value);
  }
  get fsGsBaseEnabled(): boolean {
    return this.#get32(S.fsGsBaseEnabled) !== 0;
  }
  set fsGsBaseEnabled(value: boolean) {
    this.#set32(S.fsGsBaseEnabled, value ? 1 : 0);
  }

  /** GDT pages by host address (0 = none) and limit in bytes - 1. */
  setGdtPage(index: number, hostAddress: number): void {
    this.#set32(S.gdtFrames + index * 4, hostAddress);
  }
  gdtPage(index: number): number {
    return this.#get32(S.gdtFrames + index * 4);
  }
  get gdtLimit(): number {
    return this.#get32(S.gdtLimit);
  }
  set gdtLimit(value: number) {
    this.#set32(S.gdtLimit, value);
  }
  get ldtBase(): Vaddr {
    return this.#num(S.ldtBase);
  }
  set ldtBase(value: Vaddr) {
    this.#setNum(S.ldtBase, value);
  }
  get ldtLimit(): number {
    return this.#get32(S.ldtLimit) | 0;
  }
  set ldtLimit(value: number) {
    this.#set32(S.ldtLimit, value);
  }

  /** Writes the x87/SSE state as FXSAVE64 does (SDM Vol. 1, "FXSAVE Area"): 512 bytes at `at`. */
  saveFpu(view: DataView, at: number): void {
    const top = this.#get32(S.x87Top);
    for (let i = 0; i < 512; i += 4) view.setUint32(at + i, 0, true);
    view.setUint16(at, this.#get32(S.x87Control), true);
    view.setUint16(at + 2, this.#get32(S.x87Status) | (top << 11), true);
    view.setUint8(at + 4, this.#get32(S.x87Tags));
    view.setUint16(at + 6, this.#get32(S.x87Opcode), true);
    for (const [to, from] of [
      [8, S.x87Ip],
      [16, S.x87Dp],
    ] as const) {
      view.setUint32(at + to, this.#get32(from), true);
      view.setUint32(at + to + 4, this.#get32(from + 4), true);
    }
    view.setUint32(at + 24, this.#get32(S.mxcsr), true);
    view.setUint32(at + 28, 0xffff, true);
    for (let i = 0; i < 8; i++) this.#copyOut(view, at + 32 + i * 16, S.x87 + ((i + top) & 7) * 16, 12);
    for (let i = 0; i < 16; i++) this.#copyOut(view, at + 160 + i * 16, S.xmm + i * 32, 16);
  }

  loadFpu(view: DataView, at: number): void {
    const status = view.getUint16(at + 2, true);
    const top = (status >> 11) & 7;
    this.#set32(S.x87Control, view.getUint16(at, true));
    // ES and B follow from the exceptions that are not masked (SDM Vol. 1, "x87 FPU Status Register").
    const pending = status & ~view.getUint16(at, true) & 0x3f;
    this.#set32(S.x87Status, (status & ~0xb880) | (pending === 0 ? 0 : 0x8080));
    this.#set32(S.x87Top, top);
    this.#set32(S.x87Tags, view.getUint8(at + 4));
    this.#set32(S.x87Opcode, view.getUint16(at + 6, true));
    for (const [from, to] of [
      [8, S.x87Ip],
      [16, S.x87Dp],
    ] as const) {
      this.#set32(to, view.getUint32(at + from, true));
      this.#set32(to + 4, view.getUint32(at + from + 4, true));
    }
    this.#set32(S.mxcsr, view.getUint32(at + 24, true) & 0xffff);
    for (let i = 0; i < 8; i++) {
      const to = S.x87 + ((i + top) & 7) * 16;
      for (let n = 0; n < 12; n += 4) this.#set32(to + n, view.getUint32(at + 32 + i * 16 + n, true));
      this.#set32(to + 8, view.getUint16(at + 32 + i * 16 + 8, true));
    }
    for (let i = 0; i < 16; i++)
      for (let n = 0; n < 16; n += 4) this.#set32(S.xmm + i * 32 + n, view.getUint32(at + 160 + i * 16 + n, true));
  }

  #copyOut(view: DataView, to: number, from: number, bytes: number): void {
    for (let n = 0; n < bytes; n += 4) view.setUint32(to + n, this.#get32(from + n), true);
  }
  #get32(offset: number): number {
    return this.#view.getUint32(this.#at + offset, true);
  }
  #set32(offset: number, value: number): void {
    this.#view.setUint32(this.#at + offset, value >>> 0, true);
  }
  #num(offset: number): number {
    return this.#view.getInt32(this.#at + offset + 4, true) * TWO32 + this.#get32(offset);
  }
  #setNum(offset: number, value: number): void {
    const hi = Math.floor(value / TWO32);
    this.#set32(offset, value - hi * TWO32);
    this.#set32(offset + 4, hi);
  }
}
