import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseText, type Value } from './grammar.ts';

function parse(text: string): { values: Record<string, Value>; said: string[]; failed: boolean } {
  const said: string[] = [];
  const bytes = Buffer.from(text, 'utf8').toString('latin1');
  const { settings, failed } = parseText(bytes, 't.cfg', (line) => said.push(line));
  const values = Object.fromEntries([...settings].map(([name, { value }]) => [name, value]));
  return { values, said, failed };
}

describe('what a configuration may contain', () => {
  const cases: readonly [string, string, Record<string, Value>][] = [
    ['nothing', '', {}],
    ['empty lines, comments and semicolons', '\n;; # a\n#b\n;\n', {}],
    ['a last line without a newline', 'a = 1', { a: '1' }],
    ['both kinds of quotes', `a = "it's"; b = 'say "x"'`, { a: "it's", b: 'say "x"' }],
    ['numbers as they are written', 'a = 0x1f; b = 017; c = 9', { a: '0x1f', b: '017', c: '9' }],
    [
      'a list over several lines, with comments and a last comma',
      "a = [ # x\n\n'1',\n 2 , # y\n]\n",
      { a: ['1', '2'] },
    ],
    ['lists in lists', "a = [ [ 'p', 'q' ], [], 'r' ]", { a: [['p', 'q'], [], 'r'] }],
    ['an empty list', 'a = [ \n ]', { a: [] }],
    ['the last of several assignments', 'a = 1\na = 2', { a: '2' }],
    [
      'strings and lists that grow',
      "a = 'x'\na += 'y'\nb = ['1']\nb += ['2']\nc += 'z'",
      { a: 'xy', b: ['1', '2'], c: 'z' },
    ],
    ['names with digits, dots and underscores', 'a_1.b = 1', { 'a_1.b': '1' }],
    ['a number that is not one, which is for the key to refuse', 'a = 0xfx', { a: '0xfx' }],
    ['UTF-8', 'a = "größe"', { a: 'größe' }],
    ['an octal escape, which xl reads and drops', String.raw`a = "x\101y"`, { a: 'xy' }],
  ];
  for (const [name, text, values] of cases) {
    it(name, () => assert.deepEqual(parse(text), { values, said: [], failed: false }));
  }
});

describe('what is wrong with a configuration', () => {
  const syntax = (line: number, near: string, rest: string): string =>
    `t.cfg:${line}: config parsing error near ${near}: syntax error, ${rest}`;
  const cases: readonly [string, string, readonly string[]][] = [
    ['a value alone', '"x"\n', [syntax(1, '`"x"\'', "unexpected STRING, expecting $end or IDENT or NEWLINE or ';'")]],
    ['no value', 'a =', [syntax(1, '', "unexpected $end, expecting STRING or NUMBER or '['")]],
    [
      'two values: the rest is not looked at',
      'a = "x" "y"\nb = = 1\n',
      [syntax(1, '`"y"\'', 'unexpected STRING, expecting $end')],
    ],
    ['an open list at the end', 'a = [ 1,\n', [syntax(2, '', "unexpected $end, expecting ']'")]],
    ['no comma in a list', 'a = [ 1 2 ]\n', [syntax(1, "`2'", "unexpected NUMBER, expecting ']'")]],
    ['a comma that follows nothing', 'a = [ , ]\n', [syntax(1, "`,'", "unexpected ',', expecting ']'")]],
    [
      'an error after three right tokens is told again',
      'a = = 1\nb = 1\nc = = 1\n',
      [
        syntax(1, "`='", "unexpected '=', expecting STRING or NUMBER or '['"),
        syntax(3, "`='", "unexpected '=', expecting STRING or NUMBER or '['"),
      ],
    ],
    [
      'one before that is not',
      'a = = 1\nb b\n',
      [syntax(1, "`='", "unexpected '=', expecting STRING or NUMBER or '['")],
    ],
    ['a comment without a newline', '#x', ["t.cfg:1: config parsing error near `#x': lexical error"]],
    ['capitals', 'Memory = 1\n', ["t.cfg:1: config parsing error near `Memory': lexical error"]],
    [
      'a string and a list together',
      "a = 'x'\na += ['y']\n",
      ['t.cfg:2: config parsing error near `]\': can\'t add [list] to "string" or vice versa'],
    ],
  ];
  for (const [name, text, said] of cases) {
    it(name, () => {
      const outcome = parse(text);
      assert.deepEqual(outcome.said, said);
      assert(outcome.failed);
    });
  }

  it('lists that nest without end are refused, not followed', () => {
    const { said, failed } = parse(`a = ${'['.repeat(100_000)}`);
    assert(failed);
    assert.match(said[0] ?? '', /nested too deeply$/);
  });
});
