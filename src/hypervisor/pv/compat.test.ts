import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TrapInfo } from '../../abi/arch-x86.ts';
import { MMUEXT } from '../../abi/arch-x86/mmu.ts';
import { type Bytes, hex, hypercall, program, push, store, syscall } from './testing/code.ts';
import { PvGuest, frames, powerOff, stackTop, userStackTop, va } from './testing/pv-guest.ts';

const data = va(frames.data);
const handler = va(frames.handler);
const user = va(frames.userCode);
const CALLBACK = { syscall: 2, sysenter: 5, syscall32: 7 } as const;
const CS32 = 0xe023;
const h = (value: number): string => value.toString(16).padStart(16, '0');

/** A guest that runs 32-bit code in user mode; the handler of vector 13 and 0x80 and of all callbacks keeps RSP and ends it. */
function run32(
  code: Bytes,
  o: {
    readonly callbacks?: readonly number[];
    readonly cs?: number;
    readonly before?: Bytes;
    readonly prepare?: (guest: PvGuest) => void;
  } = {},
): PvGuest {
  const guest = new PvGuest({ user: true });
  const { dataView, base } = guest.control.frames;
  const at = base + frames.data * 4096;
  [6, 13, 0x80].forEach((vector, i) =>
    TrapInfo.write(dataView, at + 0x200 + i * 16, {
      vector,
      flags: vector === 0x80 ? 3 : 0,
      cs: 0xe033,
      address: handler,
    }),
  );
  guest.words(frames.data, 0x300, [MMUEXT.NEW_USER_BASEPTR, 0, frames.userL4, 0, 0, 0]);
  const callbacks = o.callbacks ?? [];
  callbacks.forEach((type, i) => guest.words(frames.data, 0x340 + i * 16, [type | (1 << 16), 0, handler, 0]));
  guest.write(frames.handler, 0, program(store(data, 4), powerOff));
  guest.write(frames.userCode, 0, program(code));
  o.prepare?.(guest);
  return guest.run(
    program(
      hypercall(0, data + 0x200),
      hypercall(26, data + 0x300, 1, 0, 0x7ff0),
      ...callbacks.map((_, i) => hypercall(30, 0, data + 0x340 + i * 16)),
      hypercall(3, 0xe02b, stackTop - 0x100),
      o.before ?? [],
      [0xe02b, userStackTop, 0x202, o.cs ?? CS32, user, 0, 0, 0, 0].flatMap((word) => [...push(word)]),
      hex('b8 17 00 00 00'),
      syscall,
    ),
  );
}

/** Words of the frame from RIP up, when there is no error code. */
function frame(guest: PvGuest, skip = 2): string[] {
  const offset = guest.read32(frames.data, 0) & 4095;
  return Array.from({ length: 5 }, (_, i) => guest.read64(frames.stack, offset + (skip + i) * 8));
}

describe('32-bit programs', () => {
  it('make system calls by int 0x80', () => {
    const guest = run32(hex('cd 80'));
    assert.deepEqual(frame(guest), [h(user + 2), h(CS32), h(0x202), h(userStackTop), h(0xe02b)]);
  });

  it('make system calls by SYSENTER, which leaves the way back to the kernel', () => {
    const guest = run32(hex('0f 34'), { callbacks: [CALLBACK.sysenter] });
    assert.deepEqual(frame(guest), [h(0), h(3), h(0x202), h(0), h(0xe02b)]);
  });

  it('make system calls by SYSCALL, with the callback for compatibility mode', () => {
    const guest = run32(hex('0f 05'), { callbacks: [CALLBACK.syscall32] });
    assert.deepEqual(frame(guest), [h(user + 2), h(CS32), h(0x202), h(userStackTop), h(0xe02b)]);
    const refused = run32(hex('0f 05'), { callbacks: [CALLBACK.syscall] });
    assert.equal(frame(refused)[0], h(user), '#UD at the instruction');
  });

  it('fault when SYSENTER has no callback', () => {
    const guest = run32(hex('0f 34'));
    assert.deepEqual(frame(guest, 3).slice(0, 2), [h(0), h(3)]);
  });

  it('may run in a code segment of the guest’s own GDT', () => {
    // Entry 4 is a 32-bit code segment with DPL 0 that Xen raises to 3.
    const gdt = 41;
    const before = [...hypercall(14, va(gdt), gdt * 4096 + 0x21, 0), ...hypercall(2, data + 0x400, 8)];
    const guest = run32(hex('cd 80'), {
      cs: 0x23,
      before,
      prepare(g) {
        g.words(gdt, 4 * 8, [0x0000ffff, 0x00cf9b00]);
        g.words(frames.data, 0x400, [gdt, 0]);
      },
    });
    assert.equal(frame(guest)[1], h(0x23));
    assert.equal(guest.read32(gdt, 4 * 8 + 4), 0x00cffb00);
  });

  it('cannot be started in a segment that is none', () => {
    const guest = run32(hex('cd 80'), { cs: 0x2b });
    assert.deepEqual(frame(guest, 3).slice(0, 1), [h(user)]);
    assert.equal(guest.read64(frames.stack, (guest.read32(frames.data, 0) & 4095) + 16), h(0x28));
  });
});
