import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import type { DaemonClient } from '../../toolstack/daemon/client.ts';
import { runDirectory } from '../../toolstack/daemon/run-directory.ts';
import { connectOrStart } from '../../toolstack/daemon/start.ts';

const directory = mkdtempSync(join(tmpdir(), 'xenolithd-'));
const where = runDirectory({ XENOLITH_RUN_DIR: directory });

async function pidOf(client: DaemonClient): Promise<number> {
  return (await client.call('hello', {})).pid;
}

async function stop(client: DaemonClient): Promise<void> {
  const closed = new Promise<void>((resolve) => (client.onClosed = resolve));
  await client.call('stop', {});
  await closed;
}

after(() => rmSync(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 }));

describe('the daemon', () => {
  it('is started once, however many ask for it at the same time', async () => {
    const clients = await Promise.all([connectOrStart(where), connectOrStart(where), connectOrStart(where)]);
    const pids = await Promise.all(clients.map(pidOf));
    assert.equal(new Set(pids).size, 1);
    const [first] = clients;
    assert(first);
    await stop(first);
  });

  it('is started anew after it was killed', async () => {
    const first = await connectOrStart(where);
    const pid = await pidOf(first);
    const gone = new Promise<void>((resolve) => (first.onClosed = resolve));
    process.kill(pid, 'SIGKILL');
    await gone;
    const second = await connectOrStart(where);
    assert.notEqual(await pidOf(second), pid);
    const { domains } = await second.call('list', {});
    assert.deepEqual(
      domains.map(({ name }) => name),
      ['Domain-0'],
    );
    await stop(second);
  });
});
