import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  XENSTORE_ERROR_NONE,
  XENSTORE_ERROR_PROTO,
  XENSTORE_ERROR_RINGIDX,
  XENSTORE_RECONNECT,
  XsdSockmsg,
  XsMessage,
} from '../../abi/io/xs-wire.ts';
import { FakeHypervisor, ManualScheduler, type FakeDomain } from '../testing/fake-hypervisor.ts';
import { XenstoreFrontend } from '../testing/xenstore-frontend.ts';
import type { Xenstore } from './client.ts';
import type { Quotas } from './quota.ts';
import { encodeMessage, joinStrings } from './wire.ts';
import { Xenstored } from './xenstored.ts';

interface Guest {
  hypervisor: FakeHypervisor;
  domain: FakeDomain;
  port: number;
  xenstored: Xenstored;
  xs: Xenstore;
  scheduler: ManualScheduler;
  ring: XenstoreFrontend;
}

/** Domain 1, introduced as the toolstack does it, with its directories. */
function guest(quotas: Partial<Quotas> = {}): Guest {
  const hypervisor = new FakeHypervisor();
  const domain = hypervisor.add(1);
  const scheduler = new ManualScheduler();
  const xenstored = new Xenstored(hypervisor, { scheduler, quotas });
  const xs = xenstored.client();
  xs.mkdir('/local/domain/1');
  xs.setPerms('/local/domain/1', 'n0,r1');
  for (const path of ['device', 'control', 'memory']) {
    xs.mkdir(`/local/domain/1/${path}`);
    xs.setPerms(`/local/domain/1/${path}`, 'n0,r1');
  }
  for (const path of ['data', 'control/shutdown']) {
    xs.write(`/local/domain/1/${path}`, '');
    xs.setPerms(`/local/domain/1/${path}`, 'n1');
  }
  const port = domain.allocUnbound();
  xenstored.introduceDomain(1, 2, port);
  return { hypervisor, domain, port, xenstored, xs, scheduler, ring: new XenstoreFrontend(domain, 2, port) };
}

describe("a guest's xenstore ring", () => {
  it('announces reconnection, the error field and watches with a depth, and says that it is connected', () => {
    const { ring } = guest();
    assert.deepEqual([ring.word('server_features'), ring.word('connection'), ring.word('error')], [7, 0, 0]);
  });

  it('begins anew when the domain is introduced again', () => {
    const { ring, xenstored, domain, port } = guest();
    ring.call('XS_WATCH', ['data', 't']);
    const id = Number(ring.call('XS_TRANSACTION_START', [''])[0]);
    xenstored.introduceDomain(1, 2, port);
    assert.equal(domain.isBound(port), true);
    assert.deepEqual([ring.word('req_prod'), ring.word('req_cons'), ring.word('rsp_prod')], [0, 0, 0]);
    assert.equal(ring.call('XS_TRANSACTION_END', ['T'], id), 'ENOENT');
    assert.equal(ring.call('XS_UNWATCH', ['data', 't']), 'ENOENT');
  });

  it('serves what a Linux domU asks for while it boots', () => {
    const { ring, xs } = guest();
    const events: string[][] = [];
    assert.deepEqual(ring.call('XS_DIRECTORY', ['device']), []);
    assert.deepEqual(ring.call('XS_WATCH', ['control/shutdown', 'T1'], 0, events), ['OK']);
    assert.deepEqual(ring.call('XS_WATCH', ['device', 'T2'], 0, events), ['OK']);
    assert.deepEqual(events, [
      ['control/shutdown', 'T1'],
      ['device', 'T2'],
    ]);
    const id = Number(ring.call('XS_TRANSACTION_START', [''])[0]);
    assert.deepEqual(ring.call('XS_READ', ['control/shutdown'], id), []); // an empty value
    assert.deepEqual(ring.call('XS_TRANSACTION_END', ['T'], id), ['OK']);
    assert.equal(ring.call('XS_WRITE', ['device/vbd/51712/state'], 0), 'EACCES');
    xs.write('/local/domain/1/control/shutdown', 'poweroff');
    assert.deepEqual(ring.events(), [['control/shutdown', 'T1']]);
    assert.deepEqual(ring.call('XS_READ', ['control/shutdown']), ['poweroff']);
    assert.deepEqual(ring.call('XS_GET_DOMAIN_PATH', ['1']), ['/local/domain/1']);
  });

  it('finds the rest of a request that came without a signal while it took the beginning', (t) => {
    const { ring } = guest();
    const request = encodeMessage({
      type: XsMessage.XS_DIRECTORY,
      reqId: 7,
      txId: 0,
      payload: joinStrings(['device']),
    });
    ring.put(request.subarray(0, XsdSockmsg.size));
    const { store } = Atomics;
    // Linux signals only when the consumer's index had reached its own (xb_write): here it has not yet.
    t.mock.method(Atomics, 'store', (...values: Parameters<typeof store>) => {
      t.mock.restoreAll();
      ring.put(request.subarray(XsdSockmsg.size));
      return store(...values);
    });
    ring.signal();
    assert.equal(ring.word('req_cons'), ring.word('req_prod'));
    assert.deepEqual(
      [...ring.receive()].map(({ reqId }) => reqId),
      [7],
    );
  });

  it('takes a request in pieces and sends a reply larger than the ring', () => {
    const { ring, xs, domain } = guest();
    const value = 'x'.repeat(3000);
    xs.write('/local/domain/1/data', value);
    const request = encodeMessage({ type: XsMessage.XS_READ, reqId: 7, txId: 0, payload: joinStrings(['data']) });
    for (const byte of request) ring.send(Uint8Array.of(byte));
    const [reply] = [...ring.receive()];
    assert.equal(reply?.reqId, 7);
    assert.equal(reply.payload.length, value.length);
    assert.ok(domain.raised(1) > 0);
  });

  it('keeps working when the indices wrap around 2^32', () => {
    const hypervisor = new FakeHypervisor();
    const domain = hypervisor.add(1);
    const port = domain.allocUnbound();
    const ring = new XenstoreFrontend(domain, 1, port);
    for (const field of ['req_cons', 'req_prod', 'rsp_cons', 'rsp_prod'] as const) ring.setWord(field, 0xfffffff0);
    new Xenstored(hypervisor).introduceDomain(1, 1, port);
    for (let i = 0; i < 5; i++) assert.deepEqual(ring.call('XS_GET_DOMAIN_PATH', ['1']), ['/local/domain/1']);
    assert.ok(ring.word('req_prod') < 0x1000);
  });

  it('stops serving a guest whose request index lies, and starts anew when it asks to reconnect', () => {
    const { ring, xs, domain } = guest();
    ring.call('XS_WATCH', ['data', 'old']);
    ring.setWord('req_prod', ring.word('req_cons') + 1025);
    ring.signal();
    assert.equal(ring.word('error'), XENSTORE_ERROR_RINGIDX);
    xs.write('/local/domain/1/data', '1'); // goes nowhere, harms nobody
    ring.setWord('connection', XENSTORE_RECONNECT);
    domain.raised(1);
    ring.restart();
    ring.signal();
    assert.deepEqual([ring.word('connection'), ring.word('error')], [0, XENSTORE_ERROR_NONE]);
    assert.equal(domain.raised(1), 1);
    assert.deepEqual(ring.call('XS_READ', ['data']), ['1']);
    xs.write('/local/domain/1/data', '2');
    assert.deepEqual(ring.events(), []);
  });

  it('stops serving a guest whose reply index lies', () => {
    const { ring } = guest();
    ring.setWord('rsp_cons', ring.word('rsp_prod') + 1);
    ring.send(encodeMessage({ type: XsMessage.XS_READ, reqId: 1, txId: 0, payload: joinStrings(['name']) }));
    assert.equal(ring.word('error'), XENSTORE_ERROR_RINGIDX);
  });

  it('refuses a payload that is too long', () => {
    const { ring } = guest();
    const header = new Uint8Array(16);
    XsdSockmsg.write(new DataView(header.buffer), 0, { type: XsMessage.XS_READ, req_id: 1, tx_id: 0, len: 4097 });
    ring.send(header);
    assert.equal(ring.word('error'), XENSTORE_ERROR_PROTO);
  });

  it('reads no further while a guest does not fetch its replies, and gives up none of them', () => {
    const { ring } = guest({ outstanding: 3 });
    const request = (reqId: number) =>
      encodeMessage({ type: XsMessage.XS_GET_DOMAIN_PATH, reqId, txId: 0, payload: joinStrings(['1']) });
    // Replies of 32 bytes fill the ring of 1024 after 32 of them; three more wait, and then requests do.
    let sent = 0;
    while (ring.put(request(sent)) === request(sent).length) {
      ring.signal();
      sent++;
    }
    assert.ok(sent > 35 && sent < 100, `took ${sent}`);
    const ids = [...ring.receive()].map((message) => message.reqId);
    assert.deepEqual(
      ids.slice(0, sent),
      Array.from({ length: sent }, (_, i) => i),
    );
  });

  it('does not queue a watch event twice', () => {
    const { ring, xs } = guest();
    ring.call('XS_WATCH', ['/local/domain/1', 'token']);
    for (let i = 0; i < 1000; i++) xs.write('/local/domain/1/data', i);
    assert.ok(ring.events().length < 40);
  });

  it('leaves the rest of a long queue of requests for later, so that others get their turn', () => {
    const { ring, scheduler } = guest({ outstanding: 1000 });
    const one = encodeMessage({ type: XsMessage.XS_WATCH_EVENT, reqId: 1, txId: 0, payload: new Uint8Array(0) });
    for (let i = 0; i < 64; i++) assert.equal(ring.put(one), 16);
    ring.signal();
    const served = ring.word('req_cons') / 16;
    assert.equal(served, 64);
    scheduler.run();
    assert.ok([...ring.receive()].every((message) => message.type === XsMessage.XS_ERROR));
  });
});

describe("a domain's life as the store sees it", () => {
  it('fires @introduceDomain and @releaseDomain for domain 0, and once for each end', () => {
    const { hypervisor, xs, scheduler, xenstored, domain } = guest();
    const seen: string[] = [];
    xs.watch('@introduceDomain', (path) => seen.push(path));
    xs.watch('@releaseDomain', (path) => seen.push(path));
    scheduler.run();
    seen.length = 0;
    hypervisor.add(2);
    xenstored.introduceDomain(2, 0, (hypervisor.domain(2) as FakeDomain).allocUnbound());
    scheduler.run();
    assert.deepEqual(seen.splice(0), ['@introduceDomain']);
    hypervisor.end(1, 'shutdown');
    hypervisor.end(1, 'shutdown');
    scheduler.run();
    assert.deepEqual(seen.splice(0), ['@releaseDomain']);
    assert.equal(domain.isBound(1), true);
    hypervisor.end(1, 'dying');
    hypervisor.end(1, 'gone');
    scheduler.run();
    assert.deepEqual(seen.splice(0), ['@releaseDomain']);
    assert.equal(domain.isBound(1), false);
    assert.equal(xenstored.domains.isIntroduced(1), false);
  });

  it('takes the dead domain out of all permissions, and what it owned out of the store', () => {
    const { hypervisor, xs, scheduler } = guest();
    xs.mkdir('/backend/1');
    xs.setPerms('/backend/1', 'n0,r1,b2');
    const seen: string[] = [];
    xs.watch('/local/domain/1/data', (path) => seen.push(path));
    scheduler.run();
    hypervisor.end(1, 'gone');
    scheduler.run();
    assert.equal(xs.getPerms('/backend/1'), 'n0,b2');
    assert.equal(xs.getPerms('/local/domain/1'), 'n0');
    assert.deepEqual(xs.ls('/local/domain/1'), ['control', 'device', 'memory']);
    assert.deepEqual(seen, ['/local/domain/1/data', '/local/domain/1/data']);
  });

  it('refuses to introduce domain 0, a frame or a port that does not exist', () => {
    const { xenstored, hypervisor } = guest();
    hypervisor.add(2);
    for (const [domid, mfn, port] of [
      [0, 0, 1],
      [2, 99, 1],
      [2, 0, 9],
      [3, 0, 1],
    ] as const) {
      assert.throws(() => xenstored.introduceDomain(domid, mfn, port), { code: 'EINVAL' });
    }
  });
});
