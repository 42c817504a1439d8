/** GRUB's `test` and `[` (GRUB manual, "test"). */
import type { MenuFiles } from './boot-menu.ts';
import { plainPath } from './boot-menu.ts';

const textTests: Readonly<Record<string, (left: string, right: string) => boolean>> = {
  '=': (left, right) => left === right,
  '==': (left, right) => left === right,
  '!=': (left, right) => left !== right,
  '<': (left, right) => left < right,
  '<=': (left, right) => left <= right,
  '>': (left, right) => left > right,
  '>=': (left, right) => left >= right,
  '-eq': (left, right) => Number(left) === Number(right),
  '-ne': (left, right) => Number(left) !== Number(right),
  '-lt': (left, right) => Number(left) < Number(right),
  '-le': (left, right) => Number(left) <= Number(right),
  '-gt': (left, right) => Number(left) > Number(right),
  '-ge': (left, right) => Number(left) >= Number(right),
};
const fileTests: readonly string[] = ['-e', '-f', '-s', '-d'];
const MAX_WORDS = 64;

/** `-o` binds less than `-a`. Parentheses, which no generated configuration has, are false. */
export async function isTrue(words: readonly string[], files: Pick<MenuFiles, 'exists'>): Promise<boolean> {
  if (words.length > MAX_WORDS) return false;
  for (const alternative of separate(words, '-o')) {
    let all = true;
    for (const term of separate(alternative, '-a')) all &&= await isTermTrue(term, files);
    if (all) return true;
  }
  return false;
}

async function isTermTrue(term: readonly string[], files: Pick<MenuFiles, 'exists'>): Promise<boolean> {
  const [first, second, third] = term;
  if (first === undefined) return false;
  if (first === '!' && second !== undefined) return !(await isTermTrue(term.slice(1), files));
  if (second !== undefined && third !== undefined) return textTests[second]?.(first, third) ?? false;
  if (first === '-n') return second !== undefined && second !== '';
  if (first === '-z') return second === undefined || second === '';
  if (second !== undefined) return fileTests.includes(first) && files.exists(plainPath(second));
  return first !== '';
}

function separate(words: readonly string[], at: string): string[][] {
  const groups: string[][] = [[]];
  for (const word of words) {
    if (word === at) groups.push([]);
    else groups.at(-1)?.push(word);
  }
  return groups;
}
