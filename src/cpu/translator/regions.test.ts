import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Exit, Gpr, Privileged } from '../index.ts';
import { CODE, CODE_FRAME, DATA, Machine } from '../testing/machine.ts';

/** Runs code that ends in HLT, again and again until it is translated, and gives the machine after the last run. */
function hot(code: string, prepare: (m: Machine) => void = () => undefined, runs = 200): Machine {
  const m = new Machine('translator');
  m.code(code);
  for (let run = 0; run < runs; run++) {
    m.processor.state.rip = CODE;
    m.processor.state.set(Gpr.rsp, DATA + 0x800);
    prepare(m);
    assert.equal(finish(m), Exit.Privileged);
    assert.equal(m.processor.state.detail(0), Privileged.hlt);
  }
  return m;
}

function finish(m: Machine): Exit {
  for (;;) {
    const exit = m.processor.run(50_000);
    if (exit !== Exit.Budget) return exit;
  }
}

describe('a translated region', () => {
  it('follows a call and its return', () => {
    // mov ecx,10000; xor eax,eax; L: call F; dec ecx; jnz L; hlt; F: add eax,ecx; ret
    const m = hot('b9 10 27 00 00 31 c0 e8 05 00 00 00 ff c9 75 f7 f4 01 c8 c3', undefined, 3);
    assert.equal(m.processor.state.num(Gpr.rax), (10_000 * 10_001) / 2);
  });

  it('goes where a function returns to that changed its return address', () => {
    // As above, but F skips one byte, a HLT, after the call: add qword [rsp],1
    const m = hot('b9 10 27 00 00 31 c0 e8 06 00 00 00 f4 ff c9 75 f6 f4 48 83 04 24 01 01 c8 c3', undefined, 3);
    assert.equal(m.processor.state.num(Gpr.rax), (10_000 * 10_001) / 2);
    assert.equal(m.processor.state.rip, CODE + 17);
  });

  it('leaves exactly the state of before a fault in its middle', () => {
    // mov ecx,20000; L: mov eax,[rbx]; add rbx,4; inc rdx; dec ecx; jnz L; hlt
    const m = new Machine('translator');
    m.code('b9 20 4e 00 00 8b 03 48 83 c3 04 48 ff c2 ff c9 75 f3 f4');
    const { state } = m.processor;
    state.set(Gpr.rbx, CODE);
    state.set(Gpr.rdx, 0);
    assert.equal(finish(m), Exit.Exception);
    // Sixteen pages are mapped.
    assert.equal(state.faultAddress, CODE + 0x10000);
    assert.equal(state.rip, CODE + 5);
    assert.deepEqual([state.num(Gpr.rdx), state.num(Gpr.rcx)], [0x4000, 20_000 - 0x4000]);
    assert.equal(state.rflags & 0x8d5, 0x4 & state.rflags, 'no flag but PF');
  });

  it('ends when its own code changes', () => {
    // mov ecx,30000; L: add eax,1; cmp ecx,10; jne S; mov byte [rip+…],2 (the 1 of the add); S: dec ecx; jnz L; hlt
    const m = new Machine('translator');
    m.code('b9 30 75 00 00 83 c0 01 83 f9 0a 75 07 c6 05 f3 ff ff ff 02 ff c9 75 ed f4');
    const { state } = m.processor;
    state.set(Gpr.rax, 0);
    assert.equal(finish(m), Exit.Privileged);
    assert.equal(state.num(Gpr.rax), 30_000 - 9 + 2 * 9);
  });

  it('leaves a loop without an end when its budget is used up', () => {
    const m = new Machine('translator');
    m.code('48 ff c0 eb fb'); // L: inc rax; jmp L
    for (let i = 0; i < 20; i++) assert.equal(m.processor.run(50_000), Exit.Budget);
    const turns = m.processor.state.num(Gpr.rax);
    assert.ok(turns >= 20 * 24_000 && turns <= 20 * 30_000, `${turns} turns`);
  });

  it('is not entered when one of its pages maps another frame', () => {
    // In the first page a loop that calls into the second: mov ecx,5000; xor eax,eax; L: call +0x1000; dec ecx; jnz L; hlt
    const m = hot(
      'b9 88 13 00 00 31 c0 e8 f4 0f 00 00 ff c9 75 f7 f4',
      (machine) => machine.code('83 c0 01 c3', 0, CODE_FRAME + 1), // add eax,1; ret
      20,
    );
    assert.equal(m.processor.state.num(Gpr.rax), 5000);
    m.code('83 c0 07 c3', 0, CODE_FRAME + 5);
    m.map(1, CODE_FRAME + 5);
    m.processor.flushTlb();
    m.processor.state.rip = CODE;
    assert.equal(finish(m), Exit.Privileged);
    assert.equal(m.processor.state.num(Gpr.rax), 35_000);
  });
});
