/**
 * Whatever clients send: nothing is thrown, each request has one answer in its turn, nobody reads what it may not, what a guest takes up is
 * bounded, and others are served. A failure names its seed and the shortest sequence. `npm run fuzz` makes longer runs.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { fuzz } from '../../abi/testing/fuzz.ts';
import { xsErrors, XsMessage } from '../../abi/io/xs-wire.ts';
import { FakeHypervisor, ManualScheduler, type FakeDomain } from '../testing/fake-hypervisor.ts';
import { ManualTimers } from '../testing/manual-timers.ts';
import { StreamClient } from '../testing/stream-client.ts';
import { XenstoreFrontend } from '../testing/xenstore-frontend.ts';
import { inconsistencies } from './control.ts';
import { parsePath } from './path.ts';
import { bytesOf, encodeMessage, textOf, type Message } from './wire.ts';
import { Xenstored } from './xenstored.ts';

const parameters = fuzz(100);

/** In names and values that the guest must never see; it cannot guess it either. */
const SECRET = 'kept-from-guests';

const name = fc.constantFrom('a', 'b', 'c', 'data', 'x'.repeat(100));
const path = fc.oneof(
  {
    weight: 12,
    arbitrary: fc
      .tuple(
        fc.constantFrom('', '', '/', '/local/domain/1/', '/local/domain/2/', '/shared/'),
        fc.array(name, { minLength: 1, maxLength: 4 }),
      )
      .map(([base, names]) => base + names.join('/')),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      '/',
      '@releaseDomain',
      '@introduceDomain',
      '@releaseDomain/2',
      '',
      '//',
      'a/',
      '/shared',
    ),
  },
  { weight: 1, arbitrary: fc.string({ maxLength: 30, unit: 'binary-ascii' }) },
);
const token = fc.constantFrom('t', 'u', 'x'.repeat(1000), '');
const value = fc.oneof(fc.constantFrom('', '1', 'x'.repeat(1500)), fc.string({ maxLength: 40, unit: 'binary-ascii' }));
const permission = fc.tuple(fc.constantFrom('n', 'r', 'w', 'b', 'q'), fc.constantFrom('0', '1', '2', '7', '-1', 'x'));
const permissions = fc.array(
  permission.map((parts) => parts.join('')),
  { minLength: 1, maxLength: 7 },
);

type Body = readonly [type: number, payload: string];
const strings = (...parts: readonly string[]): string => parts.map((part) => `${part}\0`).join('');
const { XS_WRITE, XS_WATCH, XS_UNWATCH, XS_SET_PERMS, XS_DIRECTORY_PART, XS_TRANSACTION_START, XS_TRANSACTION_END } =
  XsMessage;
const body: fc.Arbitrary<Body> = fc.oneof(
  fc
    .tuple(fc.constantFrom(XsMessage.XS_READ, XsMessage.XS_DIRECTORY, XsMessage.XS_GET_PERMS), path)
    .map(([type, at]): Body => [type, strings(at)]),
  fc.tuple(fc.constantFrom(XsMessage.XS_MKDIR, XsMessage.XS_RM), path).map(([type, at]): Body => [type, strings(at)]),
  fc.tuple(path, value).map(([at, to]): Body => [XS_WRITE, `${at}\0${to}`]),
  fc.tuple(path, permissions).map(([at, perms]): Body => [XS_SET_PERMS, strings(at, ...perms)]),
  fc
    .tuple(path, token, fc.constantFrom([], [], ['0'], ['1'], ['-1']))
    .map(([at, which, depth]): Body => [XS_WATCH, strings(at, which, ...depth)]),
  fc.tuple(path, token).map((parts): Body => [XS_UNWATCH, strings(...parts)]),
  fc.tuple(path, fc.nat(200)).map(([at, from]): Body => [XS_DIRECTORY_PART, strings(at, String(from))]),
  fc.constant<Body>([XS_TRANSACTION_START, '\0']),
  fc.constantFrom('T', 'T', 'F', 'X').map((verdict): Body => [XS_TRANSACTION_END, strings(verdict)]),
  fc
    .tuple(fc.nat(30), fc.string({ maxLength: 60, unit: 'binary-ascii' }))
    .map(([type, payload]): Body => [type, payload]),
);
const asked = fc.record({ ask: body, txId: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.nat(5)) });

/** What happens, in any order. */
const event = fc.oneof(
  { weight: 12, arbitrary: asked },
  { weight: 4, arbitrary: fc.constant('read' as const) },
  { weight: 3, arbitrary: fc.record({ secret: path, value: fc.constantFrom('1', '2') }) },
  { weight: 2, arbitrary: fc.record({ program: body }) },
  { weight: 1, arbitrary: fc.record({ pass: fc.constantFrom(1, 100, 21_000) }) },
  { weight: 1, arbitrary: fc.constantFrom('introduce' as const, 'target' as const) },
);
type Event = typeof event extends fc.Arbitrary<infer E> ? E : never;

class World {
  readonly hypervisor = new FakeHypervisor();
  readonly scheduler = new ManualScheduler();
  readonly clock = new ManualTimers();
  readonly xenstored = new Xenstored(this.hypervisor, { scheduler: this.scheduler, clock: this.clock });
  readonly xs = this.xenstored.client();
  readonly program = new StreamClient(this.xenstored);
  readonly domains: readonly FakeDomain[];
  guest: XenstoreFrontend;
  readonly other: XenstoreFrontend;
  /** Requests on their way: what the answer must say. */
  #open: { reqId: number; txId: number; type: number }[] = [];
  #reqId = 0;

  constructor() {
    const rings = [1, 2].map((domid) => {
      const domain = this.hypervisor.add(domid);
      const port = domain.allocUnbound();
      this.xs.write(`/local/domain/${domid}/data`, '');
      this.xs.setPerms(`/local/domain/${domid}`, `n${domid}`);
      this.xs.setPerms(`/local/domain/${domid}/data`, `n${domid}`);
      this.xenstored.introduceDomain(domid, 0, port);
      return { domain, ring: new XenstoreFrontend(domain, 0, port) };
    });
    this.domains = rings.map(({ domain }) => domain);
    const [guest, other] = rings.map(({ ring }) => ring);
    assert(guest && other);
    this.guest = guest;
    this.other = other;
    this.xs.write('/shared', '');
    this.xs.setPerms('/shared', 'b0');
    this.xs.write(`/secret/${SECRET}`, SECRET);
    this.xs.write(`/local/domain/2/${SECRET}`, SECRET);
    this.xs.setPerms(`/local/domain/2/${SECRET}`, 'n2');
  }

  act(event: Event): void {
    if (event === 'read') this.receive();
    else if (event === 'introduce') this.#introduceAgain();
    else if (event === 'target') this.xenstored.domains.setTarget(2, 1);
    else if ('ask' in event) this.#ask(event.ask, event.txId);
    else if ('program' in event) this.#asProgram(event.program);
    else if ('pass' in event) this.clock.pass(event.pass);
    else this.#hide(event.secret, event.value);
    this.scheduler.run();
    this.check();
  }

  check(): void {
    const session = this.xenstored.domains.session(1);
    assert(session);
    const { quotas, tree } = this.xenstored.store;
    assert.ok(session.memory <= quotas.memory + 10_000);
    assert.ok(session.outstanding.count <= quotas.outstanding);
    assert.ok(session.watches <= quotas.watches + 1 && session.transactions <= quotas.transactions + 1);
    assert.ok(tree.owned(1) <= quotas.nodes);
  }

  /** Takes what has come, and looks at it. */
  receive(): void {
    for (const message of this.guest.receive()) {
      const text = textOf(message.payload);
      assert.ok(!text.includes(SECRET), `the guest has read ${JSON.stringify(text)}`);
      if (message.type === XsMessage.XS_WATCH_EVENT) assert.deepEqual([message.reqId, message.txId], [0, 0]);
      else this.#answered(message, text);
    }
    this.scheduler.run();
  }

  end(): void {
    for (let i = 0; this.#open.length > 0; i++) {
      assert.ok(i < 1000, `${this.#open.length} requests without an answer`);
      this.clock.pass(1000);
      this.scheduler.run();
      this.receive();
    }
    assert.deepEqual(this.other.call('XS_WRITE', ['alive', '1']), ['OK']);
    assert.equal(this.program.call('XS_READ', '/tool/xenstored|'), 'xenolith');
    assert.deepEqual(inconsistencies(this.xenstored.store), []);
    for (const domid of [1, 2]) this.hypervisor.end(domid, 'gone');
    this.program.connection.end();
    assert.equal(this.xenstored.store.openTransactions, 0);
    assert.equal(this.clock.pending, 0);
    assert.deepEqual([this.xenstored.store.tree.owned(1), this.xenstored.store.tree.owned(2)], [0, 0]);
    this.xenstored.close();
  }

  #ask([type, payload]: Body, txId: number): void {
    const reqId = ++this.#reqId;
    const bytes = encodeMessage({ type, reqId, txId, payload: bytesOf(payload) });
    const piece = 1 + ((reqId * 7) % 90);
    for (let sent = 0, stuck = 0; sent < bytes.length;) {
      const count = this.guest.put(bytes.subarray(sent, sent + piece));
      sent += count;
      // A store that waits for the guest to read will not read from it.
      stuck = count === 0 ? stuck + 1 : 0;
      if (stuck > 0) this.receive();
      if (stuck > 5) this.clock.pass(1000);
      assert.ok(stuck < 100, 'the store does not read');
      this.guest.signal();
      this.scheduler.run();
      if (sent === bytes.length) this.#open.push({ reqId, txId, type });
    }
  }

  #answered(message: Message, text: string): void {
    const next = this.#open.shift() ?? { reqId: this.#reqId, txId: message.txId, type: message.type };
    assert.deepEqual([message.reqId, message.txId], [next.reqId, next.txId]);
    if (message.type !== XsMessage.XS_ERROR) assert.equal(message.type, next.type);
    else assert.ok((xsErrors as readonly string[]).includes(text.slice(0, -1)), text);
  }

  /** Domain 0 keeps something from the guest, wherever that is. */
  #hide(where: string, what: string): void {
    if (!where.startsWith('/') || where === '/' || !parsePath(where, 0)) return;
    const at = `${where}/${SECRET}`;
    this.xs.transaction((t) => {
      t.write(at, `${SECRET}${what}`);
      t.setPerms(at, 'n0');
      t.setPerms(where, 'n0');
    });
    this.xs.write(at, SECRET);
    this.xs.rm(at);
  }

  #asProgram([type, payload]: Body): void {
    // What is for domain 0 could give the guest rights, or end it.
    const harmless = type !== XS_SET_PERMS && type !== XsMessage.XS_RELEASE && type !== XsMessage.XS_CONTROL;
    if (harmless) this.program.callNumber(type, payload.replaceAll('|', ''));
    this.program.events();
  }

  /** As after a restore: everything that was under way is forgotten. */
  #introduceAgain(): void {
    this.receive();
    this.xenstored.introduceDomain(1, 0, 1);
    this.guest.restart();
    this.#open = [];
  }
}

describe('xenstore under fire', () => {
  it('serves a guest that sends anything, and keeps it within its bounds', () => {
    fc.assert(
      fc.property(fc.array(event, { minLength: 1, maxLength: 120, size: 'max' }), (events) => {
        const world = new World();
        for (const each of events) world.act(each);
        world.end();
      }),
      parameters,
    );
  });

  it('serves or hangs up on a program that sends any bytes, in pieces of any size', () => {
    const header = fc
      .record({ type: fc.nat(25), reqId: fc.nat(9), txId: fc.nat(3), payload: fc.uint8Array({ maxLength: 60 }) })
      .map(encodeMessage);
    const noise = fc.uint8Array({ minLength: 1, maxLength: 40 });
    const pieces = fc.array(fc.oneof({ weight: 6, arbitrary: header }, { weight: 1, arbitrary: noise }), {
      maxLength: 30,
    });
    fc.assert(
      fc.property(pieces, fc.integer({ min: 1, max: 50 }), (sent, size) => {
        const xenstored = new Xenstored(new FakeHypervisor());
        const [client, other] = [new StreamClient(xenstored), new StreamClient(xenstored)];
        const bytes = Buffer.concat(sent);
        for (let at = 0; at < bytes.length; at += size) client.connection.receive(bytes.subarray(at, at + size));
        client.connection.end();
        assert.deepEqual(inconsistencies(xenstored.store), []);
        assert.equal(xenstored.store.openTransactions, 0);
        assert.equal(other.call('XS_WRITE', '/alive|1'), 'OK|');
      }),
      parameters,
    );
  });
});
