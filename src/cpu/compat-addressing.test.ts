import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CODE, DATA, DATA_FRAME, Machine } from './testing/machine.ts';

describe('addresses in compatibility mode', () => {
  for (const [what, code] of [
    ['MOV’s absolute form', '65 a1 c4 ff ff ff'],
    ['a ModR/M displacement', '65 8b 05 c4 ff ff ff'],
  ] as const) {
    it(`wrap at 4 GiB when a negative offset is added to a segment’s base (${what})`, () => {
      const machine = new Machine();
      const { processor, view } = machine;
      machine.code(code);
      view.setUint32(machine.frameAt(DATA_FRAME) + 4, 0x1234, true);
      processor.state.long64 = false;
      processor.state.rip = CODE;
      processor.state.gsBase = DATA + 4 + 0x3c;
      processor.step();
      assert.equal(processor.state.lo(0), 0x1234);
    });
  }
});
