import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FakeHypervisor, ManualScheduler } from '../testing/fake-hypervisor.ts';
import { Xenstored, type Xenstore } from './index.ts';

function store(onError?: (error: unknown) => void): { xs: Xenstore; other: Xenstore; scheduler: ManualScheduler } {
  const scheduler = new ManualScheduler();
  const hypervisor = new FakeHypervisor();
  hypervisor.add(1);
  const xenstored = new Xenstored(hypervisor, { scheduler, ...(onError ? { onError } : {}) });
  return { xs: xenstored.client(), other: xenstored.client(), scheduler };
}

describe('the in-process client', () => {
  it('reads back what was written, text, numbers and bytes, and undefined where nothing is', () => {
    const { xs } = store();
    xs.write('/n', 42);
    xs.write('/t', 'Grüße');
    xs.write('/b', Uint8Array.of(0, 255));
    assert.deepEqual([xs.read('/n'), xs.read('/t'), xs.read('/none')], ['42', 'Grüße', undefined]);
    assert.deepEqual(xs.readBytes('/b'), Uint8Array.of(0, 255));
    assert.deepEqual([xs.exists('/n'), xs.exists('/none'), xs.ls('/none')], [true, false, undefined]);
    xs.rm('/none/below/nothing');
    assert.throws(() => xs.read('no//good'), { code: 'EINVAL' });
    assert.throws(() => xs.setPerms('/n', 'q1'), { code: 'EINVAL' });
    assert.throws(() => xs.setPerms('/none', 'n1'), { code: 'ENOENT' });
  });

  it('keeps a value when the caller changes its bytes afterwards', () => {
    const { xs } = store();
    const bytes = Uint8Array.of(1);
    xs.write('/b', bytes);
    bytes[0] = 2;
    assert.deepEqual(xs.readBytes('/b'), Uint8Array.of(1));
  });

  it('calls a watch back later, once for changes that came together, with paths as it was asked', () => {
    const { xs, scheduler } = store();
    const seen: string[] = [];
    const stop = xs.watch('backend', (path) => seen.push(path));
    assert.deepEqual(seen, []);
    scheduler.run();
    xs.write('/local/domain/0/backend/x', 1);
    xs.write('/local/domain/0/backend/x', 2);
    assert.deepEqual(seen.splice(0), ['backend']);
    scheduler.run();
    assert.deepEqual(seen.splice(0), ['backend/x']);
    xs.write('/local/domain/0/backend/x', 3);
    stop();
    scheduler.run();
    assert.deepEqual(seen, []);
  });

  it('goes on when a callback throws, and says so', () => {
    const errors: unknown[] = [];
    const { xs, scheduler } = store((error) => errors.push(error));
    let called = 0;
    xs.watch('/a', () => {
      throw new Error('backend');
    });
    xs.watch('/a', () => called++);
    scheduler.run();
    assert.equal(called, 1);
    assert.match(String(errors[0]), /backend/);
  });

  it('lets a callback change the store, other watches and its own', () => {
    const { xs, scheduler } = store();
    const seen: string[] = [];
    const stop = xs.watch('/a', () => {
      seen.push('a');
      xs.write('/b', seen.length);
      stop();
    });
    xs.watch('/b', () => seen.push('b'));
    scheduler.run();
    xs.write('/a', 1);
    scheduler.run();
    assert.deepEqual(seen, ['a', 'b', 'b']);
  });

  it('does all of a transaction or, when its body throws, nothing', () => {
    const { xs } = store();
    const result = xs.transaction((t) => {
      t.write('/a/b', 1);
      t.setPerms('/a/b', 'n1,r0');
      assert.equal(xs.exists('/a'), false);
      return t.ls('/a');
    });
    assert.deepEqual([result, xs.getPerms('/a/b')], [['b'], 'n1,r0']);
    assert.throws(() =>
      xs.transaction((t) => {
        t.rm('/a');
        throw new Error('no');
      }),
    );
    assert.equal(xs.read('/a/b'), '1');
  });

  it('runs the body of an asynchronous transaction again when others got in between', async () => {
    const { xs, other } = store();
    xs.write('/counter', 1);
    let runs = 0;
    await xs.transactionAsync(async (t) => {
      const value = Number(t.read('/counter'));
      if (runs++ === 0) other.write('/counter', 10);
      await Promise.resolve();
      t.write('/counter', value + 1);
    });
    assert.deepEqual([runs, xs.read('/counter')], [2, '11']);
  });

  it('waits until a node is as it should be, or until it is told to stop', async () => {
    const { xs, scheduler } = store();
    const connected = xs.until('/state', (value) => (value === '4' ? 'connected' : undefined));
    const control = new AbortController();
    const never = xs.until('/never', (value) => value, { signal: control.signal });
    scheduler.run();
    xs.write('/state', 4);
    scheduler.run();
    assert.equal(await connected, 'connected');
    control.abort(new Error('too long'));
    await assert.rejects(never, /too long/);
  });

  it('has the rights of the domain that it stands for', () => {
    const xenstored = new Xenstored(new FakeHypervisor());
    const guest = xenstored.client({ domid: 5, privileged: false });
    assert.throws(() => guest.read('/tool/xenstored'), { code: 'EACCES' });
    assert.throws(() => guest.write('data', 1), { code: 'EACCES' });
  });
});
