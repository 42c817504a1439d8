import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { ConsoleHost } from '../../dom0/testing/console-host.ts';
import { listenForChannel } from './channel-socket.ts';

describe('a channel’s socket', () => {
  const folder = mkdtempSync(join(tmpdir(), 'channel-'));
  const path = join(folder, 'agent');
  after(() => rmSync(folder, { recursive: true }));

  it('carries bytes both ways from when somebody connects, and ends with the console', async () => {
    const host = new ConsoleHost();
    const { front } = host.create(1, 'web');
    const console = host.console(1);
    front.print('too early');
    const listener = await listenForChannel(path, () => console);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    const socket = connect(path);
    await once(socket, 'connect');
    socket.write('ask');
    let asked = '';
    for (let i = 0; asked.length < 3 && i < 60_000; i++) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      asked += front.take();
    }
    assert.equal(asked, 'ask');
    front.print('answer');
    assert.equal(String(await once(socket, 'data')), 'answer');
    host.hypervisor.end(1, 'gone');
    await once(socket, 'end');
    listener.close();
  });

  it('turns away who comes when no guest is connected', async () => {
    const listener = await listenForChannel(path, () => undefined);
    const socket = connect(path);
    await once(socket, 'close');
    listener.close();
  });

  it('takes no file’s place', async () => {
    const file = join(folder, 'precious');
    writeFileSync(file, 'data');
    await assert.rejects(
      listenForChannel(file, () => undefined),
      /precious exists and is no socket/,
    );
    assert.equal(readFileSync(file, 'utf8'), 'data');
  });
});
