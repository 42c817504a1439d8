import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Exit } from './exits.ts';
import { addressText, ProfileWriter, readProfile, SAMPLE_INTERVAL } from './profile.ts';
import { Profile, Region } from './state-layout.ts';
import { CODE, Machine, REGION_AT } from './testing/machine.ts';

const AT = 64;

function memory(): { writer: ProfileWriter; buffer: SharedArrayBuffer } {
  const buffer = new SharedArrayBuffer(AT + Profile.size);
  return { writer: new ProfileWriter(buffer, AT), buffer };
}

const plain = { translated: false, user: false };

describe('a profile in memory', () => {
  it('is read as it was written', () => {
    const { writer, buffer } = memory();
    writer.exit(Exit.Syscall);
    writer.exit(Exit.Syscall);
    writer.sample(-0x7f00_0000, { translated: true, user: false });
    writer.sample(0x40_1000, { translated: false, user: true });
    writer.translator({ regions: 3, waiting: 1, compiled: 5, dropped: 2 });
    const read = readProfile(buffer, AT, 0);
    assert.equal(read.exits[Exit.Syscall], 2);
    assert.equal(read.taken, 2);
    assert.deepEqual(read.samples, [
      { rip: -0x7f00_0000, translated: true, user: false },
      { rip: 0x40_1000, translated: false, user: true },
    ]);
    assert.deepEqual([read.regions, read.waiting, read.compiled, read.dropped], [3, 1, 5, 2]);
    assert.deepEqual(readProfile(buffer, AT).samples, []);
    assert.deepEqual(readProfile(buffer, AT, 1).samples.length, 1);
  });

  it('keeps the last samples when nobody reads, and counts on beyond 2^32', () => {
    const { writer, buffer } = memory();
    new Int32Array(buffer)[(AT + Profile.taken) >>> 2] = -2;
    for (let i = 0; i < 5000; i++) writer.sample(i, plain);
    const { taken, samples } = readProfile(buffer, AT, 0xffff_fffe);
    assert.equal(taken, 4998);
    assert.equal(samples.length, Profile.entries - 1);
    assert.equal(samples[0]?.rip, 5000 - Profile.entries + 1);
    assert.equal(samples.at(-1)?.rip, 4999);
  });

  it('has a sample due for each so many instructions, however they come', () => {
    const { writer, buffer } = memory();
    for (let done = 0; done < 10 * SAMPLE_INTERVAL; done += 30_000) {
      writer.retired(30_000);
      if (writer.isDue) writer.sample(done, plain);
      assert.ok(writer.untilSample > 0);
    }
    assert.equal(readProfile(buffer, AT).taken, 10);
  });
});

it('an address in a profile is written as the kernel writes it', () => {
  assert.deepEqual([-0x7ee35f35, 0x401000, 0x7fff_0000_1000].map(addressText), [
    'ffffffff811ca0cb',
    '401000',
    '7fff00001000',
  ]);
});

for (const engine of ['interpreter', 'eager'] as const)
  describe(`a processor (${engine})`, () => {
    it('samples where its guest is in proportion to instructions', () => {
      const m = new Machine(engine);
      m.code('eb fe'); // jmp self
      for (let i = 0; i < 10; i++) m.processor.run(2 * SAMPLE_INTERVAL + 100);
      const { samples, taken, exits, regions } = readProfile(m.memory.buffer, REGION_AT + Region.profileAt, 0);
      assert.equal(m.processor.state.instructionsRetired, 10 * (2 * SAMPLE_INTERVAL + 100));
      assert.equal(taken, 20);
      for (const sample of samples)
        assert.deepEqual(sample, { rip: CODE, translated: engine === 'eager', user: false });
      assert.equal(regions, engine === 'eager' ? 1 : 0);
      assert.ok((exits[Exit.Budget] ?? 0) >= 20);
      assert.equal(exits[Exit.Decode], 1);
    });

    it('tells user mode from the kernel, and counts exits by what they are', () => {
      const m = new Machine(engine);
      m.code('0f 05 eb fe'); // syscall; jmp self
      m.processor.setSpace(1);
      assert.equal(m.processor.run(1000), Exit.Syscall);
      m.processor.run(SAMPLE_INTERVAL);
      const { samples, exits } = readProfile(m.memory.buffer, REGION_AT + Region.profileAt, 0);
      assert.equal(exits[Exit.Syscall], 1);
      assert.equal(samples.length, 1);
      assert.equal(samples[0]?.user, true);
    });
  });
