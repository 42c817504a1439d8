/** Guests that want to keep the store or each other from working: what each can have of memory, time and other guests' patience. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { XsMessage } from '../../abi/io/xs-wire.ts';
import { FakeHypervisor, ManualScheduler } from '../testing/fake-hypervisor.ts';
import { ManualTimers } from '../testing/manual-timers.ts';
import { StreamClient } from '../testing/stream-client.ts';
import { XenstoreFrontend } from '../testing/xenstore-frontend.ts';
import type { Xenstore } from './client.ts';
import type { Quotas } from './quota.ts';
import { bytesOf, encodeMessage } from './wire.ts';
import { Xenstored } from './xenstored.ts';

interface World {
  readonly hypervisor: FakeHypervisor;
  readonly xenstored: Xenstored;
  readonly xs: Xenstore;
  readonly scheduler: ManualScheduler;
  readonly clock: ManualTimers;
  readonly log: string[];
  readonly one: XenstoreFrontend;
  readonly two: XenstoreFrontend;
}

function world(quotas: Partial<Quotas> = {}): World {
  const hypervisor = new FakeHypervisor();
  const scheduler = new ManualScheduler();
  const clock = new ManualTimers();
  const log: string[] = [];
  const xenstored = new Xenstored(hypervisor, { quotas, scheduler, clock, log: (line) => log.push(line) });
  const xs = xenstored.client();
  const [one, two] = [1, 2].map((domid) => {
    const domain = hypervisor.add(domid);
    const port = domain.allocUnbound();
    xs.mkdir(`/local/domain/${domid}`);
    xs.setPerms(`/local/domain/${domid}`, `n${domid}`);
    xenstored.introduceDomain(domid, 0, port);
    return new XenstoreFrontend(domain, 0, port);
  });
  assert(one && two);
  return { hypervisor, xenstored, xs, scheduler, clock, log, one, two };
}

/** Sends requests that take no answers with them, as many as the store takes; returns how many it took. */
function flood(ring: XenstoreFrontend, request: (i: number) => Uint8Array, most: number, settle: () => void): number {
  for (let i = 0; i < most; i++) {
    const bytes = request(i);
    for (let sent = 0, tries = 0; sent < bytes.length; tries++) {
      if (tries > 3) return i;
      sent += ring.put(bytes.subarray(sent));
      ring.signal();
      settle();
    }
  }
  return most;
}

const writing = (path: string, value = '', txId = 0): Uint8Array =>
  encodeMessage({ type: XsMessage.XS_WRITE, reqId: 7, txId, payload: bytesOf(`${path}\0${value}`) });

describe('a guest that does not read', () => {
  it('is not read from once twenty of its replies wait', () => {
    const { one, two, scheduler, xenstored } = world();
    const taken = flood(
      one,
      () => writing('x', '1'),
      1000,
      () => scheduler.run(),
    );
    // Replies of 19 bytes fill its ring of 1024; twenty more wait here; requests of 19 bytes fill the other ring.
    assert.ok(taken < 140, `${taken}`);
    assert.equal(xenstored.domains.session(1)?.outstanding.count, 20);
    assert.deepEqual(two.call('XS_WRITE', ['alive', '1']), ['OK']);
    assert.ok([...one.receive()].length > 70, 'and is served again when it reads');
    scheduler.run();
    assert.equal(xenstored.domains.session(1)?.outstanding.count, 0);
  });

  it('loses events when more wait than it may have, and nothing else', () => {
    const { one, xs } = world({ memory: 10_000 });
    assert.deepEqual(one.call('XS_WATCH', ['/local/domain/1', 'token']), ['OK']);
    for (let i = 0; i < 1000; i++) xs.write(`/local/domain/1/m${i}`, i);
    const events = one.events();
    assert.ok(events.length > 100 && events.length < 400, `${events.length}`);
    assert.deepEqual(events[0], ['/local/domain/1/m0', 'token']);
    xs.write('/local/domain/1/later', '');
    assert.deepEqual(one.events(), [['/local/domain/1/later', 'token']]);
  });

  it('holds up another that causes events for it, for twenty seconds at most', () => {
    const { one, two, xs, xenstored, scheduler, clock } = world();
    xs.mkdir('/shared');
    xs.setPerms('/shared', 'b0');
    assert.deepEqual(two.call('XS_WATCH', ['/shared', 'x'.repeat(500)]), ['OK']);
    two.events();
    const session = xenstored.domains.session(1);
    assert(session);
    let written = 0;
    for (; session.outstanding.count < 20; written++) {
      one.send(writing(`/shared/n${written}`, '1'));
      scheduler.run();
      for (const reply of one.receive()) assert.equal(reply.type, XsMessage.XS_WRITE);
    }
    assert.ok(written < 30, `${written}`);
    one.put(writing('/shared/more', '1'));
    one.signal();
    scheduler.run();
    assert.equal(xs.read('/shared/more'), undefined, 'it waits');
    clock.pass(20_000);
    scheduler.run();
    assert.equal(xs.read('/shared/more'), '1');
    assert.ok(session.outstanding.count <= 2, 'the event that was begun, and the reply');
    assert.equal(two.events().length, 3, 'one that its ring held, one of which it held a part, and the last');
    assert.deepEqual(two.call('XS_READ', ['/shared/more']), ['1']);
  });

  it('lets the other go on as soon as it does read', () => {
    const { one, two, xs, xenstored, scheduler } = world({ outstanding: 2 });
    xs.mkdir('/shared');
    xs.setPerms('/shared', 'b0');
    two.call('XS_WATCH', ['/shared', 'x'.repeat(900)]);
    two.events();
    for (let i = 0; i < 6; i++) one.put(writing(`/shared/n${i}`, '1'));
    one.signal();
    scheduler.run();
    assert.equal(xs.exists('/shared/n5'), false);
    for (let i = 0; i < 6; i++) {
      two.events();
      Array.from(one.receive());
      scheduler.run();
    }
    assert.equal(xs.exists('/shared/n5'), true);
    assert.equal(xenstored.domains.session(1)?.outstanding.count, 0);
  });

  it('holds up nobody once it is gone', () => {
    const { one, two, xs, xenstored, scheduler, hypervisor, clock } = world({ outstanding: 2 });
    xs.mkdir('/shared');
    xs.setPerms('/shared', 'b0');
    two.call('XS_WATCH', ['/shared', 'x'.repeat(900)]);
    for (let i = 0; i < 6; i++) one.put(writing(`/shared/n${i}`, '1'));
    one.signal();
    scheduler.run();
    hypervisor.end(2, 'gone');
    scheduler.run();
    assert.equal(xs.exists('/shared/n5'), true);
    hypervisor.end(1, 'gone');
    assert.equal(clock.pending, 0);
    assert.equal(xenstored.store.openTransactions, 0);
  });
});

describe('a guest that wants much memory', () => {
  it('cannot have it in a transaction that goes on for ever', () => {
    const { one, xenstored } = world({ memory: 100_000 });
    const id = Number(one.call('XS_TRANSACTION_START', [''])[0]);
    let writes = 0;
    while (one.call('XS_WRITE', ['x', 'v'.repeat(1000)], id)[0] === 'OK' && writes < 1000) writes++;
    assert.ok(writes > 50 && writes < 120, `${writes}`);
    assert.ok((xenstored.domains.session(1)?.memory ?? 0) < 110_000);
    assert.equal(one.call('XS_TRANSACTION_END', ['T'], id), 'ENOMEM');
    assert.deepEqual(one.call('XS_WRITE', ['x', '1']), ['OK']);
  });

  it('cannot have it in watches', () => {
    const { one } = world({ memory: 10_000 });
    const outcomes = Array.from({ length: 10 }, (_, i) => one.call('XS_WATCH', ['w', `${i}`.repeat(2000)]));
    assert.equal(outcomes[0]?.[0], 'OK');
    assert.equal(outcomes.at(-1), 'ENOMEM');
  });

  it('is told of in the log, once', () => {
    const { one, log, clock } = world({});
    clock.pass(20_000);
    const id = Number(one.call('XS_TRANSACTION_START', [''])[0]);
    for (let i = 0; i < 1200; i++) one.call('XS_WRITE', ['x', 'v'.repeat(2000)], id);
    assert.deepEqual(log, ['xenstored: domain 1 exceeds soft memory quota']);
    one.call('XS_TRANSACTION_END', ['F'], id);
    clock.pass(20_000);
    one.call('XS_READ', ['x']);
    assert.equal(log.at(-1), 'xenstored: domain 1 is below soft memory quota');
  });
});

describe('a guest that writes all the time', () => {
  it('is slowed down while others have transactions open, so that these come to an end', () => {
    const { one, xs, xenstored, scheduler, clock } = world();
    const program = new StreamClient(xenstored);
    assert.equal(program.call('XS_TRANSACTION_START', '|'), '1|');
    let written = 0;
    const write = (): boolean => {
      one.put(writing('n', String(written)));
      one.signal();
      scheduler.run();
      return [...one.receive()].length === 1;
    };
    while (write() && written < 1000) written++;
    // Ten saved up, and what the reserve for new guests had left.
    assert.ok(written >= 10 && written < 80, `${written}`);
    const before = xs.read('/local/domain/1/n');
    clock.pass(1000);
    scheduler.run();
    assert.notEqual(xs.read('/local/domain/1/n'), before, 'it goes on after a while');
    Array.from(one.receive());
    assert.equal(program.call('XS_TRANSACTION_END', 'F|', 1), 'OK|');
    clock.pass(1000);
    for (let i = 0; i < 500; i++) assert.equal(write(), true, 'and as fast as it can when nobody has one');
  });
});

describe('a program on the socket that does not read', () => {
  it('is hung up on when too many events wait for it', () => {
    const { xenstored, xs } = world();
    const program = new StreamClient(xenstored);
    program.call('XS_WATCH', `/|${'t'.repeat(4000)}|`);
    program.reads = false;
    for (let i = 0; i < 5000 && !program.closed; i++) xs.write(`/many/n${i}`, '');
    assert.equal(program.closed, true);
    xs.write('/after', '1');
  });
});

describe('the number of a domain that is gone', () => {
  it('gives its successor no rights: not by permissions, not as a target, not before it existed', () => {
    const { hypervisor, xenstored, xs, one } = world();
    xs.write('/secret', '1');
    xs.setPerms('/secret', 'n0,r2,r9');
    xs.write('/of-two', '1');
    xs.setPerms('/of-two', 'n2');
    xs.write('/for-two', '1');
    xs.setPerms('/for-two', 'n0,r2');
    assert.equal(xenstored.domains.setTarget(1, 2), undefined);
    assert.deepEqual(one.call('XS_READ', ['/for-two']), ['1']);
    hypervisor.end(2, 'gone');
    const rings = [2, 9].map((domid) => {
      const domain = hypervisor.add(domid);
      const port = domain.allocUnbound();
      xenstored.introduceDomain(domid, 0, port);
      return new XenstoreFrontend(domain, 0, port);
    });
    for (const ring of [one, ...rings]) {
      assert.equal(ring.call('XS_READ', ['/secret']), 'EACCES');
      assert.equal(ring.call('XS_READ', ['/for-two']), 'EACCES');
    }
    assert.equal(xs.exists('/of-two'), false);
    xs.write('/new', '1');
    xs.setPerms('/new', 'n2');
    assert.equal(one.call('XS_READ', ['/new']), 'EACCES', 'nor has who acted for the first anything of the second');
    assert.deepEqual(rings[0]?.call('XS_READ', ['/new']), ['1']);
  });
});
