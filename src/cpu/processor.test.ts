import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Exit, Flag, Gpr, Vector } from './index.ts';
import { CODE, CODE_FRAME, DATA, DATA_FRAME, Machine } from './testing/machine.ts';

const UD2 = '0f 0b';

for (const engine of ['interpreter', 'eager'] as const)
  describe(`a processor (${engine})`, () => {
    it('runs to an undefined instruction and reports it at its address', () => {
      const m = new Machine(engine);
      m.code(`48 01 d8 ${UD2}`); // add rax,rbx
      m.processor.state.set(Gpr.rax, 40);
      m.processor.state.set(Gpr.rbx, 2);
      assert.equal(m.processor.run(1000), Exit.Exception);
      assert.equal(m.processor.state.vector, Vector.UD);
      assert.equal(m.processor.state.num(Gpr.rax), 42);
      assert.equal(m.processor.state.rip, CODE + 3);
    });

    it('stops within its budget in an endless loop', () => {
      const m = new Machine(engine);
      m.code('eb fe'); // jmp self
      assert.equal(m.processor.run(1000), Exit.Budget);
      assert.equal(m.processor.state.rip, CODE);
      assert.equal(m.processor.state.instructionsRetired, 1000);
    });

    it('leaves an endless loop when an exit is requested', () => {
      const m = new Machine(engine);
      m.code('eb fe');
      m.processor.state.exitRequest = 1;
      assert.equal(m.processor.run(1e9), Exit.Interrupt);
    });

    it('executes code that it overwrote itself, through another address too', () => {
      const m = new Machine(engine);
      m.map(8, CODE_FRAME); // the code page again, at 0x408000
      // mov byte [rsi+5],0x77 (patches the immediate of the mov that follows at 0x10); then mov al,0x11
      m.code(`c6 46 11 77 eb 0a`);
      m.code(`b0 11 ${UD2}`, 0x10);
      m.processor.state.set(Gpr.rsi, CODE);
      // First run the target so that it is decoded, then patch it through the alias.
      m.processor.state.rip = CODE + 0x10;
      m.processor.run(100);
      assert.equal(m.processor.state.lo(Gpr.rax) & 0xff, 0x11);
      m.processor.state.set(Gpr.rsi, CODE + 0x8000);
      m.processor.state.rip = CODE;
      m.processor.run(100);
      assert.equal(m.processor.state.lo(Gpr.rax) & 0xff, 0x77);
    });

    it('sees an instruction change that the instruction before it made', () => {
      const m = new Machine(engine);
      // mov byte [rip+1],0x77 (the immediate of the next instruction); mov al,0x11; ud2
      m.code(`c6 05 01 00 00 00 77 b0 11 ${UD2}`);
      m.processor.run(100);
      m.processor.state.rip = CODE;
      m.processor.run(100);
      assert.equal(m.processor.state.lo(Gpr.rax) & 0xff, 0x77);
      const fresh = new Machine(engine);
      fresh.code(`c6 05 01 00 00 00 77 b0 11 ${UD2}`);
      fresh.processor.run(100);
      assert.equal(fresh.processor.state.lo(Gpr.rax) & 0xff, 0x77);
    });

    it('runs an instruction that lies in two pages, and notices when the second page becomes another', () => {
      const m = new Machine(engine);
      m.code('b8 11 22', 0xffd); // mov eax,imm32: three bytes here, two in the next page
      m.code(`33 44 ${UD2}`, 0, CODE_FRAME + 1);
      m.code(`55 66 ${UD2}`, 0, DATA_FRAME);
      m.processor.state.rip = CODE + 0xffd;
      m.processor.run(100);
      assert.equal(m.processor.state.lo(Gpr.rax), 0x44332211);
      m.map(1, DATA_FRAME);
      m.processor.flushTlb();
      m.processor.state.rip = CODE + 0xffd;
      m.processor.run(100);
      assert.equal(m.processor.state.lo(Gpr.rax), 0x66552211);
    });

    it('traps after each instruction while TF is set', () => {
      const m = new Machine(engine);
      m.code(`ff c0 ff c0 ${UD2}`); // inc eax twice
      m.processor.state.rflags = 0x202 | Flag.TF;
      assert.equal(m.processor.run(100), Exit.Exception);
      assert.equal(m.processor.state.vector, Vector.DB);
      assert.equal(m.processor.state.rip, CODE + 2);
      assert.equal(m.processor.state.lo(Gpr.rax), 1);
    });

    it('steps one instruction at a time', () => {
      const m = new Machine(engine);
      m.code('ff c0 eb fc');
      assert.equal(m.processor.step(), Exit.Budget);
      assert.equal(m.processor.state.rip, CODE + 2);
      assert.equal(m.processor.step(), Exit.Budget);
      assert.equal(m.processor.state.rip, CODE);
      assert.equal(m.processor.state.lo(Gpr.rax), 1);
    });
  });

for (const engine of ['interpreter', 'eager'] as const)
  describe(`address translation (${engine})`, () => {
    const store = 'c7 06 78 56 34 12'; // mov dword [rsi],0x12345678

    it('sets accessed and dirty bits as the processor does', () => {
      const m = new Machine(engine);
      m.code(`8b 06 ${UD2}`); // mov eax,[rsi]
      m.processor.state.set(Gpr.rsi, DATA);
      m.processor.run(100);
      assert.equal(m.entryOf(4, 2) & 0x60, 0x20);
      m.code(`${store} ${UD2}`, 0x100);
      m.processor.state.rip = CODE + 0x100;
      m.processor.run(100);
      assert.equal(m.entryOf(4, 2) & 0x60, 0x60);
    });

    for (const [what, flags, high, space, bytes, errorCode] of [
      ['a page that is not present', 0, 0, 0, '8b 06', 0],
      ['a write to a read-only page', 5, 0, 0, store, 3],
      ['a user access to a supervisor page', 3, 0, 1, '8b 06', 5],
      ['a fetch from a no-execute page', 7, 0x8000_0000, 0, 'ff e6', 0x11],
    ] as const)
      it(`refuses ${what}`, () => {
        const m = new Machine(engine);
        m.code(`${bytes} ${UD2}`);
        m.map(2, DATA_FRAME, flags, high);
        m.processor.setSpace(space);
        m.processor.state.set(Gpr.rsi, DATA);
        assert.equal(m.processor.run(100), Exit.Exception);
        assert.equal(m.processor.state.vector, Vector.PF);
        assert.equal(m.processor.state.errorCode, errorCode);
        assert.equal(m.processor.state.faultAddress, DATA);
        assert.equal(m.processor.state.rip, bytes === 'ff e6' ? DATA : CODE);
      });

    it('lets the kernel view read a supervisor page', () => {
      const m = new Machine(engine);
      m.code(`8b 06 ${UD2}`);
      m.map(2, DATA_FRAME, 3);
      m.processor.state.set(Gpr.rsi, DATA);
      m.processor.run(100);
      assert.equal(m.processor.state.vector, Vector.UD);
    });

    it('changes nothing when the second page of a write faults', () => {
      const m = new Machine(engine);
      m.code(`${store} ${UD2}`);
      m.map(3, DATA_FRAME + 1, 5);
      m.processor.state.set(Gpr.rsi, DATA + 0xffe);
      m.processor.run(100);
      assert.equal(m.processor.state.vector, Vector.PF);
      assert.equal(m.processor.state.faultAddress, DATA + 0x1000);
      assert.equal(m.view.getUint16(m.frameAt(DATA_FRAME) + 0xffe, true), 0);
    });

    it('refuses a frame that the domain does not have', () => {
      const m = new Machine(engine);
      m.code(`8b 06 ${UD2}`);
      m.map(2, 64);
      m.processor.state.set(Gpr.rsi, DATA);
      m.processor.run(100);
      assert.equal(m.processor.state.errorCode & 9, 9);
    });

    it('maps large pages', () => {
      const m = new Machine(engine);
      m.entry(3, 4, 0, 0x87); // 2 MiB at 0x800000 from frame 0
      m.code(`${store} ${UD2}`);
      m.processor.state.set(Gpr.rsi, 0x800000 + DATA_FRAME * 4096 + 8);
      m.processor.run(100);
      assert.equal(m.view.getUint32(m.frameAt(DATA_FRAME) + 8, true), 0x12345678);
    });

    it('writes a read-only frame in the one step that is allowed to, and not after it', () => {
      const m = new Machine(engine);
      m.code(`${store} ${store} ${UD2}`);
      m.map(2, DATA_FRAME, 5);
      m.processor.state.set(Gpr.rsi, DATA);
      assert.equal(m.processor.stepWithWritableFrame(DATA_FRAME), Exit.Budget);
      assert.equal(m.view.getUint32(m.frameAt(DATA_FRAME), true), 0x12345678);
      assert.equal(m.processor.run(100), Exit.Exception);
      assert.equal(m.processor.state.vector, Vector.PF);
    });
  });
