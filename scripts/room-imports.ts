/** Checks the imports of every file under src/ against the table in rooms.ts. */
import { globSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import ts from 'typescript';
import { type Room, rooms, testFolders } from './rooms.ts';

const source = /^src\/(?<room>[^/]+)\//;
const test = /\.(test|oracle-test|boot-test)\.ts$/;

/** What is wrong with the imports of one file, given by its path from the repository's root; nothing when all is well. */
export function wrongImports(path: string, text: string): string[] {
  const name = source.exec(path)?.groups?.['room'] ?? '';
  const room = rooms[name];
  if (!room) return [`${path}: no room "${name}" in scripts/rooms.ts`];
  const wrong: string[] = [];
  for (const { fileName: target, pos } of ts.preProcessFile(text, true, false).importedFiles) {
    const reason = refusal(name, room, path, target);
    if (reason) wrong.push(`${path}:${text.slice(0, pos).split('\n').length}: ${reason}`);
  }
  return wrong;
}

function refusal(name: string, room: Room, path: string, target: string): string | undefined {
  const forTests = test.test(path) || inTestFolder(path);
  if (!target.startsWith('.')) {
    return room.outside || forTests ? undefined : `"${name}" may import nothing from outside, "${target}" is`;
  }
  const resolved = posix.join(posix.dirname(path), target);
  const other = source.exec(resolved)?.groups?.['room'];
  if (other === undefined) return `"${target}" is outside src/`;
  const inside = resolved.slice('src/'.length);
  const allowed = [name, ...room.imports].some((one) => inside === `${one}.ts` || inside.startsWith(`${one}/`));
  if (!allowed) return `"${name}" may not import "${inside}"; it may import: ${room.imports.join(', ') || 'nothing'}`;
  return !forTests && inTestFolder(resolved) ? `"${inside}" is for tests` : undefined;
}

function inTestFolder(path: string): boolean {
  return testFolders.some((folder) => path.startsWith(`src/${folder}/`));
}

/** Every wrong import of the repository at `root`, and how many files were read. */
export function checkRooms(root: string): { files: number; wrong: string[] } {
  const files = globSync('src/**/*.ts', { cwd: root, exclude: ['src/*/room.proof.ts'] }).sort();
  return {
    files: files.length,
    wrong: files.flatMap((file) => wrongImports(file, readFileSync(join(root, file), 'utf8'))),
  };
}
