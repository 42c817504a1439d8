import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { formatted, type LogFormat } from './log-format.ts';

function logOf(format: LogFormat, ...pieces: readonly string[]): string {
  let text = '';
  const log = formatted(
    { write: (bytes) => (text += Buffer.from(bytes).toString('latin1')), close: () => undefined },
    format,
  );
  for (const piece of pieces) log.write(Buffer.from(piece, 'latin1'));
  return text;
}

describe('a log of a console', () => {
  it('has the bytes as they are unless something else is asked for', () => {
    assert.equal(logOf({}, 'a\r\n\x1b[0m', '\xff'), 'a\r\n\x1b[0m\xff');
  });

  it('can have a time stamp before each line, which may come in parts', () => {
    let second = 0;
    const stamp = (): string => `[${second++}] `;
    assert.equal(
      logOf({ stamp }, 'one\r\ntw', 'o\n\nfour', '\n'),
      '[0] Logfile Opened\n[1] one\r\n[1] two\n[2] \n[2] four\n',
    );
  });

  it('drops returns that follow the end of a line', () => {
    assert.equal(logOf({ stamp: () => '> ' }, 'a\n\r', '\rb\n'), '> Logfile Opened\n> a\n> b\n');
  });

  it('can have dots for escape characters', () => {
    assert.equal(logOf({ replaceEscape: true }, '\x1b[31mred\x1b[0m'), '.[31mred.[0m');
    assert.equal(logOf({ replaceEscape: true, stamp: () => '' }, '\x1bc\n'), 'Logfile Opened\n.c\n');
  });

  it('is the same however a guest cuts what it prints', () => {
    const text = fc.string({ unit: fc.constantFrom('a', '\n', '\r', '\x1b') });
    fc.assert(
      fc.property(fc.array(text), (pieces) => {
        const format = { stamp: () => '> ', replaceEscape: true };
        assert.equal(logOf(format, ...pieces), logOf(format, pieces.join('')));
      }),
    );
  });
});
