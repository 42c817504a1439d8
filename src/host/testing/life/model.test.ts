import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createdModel, Model, nextCommand, randomNumbers } from './model.ts';

const options = { keys: ['a', 'b'] };

describe('the model of guests', () => {
  it('chooses the same commands for the same seed, and others for another', () => {
    const some = (seed: number): string[] => {
      const random = randomNumbers(seed);
      const model = new Model();
      model.guests.set('b', createdModel('b', ['memory=80', 'vcpus=2', 'disks=1', 'nics=1']));
      return Array.from({ length: 50 }, () => nextCommand(model, random, options));
    };
    assert.deepEqual(some(1), some(1));
    assert.notDeepEqual(some(1), some(2));
  });

  it('chooses only what can be done', () => {
    const random = randomNumbers(3);
    const model = new Model();
    for (let i = 0; i < 50; i++) assert.match(nextCommand(model, random, options), /^create [ab] poweroff=/);
    const guest = createdModel('a', ['memory=80', 'vcpus=1', 'disks=0', 'nics=0']);
    guest.paused = true;
    model.guests.set('a', guest);
    for (let i = 0; i < 200; i++)
      assert.match(nextCommand(model, random, { keys: ['a'] }), /^(?:unpause|rename|destroy) a/);
  });
});
