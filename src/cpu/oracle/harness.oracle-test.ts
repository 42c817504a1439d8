import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Case, type Outcome, Stop } from './case-codec.ts';
import { CODE, Mode, REGIONS, STACK_TOP } from './layout.ts';
import { MachineState } from './machine-state.ts';
import { buildHarness, NativeProcessor } from './native.ts';

const binary = buildHarness();

/** Runs code natively with rax = 5 and rbx = `rbx`. */
function run(code: string, rbx = 0n, mode: Mode = Mode.long64, more: Partial<Case> = {}): Outcome {
  const before = MachineState.fresh(mode);
  before.rip = BigInt(CODE.start);
  before.setGpr(0, 5n);
  before.setGpr(3, rbx);
  const c: Case = {
    mode,
    code: Uint8Array.from(code.split(' '), (b) => Number.parseInt(b, 16)),
    before,
    patches: [],
    ...more,
  };
  const [outcome] = new NativeProcessor(binary ?? '').run([c]);
  assert.ok(outcome);
  return outcome;
}

describe('the native harness', { skip: !binary && 'no C compiler' }, () => {
  it('gives the registers and flags after an instruction', () => {
    const o = run('48 01 d8', -5n & 0xffff_ffff_ffff_ffffn);
    assert.deepEqual(
      [o.stop, o.after.gpr(0), o.after.rflags & 0xcd5, o.after.rip],
      [Stop.end, 0n, 0x55, BigInt(CODE.start + 3)],
    );
  });

  it('tells what an access changed in memory', () => {
    const o = run('c6 03 77', BigInt(REGIONS[0].at + 8), Mode.long64, {
      patches: [{ at: 8, bytes: new Uint8Array(8) }],
    });
    assert.deepEqual(
      o.changes.map((p) => [p.at, ...p.bytes]),
      [[8, 0x77, 0, 0, 0, 0, 0, 0, 0]],
    );
  });

  it('reports a page fault with its address, error code and an unchanged state', () => {
    const o = run('48 01 03', BigInt(REGIONS[0].at + 0x1ffc));
    assert.deepEqual(
      [o.stop, o.trap, o.errorCode, o.faultAddress, o.after.rip],
      [Stop.trap, 14, 6, BigInt(REGIONS[0].at + 0x2000), BigInt(CODE.start)],
    );
    assert.deepEqual(o.changes, []);
  });

  it('refuses a store to the read-only page', () => {
    const o = run('48 89 03', BigInt(REGIONS[2].at));
    assert.deepEqual([o.trap, o.errorCode], [14, 7]);
  });

  it('finds where a branch went', () => {
    assert.equal(run('eb 40', 0n, Mode.long64, { branches: true }).after.rip, BigInt(CODE.start + 0x42));
  });

  it('stops a loop that does not end', () => {
    assert.equal(run('eb fe').stop, Stop.timeout);
  });

  it('runs 32-bit code in compatibility mode', () => {
    const o = run('40 50', 0n, Mode.compat32); // inc eax; push eax
    assert.deepEqual([o.after.gpr(0), o.after.gpr(4)], [6n, BigInt(STACK_TOP - 0x804)]);
  });

  it('keeps x87 registers, control word and MXCSR of the test apart from its own', () => {
    const before = MachineState.fresh();
    before.rip = BigInt(CODE.start);
    before.fcw = 0x27f;
    before.mxcsr = 0x7f80;
    const o = run('d9 e8', 0n, Mode.long64, { before }); // fld1
    assert.deepEqual(
      [o.after.fcw, o.after.mxcsr, o.after.tags, [...o.after.st(0).slice(7)]],
      [0x27f, 0x7f80, 0x80, [0x80, 0xff, 0x3f]],
    );
  });
});
