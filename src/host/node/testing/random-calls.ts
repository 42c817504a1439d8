/**
 * A guest that makes hypercalls as fast as it can: each of its vCPUs picks one of 64 records by chance, loads the
 * registers from it and calls. What the records and their arguments say is changed while it does so.
 */
import { MMUEXT } from '../../../abi/arch-x86/mmu.ts';
import { hiOf, loOf } from '../../../abi/numbers.ts';
import { Random } from '../../../cpu/oracle/random.ts';
import type { DomainControl, HypervisorControl } from '../../../hypervisor/control.ts';
import { createSmallGuest, hypercall, va } from './small-guest.ts';

const RECORDS = 64;
const RECORD_SIZE = 64;
const TABLE_FRAME = 36;
/** 128 bytes for each record's arguments, in two frames; then pages that lists and areas may lie in. */
const ARGUMENT_FRAME = 20;
const ARGUMENT_SIZE = 128;
const LIST_FRAME = 22;
/** A record's last two words: an address, or 0, and what is stored there before the call. */
const STORE_AT = 48;
const PLAY = { first: 24, count: 12 } as const;
const L1 = 4;
const RAM = 64;
const DOMID_SELF = 0x7ff0;

const u32 = (value: number): number[] => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);
/** What every vCPU asks for first: upcalls and faults lead back into the loop, stores into page tables are allowed. */
const SETUP_AT = va(ARGUMENT_FRAME);
const setUp = [
  ...hypercall(30, 0, SETUP_AT), // callback_op(register)
  ...hypercall(0, SETUP_AT + 16, 0), // set_trap_table
  ...hypercall(21, 0, 2), // vm_assist(enable, writable_pagetables)
  ...[0x49, 0x89, 0xe7], // mov %rsp, %r15
];
const loop = [
  ...[0x4c, 0x89, 0xfc], // mov %r15, %rsp: an upcall may have brought us here
  ...[0x0f, 0xc7, 0xf3], // rdrand %ebx
  ...[0x83, 0xe3, RECORDS - 1], // and $63, %ebx
  ...[0xc1, 0xe3, Math.log2(RECORD_SIZE)], // shl $6, %ebx
  ...[0x48, 0x8d, 0x9b, ...u32(va(TABLE_FRAME))], // lea table(%rbx), %rbx
  ...[0x48, 0x8b, 0x03], // mov (%rbx), %rax
  ...[0x48, 0x8b, 0x7b, 8], // mov 8(%rbx), %rdi
  ...[0x48, 0x8b, 0x73, 16], // … %rsi
  ...[0x48, 0x8b, 0x53, 24], // … %rdx
  ...[0x4c, 0x8b, 0x53, 32], // … %r10
  ...[0x4c, 0x8b, 0x4b, STORE_AT], // … %r9
  ...[0x4c, 0x8b, 0x5b, STORE_AT + 8], // … %r11
  ...[0x4d, 0x85, 0xc9], // test %r9, %r9
  ...[0x74, 3], // jz over the next one
  ...[0x4d, 0x89, 0x19], // mov %r11, (%r9)
  ...[0x0f, 0x05], // syscall
];
const code = [...setUp, ...loop, 0xeb, (-2 - loop.length) & 0xff];
const LOOP_AT = va(16) + setUp.length;
/** #DE, #UD, #GP, #PF */
const TRAPS = [0, 6, 13, 14];

type Call = readonly [nr: number, ...args: (number | readonly [lo: number, hi: number])[]];

export class RandomCalls {
  readonly control: DomainControl;
  readonly #random: Random;

  constructor(host: HypervisorControl, seed: number) {
    this.#random = new Random(seed, 'random calls');
    this.control = createSmallGuest(host, code, 2);
    const trap = (vector: number): number[] => [vector, 0, loOf(LOOP_AT), hiOf(LOOP_AT)];
    this.#words(ARGUMENT_FRAME, 0, [0, 0, loOf(LOOP_AT), hiOf(LOOP_AT), ...TRAPS.flatMap(trap), 0, 0, 0, 0]);
    this.#record(0, [17, 0], [0, 0]);
    this.change(8 * RECORDS);
  }

  /** Other calls, other arguments: while the guest reads them. */
  change(count: number): void {
    for (; count > 0; count--) this.#write(1 + this.#random.below(RECORDS - 1));
  }

  #write(record: number): void {
    const offset = record * ARGUMENT_SIZE;
    const at = va(ARGUMENT_FRAME) + offset;
    const put = (words: readonly number[]): number => {
      this.#words(ARGUMENT_FRAME + (offset >> 12), offset & 4095, words);
      return at;
    };
    this.#record(record, this.#call(put), this.#store());
  }

  #call(put: (words: readonly number[]) => number): Call {
    const r = this.#random;
    const frame = (): number => (r.chance(0.05) ? r.below(RAM + 100) : PLAY.first + r.below(PLAY.count));
    const entry = (): [number, number] => (r.chance(0.2) ? [0, 0] : [(frame() << 12) | 1 | (r.below(4) << 1), 0]);
    const words = (n: number): number[] =>
      Array.from({ length: n }, () => (r.chance(0.8) ? r.below(8) : r.chance(0.5) ? frame() : r.u32()));
    switch (r.below(16)) {
      case 0:
      case 1:
      case 2: {
        const requests = Array.from({ length: 4 }, () => [frame() * 4096 + r.below(8) * 8, 0, ...entry()]);
        return [1, put(requests.flat()), 1 + r.below(4), r.chance(0.2) ? va(LIST_FRAME + 1) : 0, DOMID_SELF];
      }
      case 3:
      case 4:
      case 5: {
        const cmd = r.chance(0.7) ? r.pick([0, 1, 2, 3, 4, 4]) : r.pick([6, 7, 8, 9, 10, 11, 13, 16, 17]);
        const list = r.chance(0.5) ? [va(LIST_FRAME), 0] : [frame(), 0];
        const second = [MMUEXT.UNPIN_TABLE, 0, frame(), 0, 0, 0];
        return [26, put([cmd, 0, frame(), 0, ...list, ...second]), 1 + r.below(2), 0, DOMID_SELF];
      }
      case 6:
      case 7:
        return [14, va(PLAY.first + r.below(PLAY.count)), entry(), r.below(8)];
      case 8:
        // Give back one frame, or ask for it again.
        return [12, r.pick([1, 6, 6]), put([loOf(va(LIST_FRAME)), 0, 1, 0, 0, 0, DOMID_SELF, 0])];
      case 9:
        return [32, r.pick([0, 1, 3, 4, 5, 6, 7, 8, 9, 13]), put([...words(5), DOMID_SELF])];
      case 10:
        return r.chance(0.5)
          ? [32, 12, put([frame(), 0])]
          : [32, r.chance(0.1) ? 10 : 11, put(r.chance(0.5) ? [frame(), 0, 0, r.below(2)] : [DOMID_SELF, 0, 0, 0])];
      case 11:
        return [20, r.pick([2, 5, 6, 8, 9, 10, 11]), put([DOMID_SELF, ...words(9)]), 1];
      case 12:
        return [
          24,
          r.pick([3, 4, 5, 6, 7, 8, 9, 10, 13]),
          r.below(2),
          put([...(r.chance(0.5) ? [frame(), 0] : [va(LIST_FRAME + 1), 0]), 64, 0]),
        ];
      case 13: {
        const entries = Array.from({ length: 2 }, () => {
          const [first, second] = entry();
          return [14, 0, 0, 0, va(PLAY.first + r.below(PLAY.count)), 0, first, second, r.below(8), 0, 0, 0, 0, 0, 0, 0];
        });
        return [13, put(entries.flat()), r.below(3)];
      }
      case 14:
        return r.chance(0.2) ? [29, r.pick([0, 0, 3]), put([va(LIST_FRAME), 0, 0, 0, 1, 0])] : [15, r.below(2) * 1e15];
      default: {
        const list = [frame(), 0, frame(), 0];
        this.#words(LIST_FRAME, 0, list);
        return r.pick<Call>([
          [17, r.below(8), va(LIST_FRAME + 1)],
          [2, va(LIST_FRAME), r.below(1024)],
          [10, frame() * 4096 + r.below(512) * 8, [r.u32(), 0x00cff300]],
          [21, r.below(2), r.pick([0, 2, 5])],
          [25, 0, va(frame())],
          [18, 0, 64, va(LIST_FRAME)],
        ]);
      }
    }
  }

  /** Now and then an entry, into the first L1 table or what may be another one. */
  #store(): readonly [at: number, lo: number] {
    const r = this.#random;
    if (r.chance(0.6)) return [0, 0];
    const table = r.chance(0.7) ? L1 : PLAY.first + r.below(PLAY.count);
    const slot = table === L1 ? PLAY.first + r.below(PLAY.count) : r.below(8);
    return [va(table) + slot * 8, ((PLAY.first + r.below(PLAY.count)) << 12) | r.below(4)];
  }

  #record(record: number, call: Call, [storeAt, stored]: readonly [at: number, lo: number]): void {
    const words = call.flatMap((value) => (typeof value === 'number' ? [loOf(value), hiOf(value)] : [...value]));
    while (words.length < STORE_AT / 4) words.push(0);
    this.#words(TABLE_FRAME, record * RECORD_SIZE, [...words, storeAt, 0, stored, 0]);
  }

  #words(frame: number, offset: number, values: readonly number[]): void {
    const { dataView, base } = this.control.frames;
    values.forEach((value, i) => dataView.setUint32(base + frame * 4096 + offset + i * 4, value >>> 0, true));
  }
}
