import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PTE } from '../../abi/arch-x86/page-table.ts';
import { TrapInfo } from '../../abi/arch-x86.ts';
import { hex, hypercall, load, mov, program, store } from './testing/code.ts';
import { PvGuest, frames, powerOff, va } from './testing/pv-guest.ts';

const data = va(frames.data);
const keep = (slot: number, gpr = 0): readonly number[] => store(data + slot * 8, gpr);
const kept = (guest: PvGuest, slot: number): string => guest.read64(frames.data, slot * 8);
const R = { rax: 0, rcx: 1, rdx: 2, rbx: 3, rdi: 7 } as const;
/** PHYSDEVOP_set_iopl(1), the argument at 0x700 of the data frame. */
const setIopl = hypercall(33, 6, data + 0x700);

function run(...code: readonly (readonly number[])[]): PvGuest {
  const guest = new PvGuest();
  guest.words(frames.data, 0x700, [1]);
  return guest.run(program(...code, powerOff));
}

describe('privileged instructions in kernel mode', () => {
  it('read control registers as Xen shows them', () => {
    const guest = run(hex('0f 20 c0'), keep(0), hex('0f 20 d8'), keep(1), hex('0f 20 e0'), keep(2));
    assert.deepEqual(
      [0, 1, 2].map((slot) => kept(guest, slot)),
      ['0000000080050033', '0000000000001000', '0000000000000660'],
    );
  });

  it('write CR4 without a fault, keeping only what the guest may have', () => {
    const guest = run(mov(R.rax, 0x3506f8), hex('0f 22 e0 0f 20 e0'), keep(0));
    assert.equal(kept(guest, 0), '0000000000010668');
  });

  it('set the bases of FS and GS, and refuse other values of EFER', () => {
    const guest = run(
      mov(R.rcx, 0xc0000101),
      mov(R.rax, va(frames.spare)),
      mov(R.rdx, 0),
      hex('0f 30'),
      hex('65 48 8b 04 25 10 00 00 00'),
      keep(0),
      mov(R.rcx, 0xc0000080),
      hex('0f 32'),
      keep(1),
    );
    assert.deepEqual([kept(guest, 0), kept(guest, 1)], ['0000000000000000', '0000000000000d01']);
  });

  it('do nothing for CLI and STI once I/O is permitted, and fault before', () => {
    const allowed = run(setIopl, hex('fa fb fa'), mov(R.rax, 7), keep(0));
    assert.equal(kept(allowed, 0), '0000000000000007');
    const refused = run(hex('fa'));
    assert.equal(refused.control.info().shutdownReason, 3);
    assert.match(refused.log, /Unhandled: vec 13, #GP/);
  });

  it('read all ones from ports and remember the PCI address', () => {
    const guest = run(
      setIopl,
      mov(R.rdx, 0x3f8),
      mov(R.rax, 0x11223344556677),
      hex('ec'),
      keep(0),
      hex('66 ed'),
      keep(1),
      hex('ed'),
      keep(2),
      mov(R.rdx, 0xcf8),
      mov(R.rax, 0x8000f800),
      hex('ef 31 c0 ed'),
      keep(3),
      mov(R.rax, 0x15),
      hex('e6 70 31 c0 e4 70'),
      keep(4),
    );
    // 8 and 16 bits keep the rest of RAX, 32 bits clear it.
    assert.deepEqual(
      [0, 1, 2, 3, 4].map((slot) => kept(guest, slot)),
      ['00112233445566ff', '001122334455ffff', '00000000ffffffff', '000000008000f800', '0000000000000015'],
    );
  });

  it('give zero for an unknown MSR before there is a handler for the fault', () => {
    const guest = run(mov(R.rcx, 0xc0011022), hex('0f 32'), keep(0));
    assert.equal(kept(guest, 0), '0000000000000000');
    assert.match(guest.log, /faking RDMSR 0xc0011022/);
  });

  it('fault for what is never emulated', () => {
    for (const [code, fault] of [
      ['f4', '#GP'],
      ['0f 01 f8', '#GP'],
      ['0f 08', '#GP'],
      ['0f 01 ca', '#UD'],
      ['0f 01 d1', '#UD'],
    ] as const) {
      assert.match(run(hex(code)).log, new RegExp(`Unhandled: vec \\d+, ${fault}`), code);
    }
  });
});

describe('CPUID', () => {
  const maximum = '0000000040000005';

  it('answers the forced form and the plain one from the same policy', () => {
    for (const code of ['0f 0b 78 65 6e 0f a2', '0f a2']) {
      const guest = run(mov(R.rax, 0x40000000), hex(code), keep(0), keep(1, R.rbx));
      assert.deepEqual([kept(guest, 0), kept(guest, 1)], [maximum, '00000000566e6558']);
    }
  });

  it('leaves an ordinary UD2 alone', () => {
    assert.match(run(hex('0f 0b 78 65 6e 90')).log, /Unhandled: vec 6, #UD/);
  });
});

describe('the task-switched flag', () => {
  it('makes the next FPU instruction fault once', () => {
    const guest = new PvGuest();
    const { dataView, base } = guest.control.frames;
    const at = base + frames.data * 4096;
    TrapInfo.write(dataView, at + 0x200, { vector: 7, flags: 0, cs: 0xe033, address: va(frames.handler) });
    // The handler counts, drops what is above RIP and goes back to the instruction.
    guest.write(
      frames.handler,
      0,
      program(
        hex('48 ff 04 25'),
        [data & 0xff, (data >>> 8) & 0xff, (data >>> 16) & 0xff, 0],
        hex('59 41 5b 48 c7 44 24 08 33 e0 00 00 48 cf'),
      ),
    );
    guest.run(
      program(
        hypercall(0, data + 0x200),
        hypercall(5, 1),
        hex('0f 20 c0'),
        keep(1),
        hex('0f 57 c0 0f 57 c0'),
        hex('0f 20 c0'),
        keep(2),
        powerOff,
      ),
    );
    assert.equal(guest.control.info().shutdownReason, 0);
    assert.deepEqual(
      [0, 1, 2].map((slot) => kept(guest, slot)),
      ['0000000000000001', '000000008005003b', '0000000080050033'],
    );
  });
});

describe('a store into a pinned L1 table', () => {
  const entryVa = va(frames.l1) + 40 * 8;
  const enable = hypercall(21, 0, 2);

  it('is carried out and checked when the guest asked for writable page tables', () => {
    const guest = run(
      enable,
      mov(R.rax, 41 * 4096 + PTE.P),
      store(entryVa, R.rax),
      load(R.rbx, entryVa),
      keep(0, R.rbx),
    );
    assert.equal(guest.control.info().shutdownReason, 0);
    assert.equal(kept(guest, 0), '0010000000029005');
    assert.equal(guest.types.typeCount(40), 0, 'the old mapping’s use of its frame is given back');
  });

  it('works for locked read-modify-write instructions', () => {
    // lock andq $~2, entry: write-protects, as fork does; xchg with 0: as ptep_get_and_clear does.
    const guest = run(
      enable,
      hex('f0 48 83 24 25'),
      [entryVa & 0xff, (entryVa >>> 8) & 0xff, (entryVa >>> 16) & 0xff, 0, 0xfd],
      load(R.rbx, entryVa),
      keep(0, R.rbx),
      mov(R.rax, 0),
      hex('48 87 04 25'),
      [entryVa & 0xff, (entryVa >>> 8) & 0xff, (entryVa >>> 16) & 0xff, 0],
      keep(1),
    );
    assert.deepEqual(
      [kept(guest, 0), kept(guest, 1), guest.l1Entry(40)],
      ['0010000000028025', '0010000000028025', '0000000000000000'],
    );
  });

  it('works for a repeated store, which changes more than one entry', () => {
    const guest = run(enable, mov(R.rdi, entryVa), mov(R.rcx, 3), mov(R.rax, 0), hex('f3 48 ab'));
    assert.equal(guest.control.info().shutdownReason, 0);
    assert.deepEqual(
      [40, 41, 42].map((n) => guest.l1Entry(n)),
      Array(3).fill('0000000000000000'),
    );
    assert.deepEqual(
      [40, 41, 42].map((frame) => guest.types.typeCount(frame)),
      [0, 0, 0],
      'the old mappings’ uses of their frames are given back',
    );
  });

  it('is a page fault for the guest when the new entry may not be', () => {
    const guest = run(enable, mov(R.rax, frames.l4 * 4096 + PTE.P + PTE.RW), store(entryVa, R.rax));
    assert.match(guest.log, /Unhandled: vec 14, #PF\[0003\]/);
    assert.equal(guest.l1Entry(40), '0010000000028027');
    assert.match(
      guest.log,
      new RegExp(`RIP: {4}e033:\\[<${(va(frames.code) + enable.length + 10).toString(16).padStart(16, '0')}>\\]`),
    );
  });

  it('is a page fault without that assistance', () => {
    assert.match(run(mov(R.rax, 0), store(entryVa, R.rax)).log, /Unhandled: vec 14, #PF\[0003\]/);
    assert.match(run(enable, mov(R.rax, 0), store(va(frames.l2), R.rax)).log, /Unhandled: vec 14, #PF\[0003\]/);
  });
});
