import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { getopt, type OptionRules } from './getopt.ts';

const rules: OptionRules = { short: 'ab:c', long: { alpha: 'a', beta: 'b:', better: 'c' } };

/** As `getopt` finds it: `-a`, `-b=value`, `?x`, and the arguments. */
function read(...argv: string[]): string[] {
  const { options, arguments: rest } = getopt(argv, rules);
  return [
    ...options.map((option) =>
      'unknown' in option
        ? `?${option.unknown}`
        : `-${option.letter}${option.value === undefined ? '' : `=${option.value}`}`,
    ),
    ...rest,
  ];
}

describe('options are read as getopt_long reads them', () => {
  const cases: readonly [string, string[], string[]][] = [
    ['bundled', ['-ac'], ['-a', '-c']],
    ['a value attached or apart', ['-bx', '-b', 'y', '-abz'], ['-b=x', '-b=y', '-a', '-b=z']],
    ['after arguments too', ['x', '-a', 'y'], ['-a', 'x', 'y']],
    ['a negative number after an argument is one', ['x', '-1', '-a', '-12'], ['-a', 'x', '-1', '-12']],
    ['before, it is an unknown option', ['-1', 'x'], ['?1', 'x']],
    ['until --', ['-a', '--', '-c'], ['-a', '-c']],
    ['a lone dash is an argument', ['-'], ['-']],
    [
      'long ones, whole or by their beginning',
      ['--alpha', '--al', '--beta=1', '--beta', '2'],
      ['-a', '-a', '-b=1', '-b=2'],
    ],
    ['an ambiguous beginning', ['--be'], ['?\0']],
    ['an unknown one', ['-x', '--nosuch'], ['?x', '?\0']],
    ['a missing value', ['-b'], ['?b']],
    ['a value where none belongs', ['--alpha=1'], ['?a']],
  ];
  for (const [name, argv, expected] of cases) it(name, () => assert.deepEqual(read(...argv), expected));

  it('with +, ends at the first argument, which keeps its options', () => {
    const { options, arguments: rest } = getopt(['-v', 'list', '-v'], { short: '+v' });
    assert.deepEqual([options.length, rest], [1, ['list', '-v']]);
  });
});
