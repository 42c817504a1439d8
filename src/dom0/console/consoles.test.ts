import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { describe, it } from 'node:test';
import { ConsoleHost, textOf } from '../testing/console-host.ts';
import type { ConsoleClient } from './index.ts';

const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1');

describe('a PV console', () => {
  it('keeps what a guest printed while nobody watched, from its first line on', () => {
    const host = new ConsoleHost();
    const { front } = host.create(1, 'web');
    front.put('Linux version 6.1\r\n'); // before the daemon has noticed the domain
    const console = host.console(1);
    front.print('second line\r\n');
    assert.equal(textOf(console.attach()), 'Linux version 6.1\r\nsecond line\r\n');
  });

  it('tells a guest that may wait for room when there is some, and no other', () => {
    const host = new ConsoleHost();
    const { front, domain, port } = host.create(1, 'web');
    host.console(1);
    front.print('a line\r\n');
    assert.equal(domain.raised(port), 0);
    // Full, and looked at before the guest has signalled its second half.
    front.put('x'.repeat(1024));
    front.put('x'.repeat(1024));
    front.signal();
    assert.equal(domain.raised(port), 1);
    front.put('x'.repeat(1000));
    front.signal();
    front.put('x'.repeat(1048));
    front.signal();
    assert.equal(domain.raised(port), 1);
  });

  it('passes on more than the ring holds, in order, to every client', () => {
    const host = new ConsoleHost();
    const { front } = host.create(1, 'web');
    const console = host.console(1);
    const clients = [console.attach(), console.attach()];
    const text = Array.from({ length: 3000 }, (_, i) => `line ${i}\r\n`).join('');
    front.print(text);
    for (const client of clients) assert.equal(textOf(client), text);
  });

  it('works through index wrap-around', () => {
    const host = new ConsoleHost();
    const { front } = host.create(1, 'web');
    for (const index of ['in_cons', 'in_prod', 'out_cons', 'out_prod'] as const) front.setWord(index, 0xffffffff - 5);
    const client = host.console(1).attach();
    front.print('0123456789');
    void client.write(bytes('abcdefghij'));
    assert.equal(textOf(client), '0123456789');
    assert.equal(front.take(), 'abcdefghij');
  });

  it('types what several clients write, as fast as the guest takes it and without losing a byte', async () => {
    const host = new ConsoleHost();
    const { front } = host.create(1, 'web');
    const console = host.console(1);
    const long = 'x'.repeat(40_000);
    const done = console.attach().write(bytes(long));
    let taken = '';
    for (let i = 0; taken.length < long.length && i < 1000; i++) {
      taken += front.take(700);
      await Promise.resolve();
    }
    assert.equal(await done, true);
    assert.equal(taken, long);
    await Promise.all([console.attach().write(bytes('ab')), console.attach().write(bytes('cd'))]);
    assert.equal(front.take(), 'abcd');
  });

  it('holds no more typed bytes than its limit for a guest that never reads', async () => {
    const host = new ConsoleHost();
    host.create(1, 'web');
    const console = host.console(1);
    let accepted = 0;
    for (let i = 0; i < 100; i++) accepted += console.offer(new Uint8Array(1000));
    // The ring takes what fits, or waits until half of it is free.
    assert.ok(accepted > 512 + 16 * 1024 && accepted <= 1024 + 16 * 1024, String(accepted));
    const writing = console.attach().write(bytes('more'));
    host.hypervisor.end(1, 'gone');
    assert.equal(await writing, false);
  });

  it('is not misled by indices that lie, and listens again when they are mended', () => {
    const host = new ConsoleHost();
    const { front } = host.create(1, 'web');
    const client = host.console(1).attach();
    front.setWord('out_prod', 5000);
    front.setWord('in_cons', 77);
    front.signal();
    void client.write(bytes('lost?'));
    assert.equal(textOf(client), '');
    front.setWord('out_prod', 0);
    front.setWord('in_cons', 0);
    front.print('sane');
    assert.equal(textOf(client), 'sane');
    assert.equal(front.take(), 'lost?');
  });

  it('takes the last words of a domain that ends before anybody has looked', () => {
    const host = new ConsoleHost();
    const { front } = host.create(1, 'web');
    front.put('Kernel panic');
    host.hypervisor.end(1, 'shutdown'); // the watches have not fired yet
    assert.equal(textOf(host.consoles.get(1)?.attach() as ConsoleClient), 'Kernel panic');
    front.put(' - not syncing');
    host.hypervisor.end(1, 'dying');
    host.hypervisor.end(1, 'gone');
    host.scheduler.run();
    assert.equal(host.consoles.get(1), undefined);
    assert.equal(Buffer.from(host.consoles.scrollBack('web')?.read(0) ?? []).toString(), 'Kernel panic - not syncing');
  });

  it('goes on with the log of the same name after a reboot, and ends the clients of the old domain', async () => {
    const written: string[] = [];
    let open = 0;
    const openLog = (name: string) => {
      open++;
      return {
        write: (b: Uint8Array) => void written.push(`${name}: ${Buffer.from(b).toString()}`),
        close: () => void open--,
      };
    };
    const host = new ConsoleHost({ openLog });
    const first = host.create(1, 'web');
    const old = host.console(1).attach();
    const seen = (async () => {
      let text = '';
      for await (const piece of old) text += Buffer.from(piece).toString();
      return text;
    })();
    first.front.print('first boot\n');
    host.hypervisor.end(1, 'gone');
    const second = host.create(2, 'web');
    const console = host.console(2);
    second.front.print('second boot\n');
    assert.equal(await seen, 'first boot\n');
    assert.equal(textOf(console.attach('log')), 'first boot\nsecond boot\n');
    assert.equal(textOf(console.attach('domain')), 'second boot\n');
    assert.equal(textOf(console.attach('now')), '');
    assert.deepEqual(written, ['web: first boot\n', 'web: second boot\n']);
    assert.equal(open, 1);
  });

  it('drops the oldest output beyond its capacity, and tells a client that was too slow how much it missed', () => {
    const host = new ConsoleHost();
    host.xs.write('/local/domain/1/console/limit', 100_000);
    const { front } = host.create(1, 'web');
    const client = host.console(1).attach();
    const text = Array.from({ length: 300_000 }, (_, i) => String.fromCharCode(97 + (i % 26))).join('');
    front.print(text);
    const seen = textOf(client);
    assert.ok(seen.length >= 100_000 && seen.length < 120_000);
    assert.equal(client.skipped + seen.length, text.length);
    assert.ok(text.endsWith(seen));
  });

  it('says in xenstore how to reach the console', () => {
    const host = new ConsoleHost({ tty: (console) => `/run/console-${console.domid}` });
    host.create(7, 'web');
    host.console(7);
    assert.equal(host.xs.read('/local/domain/7/console/tty'), '/run/console-7');
  });

  it('lets others have their turn while a guest prints without end', () => {
    const host = new ConsoleHost();
    const { front } = host.create(1, 'web');
    const console = host.console(1);
    let refills = 0;
    const endless = console.attach('now');
    const append = console.log.append.bind(console.log);
    console.log.append = (piece) => {
      append(piece);
      if (refills++ < 200) front.put('z'.repeat(2048)); // the guest refills the ring at once
    };
    front.put('z'.repeat(2048));
    front.signal();
    assert.ok(refills < 50);
    host.scheduler.run();
    assert.equal(textOf(endless).length, 201 * 2048);
  });

  it('ends although the guest prints as fast as it is read', () => {
    const host = new ConsoleHost();
    const { front } = host.create(1, 'web');
    const console = host.console(1);
    const append = console.log.append.bind(console.log);
    let refills = 0;
    console.log.append = (piece) => {
      append(piece);
      if (refills++ < 10_000) front.put('z'.repeat(2048));
    };
    front.put('z');
    host.consoles.close();
    assert.equal(console.ended, true);
    assert.ok(refills < 100);
  });

  it('is waited for through the coming of others, and leaves nothing at the signal', async () => {
    const host = new ConsoleHost();
    const { signal } = new AbortController();
    const waiting = host.consoles.whenServed(3, 0, { signal });
    for (let domid = 1; domid <= 3; domid++) {
      host.create(domid, `g${domid}`);
      host.console(domid);
      await new Promise(setImmediate);
      assert.equal(getEventListeners(signal, 'abort').length, domid < 3 ? 1 : 0);
    }
    assert.equal(await waiting, host.consoles.get(3));
    const over = new AbortController();
    const never = host.consoles.whenServed(9, 0, { signal: over.signal });
    over.abort(new Error('enough'));
    await assert.rejects(never, /enough/);
  });

  it('keeps the logs of only so many guests that are gone', () => {
    const host = new ConsoleHost({ keepEnded: 2 });
    for (let domid = 1; domid <= 4; domid++) {
      host.create(domid, `g${domid}`);
      host.console(domid);
      host.hypervisor.end(domid, 'gone');
    }
    assert.deepEqual(
      [1, 2, 3, 4].map((i) => host.consoles.scrollBack(`g${i}`) !== undefined),
      [false, false, true, true],
    );
  });
});
