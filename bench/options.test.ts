import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { matches, parseOptions } from './options.ts';

describe('the command line of the bench', () => {
  it('asks for everything, three times, when it is empty', () => {
    assert.deepEqual(parseOptions([]), {
      format: 'text',
      help: false,
      peers: undefined,
      rounds: 3,
      seconds: 1.5,
      busy: false,
      names: [],
    });
  });

  it('names peers, rounds, seconds and what to measure', () => {
    const options = parseOptions([
      '--peers',
      'xen,native',
      '--rounds',
      '9',
      '--seconds',
      '0.5',
      '--busy',
      '--json',
      'cpu',
      'workload.copy',
    ]);
    assert.deepEqual(options, {
      format: 'json',
      help: false,
      peers: ['xen', 'native'],
      rounds: 9,
      seconds: 0.5,
      busy: true,
      names: ['cpu', 'workload.copy'],
    });
  });

  it('is refused with a reason when it makes no sense', () => {
    assert.throws(() => parseOptions(['--peers', 'bochs']), /no peer "bochs"; there are: xenolith, qemu/);
    assert.throws(() => parseOptions(['--rounds', 'many']), /--rounds wants a number above 0, not "many"/);
    assert.throws(() => parseOptions(['--seconds', '0']), /--seconds/);
  });

  it('chooses by whole name or by its beginning', () => {
    assert.ok(matches('cpu.sha256', 'cpu'));
    assert.ok(matches('cpu.sha256', 'cpu.sha256'));
    assert.ok(!matches('cpu.sha256', 'cp'));
  });
});
