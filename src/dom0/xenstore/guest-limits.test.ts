import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { XenstoreDomainInterface } from '../../abi/io/xs-wire.ts';
import { FakeHypervisor, ManualScheduler } from '../testing/fake-hypervisor.ts';
import { XenstoreFrontend } from '../testing/xenstore-frontend.ts';
import type { Xenstore } from './client.ts';
import { inconsistencies } from './control.ts';
import type { Quotas } from './quota.ts';
import { Xenstored } from './xenstored.ts';

function guests(quotas: Partial<Quotas> = {}): { xs: Xenstore; xenstored: Xenstored; rings: XenstoreFrontend[] } {
  const hypervisor = new FakeHypervisor();
  const xenstored = new Xenstored(hypervisor, { quotas, scheduler: new ManualScheduler() });
  const xs = xenstored.client();
  const rings = [1, 2].map((domid) => {
    const domain = hypervisor.add(domid);
    xs.mkdir(`/local/domain/${domid}`);
    xs.setPerms(`/local/domain/${domid}`, `n${domid}`);
    const port = domain.allocUnbound();
    xenstored.introduceDomain(domid, 0, port);
    return new XenstoreFrontend(domain, 0, port);
  });
  return { xs, xenstored, rings };
}

describe('a guest in the store', () => {
  it('reads, lists and writes only what it may, and learns of nothing else', () => {
    const { xs, rings } = guests();
    const [ring] = rings;
    assert.ok(ring);
    xs.write('/secret/key', '1');
    xs.write('/local/domain/2/name', 'other');
    xs.write('/shared', '1');
    xs.setPerms('/shared', 'n0,r1');
    for (const path of ['/secret', '/secret/key', '/secret/nothing', '/local/domain/2/name', '/local/domain/2/none']) {
      assert.equal(ring.call('XS_READ', [path]), 'EACCES');
      assert.equal(ring.call('XS_DIRECTORY', [path]), 'EACCES');
      assert.equal(ring.call('XS_WRITE', [path, '1']), 'EACCES');
      assert.equal(ring.call('XS_RM', [path]), 'EACCES');
    }
    assert.deepEqual(ring.call('XS_READ', ['/shared']), ['1']);
    assert.equal(ring.call('XS_WRITE', ['/shared', '2']), 'EACCES');
    assert.equal(ring.call('XS_SET_PERMS', ['/shared', 'b1']), 'EACCES');
    assert.equal(ring.call('XS_READ', ['nothing']), 'ENOENT');
  });

  it('owns what it creates, and may share but not give it away', () => {
    const { xs, rings } = guests();
    const [one, two] = rings;
    assert.ok(one && two);
    xs.mkdir('/local/domain/1/device');
    xs.setPerms('/local/domain/1/device', 'n0,b1');
    one.call('XS_WRITE', ['device/x/y', '1']);
    assert.equal(xs.getPerms('/local/domain/1/device/x/y'), 'n1,b1');
    assert.equal(one.call('XS_SET_PERMS', ['device/x', 'n2']), 'EPERM');
    assert.deepEqual(one.call('XS_SET_PERMS', ['device/x', 'n1', 'r2']), ['OK']);
    assert.deepEqual(two.call('XS_DIRECTORY', ['/local/domain/1/device/x']), ['y']);
    assert.equal(two.call('XS_READ', ['/local/domain/1/device/x/y']), 'EACCES');
  });

  it('hears of changes to what it may read, and to nothing else', () => {
    const { xs, rings } = guests();
    const [ring] = rings;
    assert.ok(ring);
    ring.call('XS_WATCH', ['/', 'root']);
    ring.call('XS_WATCH', ['@releaseDomain', 'special']);
    ring.events();
    xs.write('/secret', '1');
    xs.rm('/secret');
    xs.write('/local/domain/2/name', 'x');
    xs.write('/local/domain/1/name', 'me');
    assert.deepEqual(ring.events(), [['/local/domain/1/name', 'root']]);
  });

  it('hears of special events once domain 0 lets it', () => {
    const { xs, xenstored, rings } = guests();
    const [ring] = rings;
    assert.ok(ring);
    ring.call('XS_WATCH', ['@releaseDomain', 'special']);
    ring.events();
    xs.setPerms('@releaseDomain', 'n0,r1');
    xenstored.releaseDomain(2);
    assert.deepEqual(ring.events(), [['@releaseDomain', 'special']]);
  });

  it('may not do what is for domain 0', () => {
    const [ring] = guests().rings;
    assert.ok(ring);
    assert.equal(ring.call('XS_INTRODUCE', ['3', '0', '1']), 'EACCES');
    assert.equal(ring.call('XS_RELEASE', ['2']), 'EACCES');
    assert.equal(ring.call('XS_RESUME', ['2']), 'EACCES');
    assert.equal(ring.call('XS_SET_TARGET', ['1', '2']), 'EACCES');
    assert.equal(ring.call('XS_CONTROL', ['check']), 'EACCES');
  });

  it('acts for the domain that domain 0 has made its target', () => {
    const { xenstored, rings } = guests();
    const [one, two] = rings;
    assert.ok(one && two);
    two.call('XS_WRITE', ['secret', '2']);
    assert.equal(one.call('XS_READ', ['/local/domain/2/secret']), 'EACCES');
    assert.equal(xenstored.domains.setTarget(1, 2), undefined);
    assert.deepEqual(one.call('XS_READ', ['/local/domain/2/secret']), ['2']);
  });

  it('may own so many nodes, also when it spreads them over transactions', () => {
    const { rings, xs } = guests({ nodes: 10 });
    const [ring] = rings;
    assert.ok(ring);
    for (let i = 1; i < 10; i++) assert.deepEqual(ring.call('XS_WRITE', [`n${i}`, '']), ['OK']); // and its own directory
    assert.equal(ring.call('XS_WRITE', ['more', '']), 'ENOSPC');
    for (const name of ['n1', 'n2']) assert.deepEqual(ring.call('XS_RM', [name]), ['OK']);
    const ids = [1, 2].map(() => Number(ring.call('XS_TRANSACTION_START', [''])[0]));
    for (const id of ids) assert.deepEqual(ring.call('XS_WRITE', [`tx${id}`, ''], id), ['OK']);
    assert.deepEqual(ring.call('XS_TRANSACTION_END', ['T'], ids[0]), ['OK']);
    assert.equal(ring.call('XS_TRANSACTION_END', ['T'], ids[1]), 'ENOSPC');
    xs.write('/local/domain/1/from-dom0', ''); // which is not limited
  });

  it('may make a node only so large, by its value, its permissions or its children', () => {
    const [ring] = guests().rings;
    assert.ok(ring);
    assert.deepEqual(ring.call('XS_WRITE', ['v', 'x'.repeat(2000)]), ['OK']);
    assert.equal(ring.call('XS_WRITE', ['v', 'x'.repeat(2048)]), 'ENOSPC');
    assert.equal(ring.call('XS_WRITE', ['w', 'x'.repeat(2048)]), 'ENOSPC');
    const entries = Array.from({ length: 6 }, (_, i) => (i === 0 ? 'n1' : `r${i}`));
    assert.equal(ring.call('XS_SET_PERMS', ['v', ...entries]), 'ENOSPC');
    ring.call('XS_MKDIR', ['d']);
    const outcomes = Array.from({ length: 30 }, (_, i) => ring.call('XS_MKDIR', [`d/${'n'.repeat(100)}${i}`]));
    assert.equal(outcomes.at(0)?.[0], 'OK');
    assert.equal(outcomes.at(-1), 'ENOSPC');
  });

  it('may have so many watches and transactions, and a transaction so many nodes', () => {
    const [ring] = guests({ watches: 3, transactions: 2, 'transaction-nodes': 5 }).rings;
    assert.ok(ring);
    const watches = [1, 2, 3, 4, 5].map((i) => ring.call('XS_WATCH', [`w${i}`, 't']));
    assert.deepEqual(watches.slice(3), [['OK'], 'E2BIG']);
    const starts = [1, 2, 3, 4].map(() => ring.call('XS_TRANSACTION_START', ['']));
    assert.deepEqual(starts, [['1'], ['2'], ['3'], 'ENOSPC']);
    const reads = [1, 2, 3, 4, 5, 6].map((i) => ring.call('XS_WRITE', [`n${i}`, ''], 1));
    assert.equal(reads.at(-1), 'ENOSPC');
    assert.deepEqual(ring.call('XS_RESET_WATCHES', ['']), ['OK']);
    assert.equal(ring.call('XS_TRANSACTION_END', ['T'], 1), 'ENOENT');
  });

  it('cannot disturb the store or another guest with whatever it writes into its ring page', () => {
    const at = XenstoreDomainInterface.at;
    const index = fc.constantFrom(at.req_cons, at.req_prod, at.rsp_cons, at.rsp_prod, at.connection, at.error);
    const value = fc.oneof(fc.nat(2100), fc.integer(), fc.constant(1));
    const bytes = fc.uint8Array({ minLength: 1, maxLength: 200 });
    const move = fc.oneof(fc.record({ index, value }), fc.record({ offset: fc.nat(2047), bytes }));
    fc.assert(
      fc.property(fc.array(move, { minLength: 5, maxLength: 60 }), (moves) => {
        const { rings, xs, xenstored } = guests();
        const [hostile, other] = rings;
        assert.ok(hostile && other);
        const words = new DataView(hostile.page.buffer, hostile.page.byteOffset, hostile.page.byteLength);
        for (const it of moves) {
          if ('index' in it) words.setInt32(it.index, it.value, true);
          else hostile.page.set(it.bytes, it.offset);
          hostile.signal();
          xs.write('/local/domain/1/changing', moves.indexOf(it));
        }
        assert.deepEqual(other.call('XS_WRITE', ['alive', '1']), ['OK']);
        assert.deepEqual(inconsistencies(xenstored.store), []);
      }),
      { numRuns: 200 },
    );
  });
});
