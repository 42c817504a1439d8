import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { TestDaemon } from '../testing/test-daemon.ts';

const test = new TestDaemon();
before(() => test.start());
after(() => test.close());

describe('xl channel-list', () => {
  it('lists consoles beside the first', async () => {
    const channels = `"name=org.example.agent, connection=pty", "name=two, connection=socket, path=${test.path('two')}"`;
    const created = await test.xl('create', '-q', test.config('talker'), `channel=[ ${channels} ]`);
    assert.equal(created.code, 0, created.err);
    const rows = [
      // There is a terminal once the guest's driver is there.
      `0   0  1     -1     -1       pty        ${' '.repeat(31)}`,
      '1   0  1     -1     -1       socket     ',
    ];
    const { out } = await test.xl('channel-list', 'talker', '1');
    assert.deepEqual(out.split('\n').slice(1), [...rows, ...rows, '']);
  });
});
