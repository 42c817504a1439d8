/** How a comparison is shown: a block of lines for each workload to read, or a row of a Markdown table to keep. */
import type { Peer, PeerName } from '../peers/peer.ts';
import type { Compared, Figure } from './compare.ts';
import type { Spread } from './statistics.ts';

/** Four digits say all that repeats. */
const digits = (value: number): string => (value >= 1000 ? value.toFixed(0) : value.toPrecision(3));
const ratio = (value: number): string => (value >= 10 ? value.toFixed(0) : value.toPrecision(2));
const ratioWithSpread = ({ median, min, max }: Spread): string => `${ratio(median)} (${ratio(min)}–${ratio(max)})`;

/** undefined where there is no target, or nothing to hold against it. */
export function met({ workload }: Compared, name: PeerName, figure: Figure): boolean | undefined {
  const target = workload.targets[name];
  return target === undefined || figure.ratio === undefined ? undefined : figure.ratio.median >= target;
}

export function asText(results: readonly Compared[], peers: readonly Peer[]): string {
  const lines = results.flatMap((result) => {
    const { workload, figures } = result;
    const ours = figures.get('xenolith');
    const value = ours === undefined ? '-' : `${digits(ours.value.median)} ${workload.unit}`;
    const others = peers.flatMap((peer) => {
      const figure = figures.get(peer.name);
      if (peer.name === 'xenolith' || figure === undefined) return [];
      const target = workload.targets[peer.name];
      const verdict = { true: 'met', false: 'missed', undefined: '' }[`${met(result, peer.name, figure)}`];
      return [
        [
          peer.title.padEnd(16),
          digits(figure.value.median).padStart(7),
          (figure.ratio === undefined ? '' : ratioWithSpread(figure.ratio)).padStart(24),
          target === undefined ? '' : `  target ${target}, ${verdict}`,
        ].join(''),
      ];
    });
    const [first = '', ...more] = others;
    const indent = ' '.repeat(40);
    return [`${workload.name.padEnd(14)}${value.padStart(22)}    ${first}`, ...more.map((line) => indent + line)];
  });
  return lines.map((line) => line.trimEnd()).join('\n');
}

/** One row for each workload, one column for each peer: its value, the ratio and, where there is one, the target. */
export function asMarkdown(results: readonly Compared[], peers: readonly Peer[]): string {
  const shown = peers.filter(({ name }) => results.some(({ figures }) => figures.has(name)));
  const cell = (result: Compared, name: PeerName): string => {
    const figure = result.figures.get(name);
    if (figure === undefined) return '';
    const value = digits(figure.value.median);
    if (figure.ratio === undefined) return value;
    const target = result.workload.targets[name];
    const verdict = met(result, name, figure) === true ? '✔' : '✘';
    return `${value}: ${ratioWithSpread(figure.ratio)}${target === undefined ? '' : ` of ${target} ${verdict}`}`;
  };
  const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [
    row(['workload', 'unit', ...shown.map(({ title }) => title)]),
    row(['---', '---', ...shown.map(() => '---:')]),
    ...results.map((result) =>
      row([result.workload.name, result.workload.unit, ...shown.map(({ name }) => cell(result, name))]),
    ),
  ].join('\n');
}

/** With stable names, as the rows of the bench are written: `peers` has their medians, `ratios` what Xenolith is to them. */
export function asJson(result: Compared): object {
  const { workload, figures } = result;
  const rounded = (value: number): number => Number(value.toPrecision(4));
  const others = [...figures].filter(([name]) => name !== 'xenolith');
  const ours = figures.get('xenolith');
  return {
    name: `workload.${workload.name}`,
    unit: workload.unit,
    value: ours === undefined ? null : rounded(ours.value.median),
    peers: Object.fromEntries(others.map(([name, { value }]) => [name, rounded(value.median)])),
    ratios: Object.fromEntries(
      others.flatMap(([name, figure]) =>
        figure.ratio === undefined
          ? []
          : [
              [
                name,
                {
                  median: rounded(figure.ratio.median),
                  min: rounded(figure.ratio.min),
                  max: rounded(figure.ratio.max),
                  target: workload.targets[name] ?? null,
                  met: met(result, name, figure) ?? null,
                },
              ],
            ],
      ),
    ),
  };
}
