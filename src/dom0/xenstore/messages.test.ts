import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { XsdSockmsg, XsMessage } from '../../abi/io/xs-wire.ts';
import { FakeHypervisor } from '../testing/fake-hypervisor.ts';
import { StreamClient } from '../testing/stream-client.ts';
import { messages } from './messages.ts';
import { encodeMessage, joinStrings } from './wire.ts';
import { Xenstored } from './xenstored.ts';

type Step = readonly [
  client: 'a' | 'b',
  type: keyof typeof XsMessage,
  payload: string,
  expected: string,
  txId?: number,
];

/** Each scenario starts on an empty store, with two clients of domain 0. Payloads have `|` for NUL. */
const scenarios: Record<string, readonly Step[]> = {
  'a value may hold any bytes, and none': [
    ['a', 'XS_WRITE', '/a/b|x|y|', 'OK|'],
    ['b', 'XS_READ', '/a/b|', 'x|y|'],
    ['a', 'XS_WRITE', '/a/b|', 'OK|'],
    ['b', 'XS_READ', '/a/b|', ''],
    ['b', 'XS_READ', '/a|', ''],
    ['b', 'XS_READ', '/a/c|', 'ENOENT'],
  ],
  'relative paths of a socket client are those of domain 0': [
    ['a', 'XS_WRITE', 'name|Domain-0', 'OK|'],
    ['b', 'XS_READ', '/local/domain/0/name|', 'Domain-0'],
  ],
  'directories list their children in order': [
    ['a', 'XS_MKDIR', '/d/2|', 'OK|'],
    ['a', 'XS_MKDIR', '/d/10|', 'OK|'],
    ['a', 'XS_WRITE', '/d/1|v', 'OK|'],
    ['a', 'XS_MKDIR', '/d/1|', 'OK|'],
    ['a', 'XS_READ', '/d/1|', 'v'],
    ['a', 'XS_DIRECTORY', '/d|', '1|10|2|'],
    ['a', 'XS_DIRECTORY', '/d/1|', ''],
    ['a', 'XS_DIRECTORY', '/|', '@introduceDomain|@releaseDomain|d|tool|'],
    ['a', 'XS_DIRECTORY', '/e|', 'ENOENT'],
  ],
  'removing needs a parent, but not the node': [
    ['a', 'XS_WRITE', '/a/b/c|1', 'OK|'],
    ['a', 'XS_RM', '/a/b|', 'OK|'],
    ['a', 'XS_RM', '/a/b|', 'OK|'],
    ['a', 'XS_RM', '/a/b/c|', 'ENOENT'],
    ['a', 'XS_RM', '/|', 'EINVAL'],
  ],
  'malformed paths are refused': ['', 'a//b', '/a/', '//', '/a b', '/a\u00e9', '@a/b', `/${'x'.repeat(2049)}`].map(
    (path) => ['a', 'XS_READ', `${path}|`, 'EINVAL'] as const,
  ),
  'malformed payloads are refused': [
    ['a', 'XS_READ', '/a', 'EINVAL'],
    ['a', 'XS_READ', '', 'EINVAL'],
    ['a', 'XS_READ', '/a|/b|', 'EINVAL'],
    ['a', 'XS_WRITE', '/a', 'EINVAL'],
    ['a', 'XS_WATCH', '/a|', 'EINVAL'],
    ['a', 'XS_SET_PERMS', '/a|', 'EINVAL'],
    ['a', 'XS_SET_PERMS', '/tool|x1|', 'EINVAL'],
    ['a', 'XS_SET_PERMS', '/tool|n99999|', 'ENOENT'],
    ['a', 'XS_INTRODUCE', '1|0|x|', 'EINVAL'],
    ['a', 'XS_TRANSACTION_END', 'X|', 'EINVAL'],
  ],
  'permissions are kept in order': [
    ['a', 'XS_MKDIR', '/a|', 'OK|'],
    ['a', 'XS_GET_PERMS', '/a|', 'n0|'],
    ['a', 'XS_SET_PERMS', '/a|b3|r1|w2|', 'OK|'],
    ['a', 'XS_WRITE', '/a/child|', 'OK|'],
    ['a', 'XS_GET_PERMS', '/a/child|', 'b3|r1|w2|'],
  ],
  'a transaction is invisible until it ends, and then only if it is to': [
    ['a', 'XS_TRANSACTION_START', '|', '1|'],
    ['a', 'XS_WRITE', '/t|1', 'OK|', 1],
    ['a', 'XS_READ', '/t|', '1', 1],
    ['a', 'XS_READ', '/t|', 'ENOENT'],
    ['a', 'XS_TRANSACTION_END', 'F|', 'OK|', 1],
    ['a', 'XS_READ', '/t|', 'ENOENT'],
    ['a', 'XS_TRANSACTION_START', '|', '2|'],
    ['a', 'XS_WRITE', '/t|1', 'OK|', 2],
    ['a', 'XS_TRANSACTION_END', 'T|', 'OK|', 2],
    ['b', 'XS_READ', '/t|', '1'],
    ['a', 'XS_TRANSACTION_END', 'T|', 'ENOENT', 2],
    ['a', 'XS_READ', '/t|', 'ENOENT', 2],
    ['a', 'XS_TRANSACTION_START', '|', '3|'],
    ['a', 'XS_TRANSACTION_START', '|', 'EBUSY', 3],
    ['b', 'XS_READ', '/t|', 'ENOENT', 3],
  ],
  'a transaction that read what has changed fails with EAGAIN': [
    ['a', 'XS_WRITE', '/v|1', 'OK|'],
    ['a', 'XS_TRANSACTION_START', '|', '1|'],
    ['a', 'XS_READ', '/v|', '1', 1],
    ['a', 'XS_WRITE', '/w|1', 'OK|', 1],
    ['b', 'XS_WRITE', '/v|2', 'OK|'],
    ['a', 'XS_READ', '/v|', '1', 1],
    ['a', 'XS_TRANSACTION_END', 'T|', 'EAGAIN', 1],
    ['b', 'XS_READ', '/w|', 'ENOENT'],
  ],
  'a transaction that saw a node missing fails when it has come': [
    ['a', 'XS_TRANSACTION_START', '|', '1|'],
    ['a', 'XS_READ', '/v|', 'ENOENT', 1],
    ['b', 'XS_WRITE', '/v|2', 'OK|'],
    ['a', 'XS_TRANSACTION_END', 'T|', 'EAGAIN', 1],
  ],
  'a transaction that listed a directory fails when the list has changed, and not when a value in it has': [
    ['a', 'XS_WRITE', '/d/x|1', 'OK|'],
    ['a', 'XS_TRANSACTION_START', '|', '1|'],
    ['a', 'XS_DIRECTORY', '/d|', 'x|', 1],
    ['b', 'XS_WRITE', '/d/x|2', 'OK|'],
    ['a', 'XS_TRANSACTION_END', 'T|', 'OK|', 1],
    ['a', 'XS_TRANSACTION_START', '|', '2|'],
    ['a', 'XS_DIRECTORY', '/d|', 'x|', 2],
    ['b', 'XS_RM', '/d/x|', 'OK|'],
    ['a', 'XS_TRANSACTION_END', 'T|', 'EAGAIN', 2],
  ],
  'transactions that make different children of a node do not disturb each other': [
    ['a', 'XS_MKDIR', '/d|', 'OK|'],
    ['a', 'XS_TRANSACTION_START', '|', '1|'],
    ['b', 'XS_TRANSACTION_START', '|', '1|'],
    ['a', 'XS_WRITE', '/d/a|1', 'OK|', 1],
    ['b', 'XS_WRITE', '/d/b|1', 'OK|', 1],
    ['a', 'XS_TRANSACTION_END', 'T|', 'OK|', 1],
    ['b', 'XS_TRANSACTION_END', 'T|', 'OK|', 1],
    ['a', 'XS_DIRECTORY', '/d|', 'a|b|'],
  ],
  'a transaction that removes a tree fails when something has come into it': [
    ['a', 'XS_WRITE', '/d/x/y|1', 'OK|'],
    ['a', 'XS_TRANSACTION_START', '|', '1|'],
    ['a', 'XS_RM', '/d|', 'OK|', 1],
    ['b', 'XS_WRITE', '/d/x/z|1', 'OK|'],
    ['a', 'XS_TRANSACTION_END', 'T|', 'EAGAIN', 1],
  ],
  'a node that was removed and made again is another node': [
    ['a', 'XS_WRITE', '/v|1', 'OK|'],
    ['a', 'XS_TRANSACTION_START', '|', '1|'],
    ['a', 'XS_READ', '/v|', '1', 1],
    ['b', 'XS_RM', '/v|', 'OK|'],
    ['b', 'XS_WRITE', '/v|1', 'OK|'],
    ['a', 'XS_TRANSACTION_END', 'T|', 'EAGAIN', 1],
  ],
  'a watch is named by its node and its token': [
    ['a', 'XS_WATCH', '/w|t|', 'OK|'],
    ['a', 'XS_WATCH', '/w|t|', 'EEXIST'],
    ['a', 'XS_WATCH', '/w|u|', 'OK|'],
    ['b', 'XS_WATCH', '/w|t|', 'OK|'],
    ['a', 'XS_UNWATCH', '/w|t|', 'OK|'],
    ['a', 'XS_UNWATCH', '/w|t|', 'ENOENT'],
    ['a', 'XS_WATCH', 'x|t|', 'OK|'],
    ['a', 'XS_UNWATCH', '/local/domain/0/x|t|', 'OK|'],
    ['a', 'XS_RESET_WATCHES', '|', 'OK|'],
    ['a', 'XS_UNWATCH', '/w|u|', 'ENOENT'],
  ],
  'domains are asked about': [
    ['a', 'XS_GET_DOMAIN_PATH', '7|', '/local/domain/7|'],
    ['a', 'XS_IS_DOMAIN_INTRODUCED', '0|', 'T|'],
    ['a', 'XS_IS_DOMAIN_INTRODUCED', '7|', 'F|'],
    ['a', 'XS_RELEASE', '7|', 'ENOENT'],
    ['a', 'XS_RESUME', '7|', 'ENOENT'],
    ['a', 'XS_SET_TARGET', '7|8|', 'ENOENT'],
  ],
  'the daemon answers for itself': [
    ['a', 'XS_CONTROL', 'check|', 'OK|'],
    ['a', 'XS_CONTROL', 'constructor|', 'EINVAL'],
  ],
};

describe('xenstore requests', () => {
  for (const [fact, steps] of Object.entries(scenarios)) {
    it(fact, () => {
      const hypervisor = new FakeHypervisor();
      for (const domid of [1, 2, 3]) hypervisor.add(domid);
      const xenstored = new Xenstored(hypervisor);
      const clients = { a: new StreamClient(xenstored), b: new StreamClient(xenstored) };
      steps.forEach(([client, type, payload, expected, txId], i) => {
        assert.equal(clients[client].call(type, payload, txId), expected, `step ${i + 1}: ${type} ${payload}`);
      });
    });
  }

  it('answers ENOSYS to every type that has no row', () => {
    const client = new StreamClient(new Xenstored(new FakeHypervisor()));
    for (const type of [15, 16, 20, 23, 0xffff, 0xffffffff]) {
      assert.equal(messages.has(type), false);
      assert.equal(client.callNumber(type, '|'), 'ENOSYS');
    }
  });

  it('gives a long directory in parts, with a generation that tells when to begin again', () => {
    const xenstored = new Xenstored(new FakeHypervisor());
    const client = new StreamClient(xenstored);
    const names = Array.from({ length: 500 }, (_, i) => `child-with-a-long-name-${i}`).sort();
    for (const name of names) client.call('XS_WRITE', `/d/${name}|`);
    assert.equal(client.call('XS_DIRECTORY', '/d|'), 'E2BIG');
    let list = '';
    const generations = new Set<string>();
    for (let parts = 0; parts < 10 && !list.endsWith('||'); parts++) {
      const reply = client.call('XS_DIRECTORY_PART', `/d|${list.length}|`);
      generations.add(reply.slice(0, reply.indexOf('|')));
      list += reply.slice(reply.indexOf('|') + 1);
    }
    assert.equal(list, `${names.join('|')}||`);
    assert.equal(generations.size, 1);
    client.call('XS_RM', `/d/${names[7]}|`);
    assert.ok(!generations.has(client.call('XS_DIRECTORY_PART', '/d|0|').split('|')[0] ?? ''));
  });
});

describe('watch events', () => {
  it('come after the reply: once at the start, then for the node, what is below it, and its removal from above', () => {
    const xenstored = new Xenstored(new FakeHypervisor());
    const [watcher, other] = [new StreamClient(xenstored), new StreamClient(xenstored)];
    watcher.call('XS_WATCH', '/a/b|t|');
    assert.deepEqual(watcher.events(), ['/a/b|t']);
    other.call('XS_WRITE', '/a|1');
    other.call('XS_WRITE', '/a/bb|1');
    assert.deepEqual(watcher.events(), []);
    other.call('XS_WRITE', '/a/b/c|1');
    assert.deepEqual(watcher.events(), ['/a/b/c|t']);
    other.call('XS_SET_PERMS', '/a/b|n0|r1|');
    assert.deepEqual(watcher.events(), ['/a/b|t']);
    other.call('XS_RM', '/a|');
    assert.deepEqual(watcher.events(), ['/a/b|t']);
    other.call('XS_RM', '/a|');
    assert.deepEqual(watcher.events(), []);
  });

  it('come only from as many levels below as the watch is deep', () => {
    const xenstored = new Xenstored(new FakeHypervisor());
    const [watcher, other] = [new StreamClient(xenstored), new StreamClient(xenstored)];
    assert.equal(watcher.call('XS_WATCH', '/a|itself|0|'), 'OK|');
    assert.equal(watcher.call('XS_WATCH', '/a|children|1|'), 'OK|');
    assert.equal(watcher.call('XS_WATCH', '/a|all|'), 'OK|');
    assert.equal(watcher.call('XS_WATCH', '/a|none|-1|'), 'EINVAL');
    assert.equal(watcher.call('XS_WATCH', '/a|all|1|'), 'EEXIST');
    watcher.events();
    other.call('XS_WRITE', '/a|1');
    assert.deepEqual(watcher.events(), ['/a|itself', '/a|children', '/a|all']);
    other.call('XS_WRITE', '/a/b|1');
    assert.deepEqual(watcher.events(), ['/a/b|children', '/a/b|all']);
    other.call('XS_WRITE', '/a/b/c|1');
    assert.deepEqual(watcher.events(), ['/a/b/c|all']);
    other.call('XS_RM', '/a|');
    assert.deepEqual(watcher.events(), ['/a|itself', '/a|children', '/a|all']);
  });

  it('of domains name the domain when the watch asks for it', () => {
    const hypervisor = new FakeHypervisor();
    const xenstored = new Xenstored(hypervisor);
    const watcher = new StreamClient(xenstored);
    for (const path of ['@introduceDomain|in|1|', '@releaseDomain|any|', '@releaseDomain|which|1|']) {
      assert.equal(watcher.call('XS_WATCH', path), 'OK|');
    }
    for (const path of ['@releaseDomain/7|seven|', '@releaseDomain/8|eight|']) watcher.call('XS_WATCH', path);
    watcher.events();
    const port = hypervisor.add(7).allocUnbound();
    assert.equal(watcher.call('XS_INTRODUCE', `7|0|${port}|`), 'OK|');
    assert.deepEqual(watcher.events(), ['@introduceDomain/7|in']);
    hypervisor.end(7, 'shutdown');
    const told = ['@releaseDomain|any', '@releaseDomain/7|which', '@releaseDomain/7|seven'];
    assert.deepEqual(watcher.events(), told);
    hypervisor.end(7, 'gone');
    assert.deepEqual(watcher.events(), told);
    assert.equal(watcher.call('XS_UNWATCH', '@releaseDomain/7|seven|'), 'OK|');
  });

  it('of a transaction come when it is committed, in the order of its changes', () => {
    const xenstored = new Xenstored(new FakeHypervisor());
    const [watcher, other] = [new StreamClient(xenstored), new StreamClient(xenstored)];
    watcher.call('XS_WATCH', '/|t|');
    watcher.events();
    other.call('XS_TRANSACTION_START', '|');
    other.call('XS_WRITE', '/y|1', 1);
    other.call('XS_WRITE', '/x|1', 1);
    assert.deepEqual(watcher.events(), []);
    other.call('XS_TRANSACTION_END', 'T|', 1);
    assert.deepEqual(watcher.events(), ['/y|t', '/x|t']);
  });

  it('end with the connection', () => {
    const xenstored = new Xenstored(new FakeHypervisor());
    const [watcher, other] = [new StreamClient(xenstored), new StreamClient(xenstored)];
    watcher.call('XS_WATCH', '/a|t|');
    watcher.events();
    watcher.connection.end();
    other.call('XS_WRITE', '/a|1');
    assert.deepEqual(watcher.events(), []);
    assert.equal(watcher.connection.receive(new Uint8Array(16)), false);
  });
});

describe('a mistake of ours', () => {
  it('costs the request an EIO, and nobody the connection', () => {
    const errors: unknown[] = [];
    const xenstored = new Xenstored(new FakeHypervisor(), { onError: (error) => errors.push(error) });
    const client = new StreamClient(xenstored);
    xenstored.control = () => {
      throw new Error('broken');
    };
    assert.equal(client.call('XS_CONTROL', 'help|'), 'EIO');
    assert.equal(errors.length, 1);
    assert.equal(client.call('XS_READ', '/tool/xenstored|'), 'xenolith');
  });
});

describe('a stream connection', () => {
  it('is closed when a payload is too long', () => {
    const client = new StreamClient(new Xenstored(new FakeHypervisor()));
    const header = new Uint8Array(16);
    XsdSockmsg.write(new DataView(header.buffer), 0, { type: XsMessage.XS_READ, req_id: 1, tx_id: 0, len: 4097 });
    client.connection.receive(header);
    assert.equal(client.closed, true);
  });

  it('takes requests cut anywhere, and several at once', () => {
    const client = new StreamClient(new Xenstored(new FakeHypervisor()));
    const requests = [1, 2, 3].map((reqId) =>
      encodeMessage({ type: XsMessage.XS_READ, reqId, txId: 0, payload: joinStrings(['/tool/xenstored']) }),
    );
    const bytes = Buffer.concat(requests);
    for (const cut of [1, 15, 16, 17, 40]) {
      client.connection.receive(bytes.subarray(0, cut));
      client.connection.receive(bytes.subarray(cut));
      assert.deepEqual(
        client.received.splice(0).map((message) => message.reqId),
        [1, 2, 3],
      );
    }
  });

  it('asks not to be sent more while its client does not read, and loses nothing', () => {
    const xenstored = new Xenstored(new FakeHypervisor());
    const client = new StreamClient(xenstored);
    client.call('XS_WRITE', `/big|${'x'.repeat(4000)}`);
    client.reads = false;
    const request = encodeMessage({ type: XsMessage.XS_READ, reqId: 9, txId: 0, payload: joinStrings(['/big']) });
    let sent = 0;
    while (client.connection.receive(request) && sent < 1000) sent++;
    assert.ok(sent < 100, 'it should have asked to stop');
    client.reads = true;
    client.connection.drained();
    assert.equal(client.resumed, 1);
    assert.equal(client.received.length, sent + 1);
  });
});

describe("the administrator's commands", () => {
  it('tell what there is, and what a domain takes up', () => {
    const hypervisor = new FakeHypervisor();
    const log: string[] = [];
    const client = new StreamClient(new Xenstored(hypervisor, { log: (line) => log.push(line) }));
    assert.match(client.call('XS_CONTROL', 'help|'), /^check\t\nlog\ton\|off\n.*\nhelp\t\n\|$/s);
    const port = hypervisor.add(1).allocUnbound();
    client.call('XS_INTRODUCE', `1|0|${port}|`);
    client.call('XS_WRITE', '/a|1');
    client.call('XS_SET_PERMS', '/a|n1|');
    assert.equal(
      client.call('XS_CONTROL', 'quota|1|'),
      ['nodes           :        1', 'watches         :        0', 'transactions    :        0']
        .concat('outstanding     :        0', 'memory          :        0')
        .reduce((text, line) => `${text}${line}\n`, 'Domain 1:\n') + '|',
    );
    assert.equal(client.call('XS_CONTROL', 'memreport|'), 'OK|');
    assert.match(log.join('\n'), /memreport: 6 nodes.*\n.*domain 0: .*\n.*domain 1: \{"nodes":1,/);
  });

  it('log what clients ask for, in one line each, whatever it is', () => {
    const log: string[] = [];
    const client = new StreamClient(new Xenstored(new FakeHypervisor(), { log: (line) => log.push(line) }));
    client.call('XS_WRITE', '/before|1');
    client.call('XS_CONTROL', 'log|on|');
    client.call('XS_WRITE', '/a|1\n2\u0007');
    client.call('XS_CONTROL', 'print|hello\nworld|');
    client.call('XS_CONTROL', 'log|off|');
    client.call('XS_WRITE', '/after|1');
    assert.deepEqual(log.slice(0, 3), [
      'xenstored: A1 XS_WRITE /a 1?2?',
      'xenstored: A1 XS_CONTROL print hello?world ',
      'xenstored: control: hello?world',
    ]);
    assert.equal(log.length, 4);
  });
});
