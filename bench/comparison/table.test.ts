import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Peer } from '../peers/peer.ts';
import type { Compared } from './compare.ts';
import { asJson, asMarkdown, asText } from './table.ts';

const peers = [
  ['xenolith', 'Xenolith'],
  ['qemu', 'QEMU TCG'],
  ['v86', 'v86'],
  ['native', 'native'],
] as const;
const all: readonly Peer[] = peers.map(([name, title]) => ({
  name,
  title,
  about: '',
  equipment: ['bare'],
  start: () => Promise.reject(new Error('not here')),
}));
const same = (value: number) => ({ median: value, min: value, max: value });

const result: Compared = {
  workload: {
    name: 'copy',
    about: '',
    unit: 'MB/s',
    scale: 1e6,
    start: 1,
    better: 'higher',
    targets: { qemu: 1, v86: 5 },
    command: () => '',
  },
  figures: new Map([
    ['xenolith', { value: same(500), ratio: undefined }],
    ['qemu', { value: same(400), ratio: { median: 1.25, min: 1.1, max: 1.4 } }],
    ['v86', { value: same(250), ratio: same(2) }],
    ['native', { value: same(12340), ratio: same(0.0405) }],
  ]),
};

describe('the tables of a comparison', () => {
  it('show each peer’s figure, the ratio with its spread, and whether the target is met', () => {
    const lines = asText([result], all).split('\n');
    assert.deepEqual(
      lines.map((line) => line.replace(/ +/g, ' ').trim()),
      [
        'copy 500 MB/s QEMU TCG 400 1.3 (1.1–1.4) target 1, met',
        'v86 250 2.0 (2.0–2.0) target 5, missed',
        'native 12340 0.041 (0.041–0.041)',
      ],
    );
  });

  it('are a table of Markdown with a column for each peer that was there', () => {
    const there = new Map([...result.figures].filter(([name]) => name !== 'v86'));
    assert.equal(
      asMarkdown([{ ...result, figures: there }], all),
      [
        '| workload | unit | Xenolith | QEMU TCG | native |',
        '| --- | --- | ---: | ---: | ---: |',
        '| copy | MB/s | 500 | 400: 1.3 (1.1–1.4) of 1 ✔ | 12340: 0.041 (0.041–0.041) |',
      ].join('\n'),
    );
  });

  it('are for programs with stable names', () => {
    assert.deepEqual(asJson(result), {
      name: 'workload.copy',
      unit: 'MB/s',
      value: 500,
      peers: { qemu: 400, v86: 250, native: 12340 },
      ratios: {
        qemu: { median: 1.25, min: 1.1, max: 1.4, target: 1, met: true },
        v86: { median: 2, min: 2, max: 2, target: 5, met: false },
        native: { median: 0.0405, min: 0.0405, max: 0.0405, target: null, met: null },
      },
    });
    assert.deepEqual(asJson({ ...result, figures: new Map() }), {
      name: 'workload.copy',
      unit: 'MB/s',
      value: null,
      peers: {},
      ratios: {},
    });
  });
});
