import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ConsoleHost, textOf } from '../testing/console-host.ts';
import type { Pty } from './index.ts';

/** A terminal that takes so many bytes and no more until somebody reads. */
class FakePty implements Pty {
  readonly path = '/dev/pts/7';
  onInput: Pty['onInput'];
  onRoom: Pty['onRoom'];
  screen = '';
  room = Infinity;
  taking = true;
  closed = false;

  write(bytes: Uint8Array): number {
    const taken = Math.min(bytes.length, this.room);
    this.room -= taken;
    this.screen += Buffer.from(bytes.subarray(0, taken)).toString('latin1');
    return taken;
  }

  takeInput(taken: boolean): void {
    this.taking = taken;
  }

  close(): void {
    this.closed = true;
  }

  reads(room: number): void {
    this.room = room;
    this.onRoom?.();
  }
}

function withTerminal(): { host: ConsoleHost; pty: FakePty } {
  const pty = new FakePty();
  return { host: new ConsoleHost({ openPty: () => pty, tty: () => assert.fail('there is a terminal') }), pty };
}

describe('a console on a pseudo-terminal', () => {
  it('is named in xenstore, shows what is printed and passes on what is typed', async () => {
    const { host, pty } = withTerminal();
    const { front } = host.create(1, 'web');
    front.put('first words\n');
    host.console(1);
    assert.equal(host.xs.read('/local/domain/1/console/tty'), '/dev/pts/7');
    front.print('login: ');
    assert.equal(pty.screen, 'first words\nlogin: ');
    pty.onInput?.(Buffer.from('root\r'));
    assert.equal(pty.taking, false);
    assert.equal(front.take(), 'root\r');
    await Promise.resolve();
    await Promise.resolve();
    assert.equal(pty.taking, true);
  });

  it('keeps its place while nobody reads, and stops neither the guest nor others', () => {
    const { host, pty } = withTerminal();
    pty.room = 10;
    const { front } = host.create(1, 'web');
    const other = host.console(1).attach();
    const text = Array.from({ length: 2000 }, (_, i) => `line ${i}\n`).join('');
    front.print(text);
    assert.equal(textOf(other), text);
    assert.equal(pty.screen, text.slice(0, 10));
    for (const room of [1, 1000, Infinity]) pty.reads(room);
    assert.equal(pty.screen, text);
  });

  it('skips what is dropped beyond console/limit before it was read', () => {
    const { host, pty } = withTerminal();
    host.xs.write('/local/domain/1/console/limit', 20_000);
    pty.room = 0;
    const { front } = host.create(1, 'web');
    host.console(1);
    front.print('a'.repeat(100_000));
    front.print('the end');
    pty.reads(Infinity);
    assert.ok(pty.screen.endsWith('the end'));
    // What was on its way to the terminal is not taken back.
    assert.ok(pty.screen.length < 20_000 + 16 * 1024 + 2048 + 10, String(pty.screen.length));
  });

  it('lets who types wait for a guest that does not read', async () => {
    const { host, pty } = withTerminal();
    const { front } = host.create(1, 'web');
    host.console(1);
    pty.onInput?.(new Uint8Array(40_000).fill(97));
    await Promise.resolve();
    assert.equal(pty.taking, false);
    for (let i = 0; i < 100 && !pty.taking; i++) {
      front.take(1000);
      for (let turn = 0; turn < 5; turn++) await Promise.resolve();
    }
    assert.equal(pty.taking, true);
  });

  it('is closed with its domain after the last words, although nobody may read them', () => {
    const { host, pty } = withTerminal();
    const { front } = host.create(1, 'web');
    host.console(1);
    front.put('power down');
    host.hypervisor.end(1, 'gone');
    assert.deepEqual([pty.screen, pty.closed], ['power down', true]);
    const full = withTerminal();
    full.pty.room = 0;
    full.host.create(1, 'web').front.put('x');
    full.host.console(1);
    full.host.hypervisor.end(1, 'gone');
    assert.equal(full.pty.closed, true);
  });
});
