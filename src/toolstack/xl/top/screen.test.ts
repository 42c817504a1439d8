import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { HostStatistics } from '../../daemon/statistics-protocol.ts';
import { keysOf, press, type Key, type TopState } from './keys.ts';
import { NameWidth } from './report.ts';
import { screen } from './screen.ts';

const start: TopState = {
  view: { vcpus: false, networks: false, disks: false, repeatHeader: false, fullName: false, sort: 0, skip: 0 },
  delaySeconds: 3,
  answer: undefined,
};
const typed = (...keys: readonly Key[]): TopState | undefined =>
  keys.reduce<TopState | undefined>((state, key) => state && press(state, key), start);

describe('the keys of xl top', () => {
  it('are read from what a terminal sends, also several at a time', () => {
    assert.deepEqual(keysOf('nV\x1b[A\x1bOB\x7f\r'), ['n', 'V', 'up', 'down', 'backspace', 'enter']);
    assert.deepEqual(keysOf('\x1b'), ['escape']);
    assert.deepEqual(keysOf('\x1b[15~\x1b[1;5C\x1bOPx\x03'), ['x', 'interrupt']);
  });

  it('switch parts of the view on and off, choose the order and scroll', () => {
    assert.deepEqual(typed('n', 'B', 'v', 'R', 'b')?.view, {
      ...start.view,
      networks: true,
      vcpus: true,
      repeatHeader: true,
    });
    assert.equal(typed('s', 'S')?.view.sort, 2);
    assert.equal(typed(...Array<Key>(19).fill('s'))?.view.sort, 0);
    assert.equal(typed('up', 'down', 'down', 'up')?.view.skip, 1);
    assert.deepEqual(typed('z', ' ', 'enter', 'backspace'), start);
    for (const key of ['q', 'Q', 'escape', 'interrupt']) assert.equal(typed(key), undefined);
  });

  it('ask for the delay, and take back what was typed', () => {
    assert.equal(typed('d', '1', '2', 'backspace', '5')?.answer, '15');
    assert.deepEqual(typed('d', '1', '2', 'backspace', '5', 'enter'), { ...start, delaySeconds: 15 });
    for (const wrong of [['0'], ['x'], ['-', '1']]) assert.deepEqual(typed('d', ...wrong, 'enter'), start);
    assert.deepEqual(typed('d', '9', 'escape'), start);
    assert.equal(typed('d', ...Array<Key>(200).fill('1'))?.answer?.length, 79);
  });
});

const host: HostStatistics = {
  xenVersion: '4.17.7',
  nrCpus: 1,
  cpuKhz: 1e6,
  totalKiB: 1 << 20,
  freeKiB: 0,
  domains: Array.from({ length: 40 }, (_, domid) => ({
    ...{ domid, name: `d\x1b[2J${domid}`, running: true, blocked: false, paused: false, shutdown: false, dying: false },
    ...{ shutdownReason: 0, cpuTimeNs: 0, memKiB: 1, maxMemKiB: 1, vcpus: [], nics: [], disks: [] },
  })),
};

/** The rows that a terminal would show, by a reading of the sequences that are used. */
function shown(text: string, columns: number, rows: number): string[] {
  const cells = Array.from({ length: rows }, () => Array<string>(columns).fill(' '));
  let [row, column] = [0, 0];
  for (const [, at, line, col, erase, shape, char] of text.matchAll(
    /\x1b\[(?:((\d+);(\d+)H)|([KJ])|([\d;]*m))|([^\x1b])/g,
  )) {
    if (at !== undefined) [row, column] = [Number(line) - 1, Number(col) - 1];
    else if (char !== undefined) {
      const target = cells[row];
      assert.ok(target && column < columns, `outside the screen: ${row};${column}`);
      target[column++] = char;
    } else assert.ok(erase !== undefined || shape !== undefined);
  }
  return cells.map((line) => line.join('').trimEnd());
}

describe('the screen of xl top', () => {
  const sample = { host, before: undefined, secondsBetween: 0 };
  const draw = (state: TopState, columns: number, rows: number): string[] =>
    shown(screen(sample, state, { columns, rows }, new NameWidth(), new Date(0)), columns, rows);

  it('has the summary above, domains as far as they fit, and the keys below', () => {
    const rows = draw(start, 200, 24);
    assert.match(rows[0] ?? '', /^xentop - \d\d:\d\d:\d\d {3}Xen 4\.17\.7$/);
    assert.match(rows[3] ?? '', /^ {6}NAME {2}STATE/);
    assert.equal(rows.length, 24);
    assert.match(rows[22] ?? '', /-----r/);
    assert.equal(rows[23], '  Delay  Networks  vBds  VCPUs  Repeat header  Sort order  Quit');
  });

  it('goes on in the next row where a terminal is narrow, and stays within a small one', () => {
    const rows = draw(start, 80, 24);
    assert.equal(rows[3]?.length, 80);
    assert.match(rows[4] ?? '', /^ NETS NETTX\(k\)/);
    for (const [columns, height] of [
      [0, 0],
      [10, 5],
      [1, 1],
      [3, 2],
      [80, 1],
    ] as const)
      draw(start, columns, height);
  });

  it('lets no name command the terminal, and shows what is asked', () => {
    assert.match(draw({ ...start, answer: '12' }, 200, 24)[23] ?? '', /^ {2}Delay\(sec\): 12$/);
    assert.match(draw(start, 200, 24)[4] ?? '', /^ *d\?\[2J\d+ /);
  });
});
