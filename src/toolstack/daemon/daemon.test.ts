import assert from 'node:assert/strict';
import { readFileSync, renameSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { JsonObject } from '../config/json.ts';
import { TestDaemon } from '../testing/test-daemon.ts';
import { DaemonClient, RequestError } from './client.ts';
import { encodeMessage, maxFrame } from './frames.ts';
import type { Method } from './protocol.ts';

const test = new TestDaemon();
const { host, where } = test;
const withClient = test.withClient.bind(test);

before(async () => {
  host.say('(XEN) early');
  await test.start();
});
after(() => test.close());

/** Resolves when the daemon has closed a connection on which this was sent. */
function hungUpOn(bytes: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(where.socket, () => socket.write(bytes));
    socket.on('data', () => undefined);
    socket.on('error', () => undefined);
    socket.on('close', () => resolve());
  });
}

const config = { c_info: { type: 'pv', name: 'x' }, b_info: { kernel: 'k' }, devices: {}, reactions: {} };

describe('a client that misbehaves', () => {
  const junk: readonly [string, Uint8Array][] = [
    ['speaks HTTP', Buffer.from('GET / HTTP/1.0\r\n\r\n')],
    ['sends zeros', Buffer.alloc(64)],
    ['asks without a method', encodeMessage({ id: 1 })],
    [
      'asks for too much at a time',
      Buffer.concat(Array.from({ length: 100 }, (_, id) => encodeMessage({ id, method: 'list' }))),
    ],
  ];
  for (const [name, bytes] of junk) {
    it(`and ${name} is hung up on`, async () => {
      await hungUpOn(bytes);
      assert.equal((await withClient((client) => client.call('hello', {}))).pid, process.pid);
    });
  }

  const requests: readonly [string, JsonObject][] = [
    ['nosuch', {}],
    ['toString', {}],
    ['list', { domid: 'x' }],
    ['pause', { domid: -1 }],
    ['destroy', { domid: 1e12 }],
    ['rename', { domid: 0 }],
    ['rename', { domid: 0, name: 'x'.repeat(1e5) }],
    ['watchDeaths', { domids: [{}] }],
    ['vcpus', { domids: Array.from({ length: 5000 }, () => 0) }],
    ['dmesg', {}],
    ['create', {}],
    ['create', { config }],
    ['create', { config: { ...config, b_info: { target_memkb: 1e30 } } }],
    ['create', { config: { ...config, c_info: { type: 'lpar', name: 'x' } } }],
  ];
  for (const [method, params] of requests) {
    it(`gets an error for ${method} ${JSON.stringify(params).slice(0, 60)}`, async () => {
      const asked = withClient((client) => client.call(method as Method, params as never));
      await assert.rejects(
        asked,
        (error) => error instanceof RequestError && /bad request|does not know|too long/.test(error.message),
      );
    });
  }

  it('changes nothing of a domain that does not exist', async () => {
    for (const [method, more] of [
      ['sysrq', { letter: 'h' }],
      ['shutdown', {}],
      ['reboot', {}],
      ['rename', { name: 'x' }],
    ] as const) {
      await assert.rejects(
        withClient((client) => client.call(method, { domid: 77, ...more } as never)),
        /unable to get domain type/,
      );
    }
  });
});

describe('a daemon', () => {
  it('writes the hypervisor’s log from its first line on, and opens it again when it is told to', () => {
    const path = join(where.logs, 'console', 'hypervisor.log');
    host.say('(XEN) first');
    assert.equal(readFileSync(path, 'utf8'), '(XEN) early\n(XEN) first\n');
    renameSync(path, `${path}.moved`);
    test.daemon.reopenLogs();
    host.say('(XEN) second');
    assert.equal(readFileSync(path, 'utf8'), '(XEN) second\n');
  });

  it('gives answers longer than any request may be', async () => {
    const cmdline = 'x'.repeat(65536);
    const names = Array.from({ length: 1 + maxFrame / cmdline.length }, (_, at) => `long-${at}`);
    for (const name of names)
      assert.equal((await test.xl('create', '-q', test.config(name, `extra="${cmdline}"`))).code, 0);
    const { out, err, code } = await test.xl('list', '-l');
    assert.deepEqual([err, code], ['', 0]);
    const listed = JSON.parse(out) as { config: { c_info: { name: string }; b_info: { cmdline?: string } } }[];
    const long = listed.filter(({ config: { b_info } }) => b_info.cmdline?.endsWith(cmdline) === true);
    assert.deepEqual(
      long.map(({ config: { c_info } }) => c_info.name),
      names,
    );
    for (const name of names) assert.equal((await test.xl('destroy', name)).code, 0);
  });

  it('is taken for none when it goes away without a greeting', async () => {
    const { createServer } = await import('node:net');
    const path = test.path('dying.sock');
    const server = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => server.listen(path, resolve));
    assert.equal(await DaemonClient.connect(path), undefined);
    server.close();
  });
});
