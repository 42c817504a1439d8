import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Exit, Vector } from '../exits.ts';
import { CODE, DATA, Machine } from '../testing/machine.ts';
import { CheckFailure } from './check.ts';

const UD2 = '0f 0b';
const RAX = 0;
const RCX = 1;
const RBX = 3;

function machineWith(code: string): Machine {
  const machine = new Machine('check', { eager: true });
  machine.code(code);
  const { state } = machine.processor;
  state.rip = CODE;
  state.set(RBX, DATA);
  state.set(RCX, 1000);
  return machine;
}

/** Runs to the exception that ends it, and tells which. */
function run({ processor }: Machine): number {
  let exit: Exit;
  do exit = processor.run(10_000);
  while (exit === Exit.Budget);
  assert.equal(exit, Exit.Exception);
  return processor.state.vector;
}

describe('the engine that checks', () => {
  it('passes code that is right, and leaves its effects as they are', () => {
    // again: mov rax,[rbx]; add rax,rcx; mov [rbx],rax; dec rcx; jnz again: several slices of instructions
    const machine = machineWith(`48 8b 03 48 01 c8 48 89 03 48 ff c9 75 f2 ${UD2}`);
    machine.processor.state.set(RCX, 5000);
    assert.equal(run(machine), Vector.UD);
    assert.equal(machine.processor.state.num(RAX), 12_502_500);
    assert.equal(machine.view.getUint32(machine.frameAt(18), true), 12_502_500);
    assert.ok(machine.processor.checks >= 2, `${machine.processor.checks} checks`);
  });

  it('passes code that faults in the middle', () => {
    // mov [rbx],rcx; inc rcx; mov [rbx+0x1000],rcx
    const machine = machineWith('48 89 0b 48 ff c1 48 89 8b 00 10 00 00');
    machine.map(3, 31, 0);
    assert.equal(run(machine), Vector.PF);
    assert.equal(machine.processor.state.num(RCX), 1001);
    assert.equal(machine.view.getUint32(machine.frameAt(18), true), 1000);
    assert.ok(machine.processor.checks > 0);
  });

  it('passes code that changes itself', () => {
    // mov byte [rip+1],0x22; mov al,0x11: the last byte becomes 0x22
    const machine = machineWith(`c6 05 01 00 00 00 22 b0 11 ${UD2}`);
    assert.equal(run(machine), Vector.UD);
    assert.equal(machine.processor.state.num(RAX), 0x22);
    assert.ok(machine.processor.checks > 0);
  });

  it('passes flags that a helper sets', () => {
    // fldz; fld1; xor eax,eax; fcomip st,st(1); sete al
    const machine = machineWith(`d9 ee d9 e8 31 c0 df f1 0f 94 c0 ${UD2}`);
    assert.equal(run(machine), Vector.UD);
    assert.equal(machine.processor.state.num(RAX), 0);
    assert.ok(machine.processor.checks > 0);
  });

  it('gives both runs the same time, and the guest its own', () => {
    // rdtsc; mov [rbx],eax; rdtsc
    const machine = machineWith(`0f 31 89 03 0f 31 ${UD2}`);
    Object.defineProperty(machine, 'now', { get: () => performance.now() * 1e6 });
    assert.equal(run(machine), Vector.UD);
    assert.ok(machine.processor.checks > 0);
  });

  it('finds a region that no longer stands for the code it was made of', () => {
    // again: add rax,1; dec rcx; jnz again
    const machine = machineWith(`48 83 c0 01 48 ff c9 75 f7 ${UD2}`);
    machine.processor.run(100);
    // Nobody tells the processor, as its own stores do.
    machine.view.setUint8(machine.frameAt(16) + 3, 2);
    assert.throws(
      () => run(machine),
      (error: unknown) => {
        assert.ok(error instanceof CheckFailure);
        assert.match(error.message, /translated code at 0x400000 differs/);
        assert.match(error.lines.join('\n'), /^rax: translated \w+, interpreted \w+$/m);
        return true;
      },
    );
  });

  it('checks each region often at first, and then ever more seldom', () => {
    // again: mov rax,[rbx]; jmp +0; dec rcx; jnz again
    const machine = machineWith(`48 8b 03 eb 00 48 ff c9 75 f6 ${UD2}`);
    for (let n = 0; n < 2000; n++) {
      machine.processor.state.rip = CODE;
      machine.processor.state.set(RCX, 1);
      run(machine);
    }
    const { checks } = machine.processor;
    assert.ok(checks > 32 && checks < 200, `${checks} checks`);
  });
});
