/**
 * The host's boot line: what GRUB would hand to Xen. The file is written as `/etc/default/grub` is on a Xen host, and of it count `GRUB_CMDLINE_XEN` and
 * `GRUB_CMDLINE_XEN_DEFAULT`, in the order in which Debian's 20_linux_xen puts them together.
 */
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { XenError } from '../xen-error.ts';

/** `$XENOLITH_BOOT_CONFIG`, or `xenolith/grub` among the user's or the host's configuration; undefined: there is none. */
export function readBootLine(env: NodeJS.ProcessEnv = process.env): string | undefined {
  const { XENOLITH_BOOT_CONFIG: named, XDG_CONFIG_HOME: home } = env;
  const candidates = named
    ? [named]
    : [join(home ? home : join(homedir(), '.config'), 'xenolith', 'grub'), '/etc/xenolith/grub'];
  for (const path of candidates) {
    let text: string;
    try {
      text = readFileSync(path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT' && !named) continue;
      throw new XenError(`cannot read the boot line ${path}: ${(error as Error).message}`);
    }
    return parseBootFile(text, path);
  }
  return undefined;
}

export function parseBootFile(text: string, path: string): string {
  const values = new Map<string, string>();
  text.split('\n').forEach((line, index) => {
    const assignment = /^\s*(?:export\s+)?(GRUB_CMDLINE_XEN(?:_DEFAULT)?)=(.*)$/.exec(line);
    const [, name, value] = assignment ?? [];
    if (name !== undefined && value !== undefined) values.set(name, unquote(value, `${path}:${index + 1}`));
  });
  return [values.get('GRUB_CMDLINE_XEN'), values.get('GRUB_CMDLINE_XEN_DEFAULT')]
    .filter((part) => part !== undefined && part !== '')
    .join(' ');
}

/** One word of a shell, of quoted and plain pieces; nothing is expanded. */
function unquote(text: string, where: string): string {
  let value = '';
  const piece = /"((?:[^"\\$`]|\\.)*)"|'([^']*)'|\\(.)|([^\s"'\\$`;&|<>()#]+)/y;
  let at = 0;
  for (;;) {
    piece.lastIndex = at;
    const match = piece.exec(text);
    if (match === null) break;
    const [all, double, single, escaped, plain] = match;
    value += double?.replace(/\\(["\\$`])/g, '$1') ?? single ?? escaped ?? plain ?? '';
    at += all.length;
  }
  const rest = text.slice(at);
  if (rest !== '' && !/^\s*(?:;\s*)?(?:#.*)?$/.test(rest))
    throw new XenError(
      `${where}: cannot read \`${rest.trim()}': the value is text in quotes, and nothing in it is expanded`,
    );
  return value;
}
