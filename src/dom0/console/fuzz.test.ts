/** Guests that write anything into their console's page, and people who come, type, read slowly and go, in any order. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { XenconsInterface } from '../../abi/io/console.ts';
import { fuzz } from '../../abi/testing/fuzz.ts';
import { ConsoleHost, textOf } from '../testing/console-host.ts';
import type { ConsoleClient, Pty } from './index.ts';

const letters = 'abcdefghijklmnopqrstuvwxyz';
const textOfLength = (length: number, from: number): string =>
  Array.from({ length }, (_, i) => letters[(from + i) % letters.length]).join('');

type Move =
  | { readonly kind: 'print' | 'read' | 'type' | 'room'; readonly count: number }
  | { readonly kind: 'attach' | 'look' | 'detach'; readonly who: number };
const move: fc.Arbitrary<Move> = fc.oneof(
  fc.record({ kind: fc.constantFrom('print', 'read', 'type', 'room'), count: fc.nat(3000) }),
  fc.record({ kind: fc.constantFrom('attach', 'look', 'detach'), who: fc.nat(3) }),
);

/** A terminal whose reader takes so much at a time. */
class SlowPty implements Pty {
  readonly path = '/dev/pts/0';
  onInput: Pty['onInput'];
  onRoom: Pty['onRoom'];
  seen = '';
  room = 0;

  write(bytes: Uint8Array): number {
    const taken = Math.min(this.room, bytes.length);
    this.room -= taken;
    this.seen += Buffer.from(bytes.subarray(0, taken)).toString('latin1');
    return taken;
  }

  takeInput(): void {
    // Nobody types at it here.
  }

  close(): void {
    this.room = 0;
  }
}

describe('a console under fire', () => {
  it('loses and invents no byte, however guest and people take turns', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(move, { maxLength: 60, size: 'max' }), async (moves) => {
        const pty = new SlowPty();
        const host = new ConsoleHost({ openPty: () => pty });
        const { front } = host.create(1, 'web');
        const console = host.console(1);
        const clients: ({ client: ConsoleClient; seen: string } | undefined)[] = [];
        let printed = '';
        let typed = '';
        let arrived = '';
        const typing: Promise<boolean>[] = [];
        for (const each of moves) {
          switch (each.kind) {
            case 'print': {
              const text = textOfLength(each.count, printed.length);
              printed += text.slice(0, front.put(text));
              front.signal();
              break;
            }
            case 'read':
              arrived += front.take(each.count);
              break;
            case 'type': {
              const text = textOfLength(each.count, typed.length);
              typed += text;
              // One after the other, as from one person: the next piece waits for the last.
              const before = typing.at(-1) ?? Promise.resolve(true);
              const client = console.attach('now');
              typing.push(before.then(() => client.write(Buffer.from(text, 'latin1'))));
              break;
            }
            case 'room':
              pty.room += each.count;
              pty.onRoom?.();
              break;
            case 'attach':
              clients[each.who] ??= { client: console.attach(), seen: '' };
              break;
            case 'look': {
              const looking = clients[each.who];
              if (looking) looking.seen += textOf(looking.client);
              break;
            }
            case 'detach':
              clients[each.who]?.client.detach();
              clients[each.who] = undefined;
          }
          host.scheduler.run();
          await Promise.resolve();
        }
        for (let i = 0; arrived.length < typed.length && i < 1000; i++) {
          arrived += front.take();
          await new Promise((resolve) => setImmediate(resolve));
        }
        assert.equal(arrived, typed);
        assert.ok((await Promise.all(typing)).every(Boolean));
        for (const each of clients) if (each) assert.equal(each.seen + textOf(each.client), printed);
        assert.ok(printed.startsWith(pty.seen));
        pty.room = Infinity;
        pty.onRoom?.();
        assert.equal(pty.seen, printed);
        host.hypervisor.end(1, 'gone');
      }),
      fuzz(100),
    );
  });

  it('harms nobody, whatever a guest writes into its page and xenstore says of it', () => {
    const at = XenconsInterface.at;
    const index = fc.constantFrom(at.in_cons, at.in_prod, at.out_cons, at.out_prod);
    const value = fc.oneof(fc.nat(3000), fc.integer(), fc.constantFrom(-1, -2049, 0x7fffffff));
    const key = fc.constantFrom('ring-ref', 'port', 'limit', 'type', 'tty');
    const text = fc.constantFrom(
      '',
      '0',
      '-1',
      '3',
      '2',
      '1',
      '99',
      '1e9',
      '0x3',
      'x',
      'NaN',
      'xenconsoled',
      '1048576',
    );
    const poke = fc.oneof(
      { weight: 6, arbitrary: fc.record({ index, value }) },
      { weight: 1, arbitrary: fc.record({ key, text }) },
    );
    fc.assert(
      fc.property(fc.array(poke, { minLength: 1, maxLength: 40 }), (moves) => {
        const host = new ConsoleHost();
        const hostile = host.create(1, 'hostile');
        const { front } = host.create(2, 'other');
        const console = host.console(1);
        const other = host.console(2).attach();
        const { page } = hostile.front;
        const words = new DataView(page.buffer, page.byteOffset, page.byteLength);
        for (const each of moves) {
          if ('key' in each) host.xs.write(`/local/domain/1/console/${each.key}`, each.text);
          else words.setInt32(each.index, each.value, true);
          hostile.front.signal();
          host.scheduler.run();
          console.offer(new Uint8Array(100));
        }
        assert.ok(console.log.scrollBack.end - console.log.scrollBack.start <= 17 * 1024 * 1024);
        front.print('alive');
        assert.equal(textOf(other), 'alive');
        host.hypervisor.end(1, 'gone');
        host.hypervisor.end(2, 'gone');
        assert.equal(other.ended, true);
      }),
      fuzz(100),
    );
  });
});
