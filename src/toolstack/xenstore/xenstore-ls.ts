/**
 * `xenstore-ls [-f] [-p] [PATH]`: the tree below a path (/). -f prints whole paths, one a line, for grep; -p the permissions. Lines are not
 * cut to the terminal's width.
 */
import { parseArgs } from 'node:util';
import type { DaemonClient } from '../daemon/client.ts';
import { runDirectory } from '../daemon/run-directory.ts';
import { connectOrStart } from '../daemon/start.ts';
import { XenError } from '../xen-error.ts';

const usage = 'Usage: xenstore-ls [-h] [-f] [-p] [path]';

async function main(): Promise<number> {
  const flag = (short: string) => ({ type: 'boolean', short }) as const;
  const options = { full: flag('f'), permissions: flag('p'), help: flag('h') };
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  const [path = '/', ...rest] = positionals;
  if (values.help === true || rest.length > 0) {
    console.log(usage);
    return values.help === true ? 0 : 1;
  }
  const client = await connectOrStart(runDirectory());
  try {
    const { node } = await client.call('xenstoreNode', { path });
    if (node === null) {
      console.error(`xenstore-ls: could not access permissions for ${path}: No such file or directory`);
      return 1;
    }
    await list(client, path === '/' ? '' : path, node.children, 0, values);
    return 0;
  } finally {
    client.close();
  }
}

interface Format {
  readonly full?: boolean | undefined;
  readonly permissions?: boolean | undefined;
}

async function list(
  client: DaemonClient,
  parent: string,
  names: readonly string[],
  depth: number,
  format: Format,
): Promise<void> {
  for (const name of names) {
    const path = `${parent}/${name}`;
    const { node } = await client.call('xenstoreNode', { path });
    // It went while we were listing.
    if (node === null) continue;
    const { value, perms, children } = node;
    const where = format.full === true ? path : `${' '.repeat(depth)}${name}`;
    console.log(`${where} = "${printable(value)}"${format.permissions === true ? `   (${perms})` : ''}`);
    await list(client, path, children, depth + 1, format);
  }
}

/** As sanitise_value of xen/tools/xenstore/xs_lib.c: what is not plain text is escaped, quotes are not. */
function printable(value: string): string {
  return value.replace(/[^ -[\]-~]/g, (character) => {
    const escape = { '\n': '\\n', '\r': '\\r', '\t': '\\t', '\\': '\\\\' }[character];
    return escape ?? [...Buffer.from(character)].map(escaped).join('');
  });
}

function escaped(byte: number): string {
  return byte < 8 ? `\\${byte.toString(8).padStart(3, '0')}` : `\\x${byte.toString(16).padStart(2, '0')}`;
}

try {
  process.exitCode = await main();
} catch (error) {
  const known = error instanceof XenError || (error instanceof TypeError && 'code' in error);
  if (!known) throw error;
  console.error(`xenstore-ls: ${error.message}`);
  process.exitCode = 1;
}
