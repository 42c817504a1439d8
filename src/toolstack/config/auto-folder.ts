/**
 * Configurations of domains that come up with the daemon, as those in /etc/xen/auto do with Debian's xendomains: files, or links to them, in the order of their names.
 */
import { readdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/**
 * `$XENOLITH_AUTO_DIR`; else `xenolith/auto` of the user's configuration and of the host's, of which the user's wins where both have a name. A daemon with a run directory of
 * its own is not the user's usual one, and starts only what that variable says: two daemons must not start the same domain.
 */
export function autoFolders(env: NodeJS.ProcessEnv = process.env): readonly string[] {
  const { XENOLITH_AUTO_DIR: named, XENOLITH_RUN_DIR: ownRun, XDG_CONFIG_HOME: home } = env;
  if (named) return [named];
  if (ownRun) return [];
  return [join(home ? home : join(homedir(), '.config'), 'xenolith', 'auto'), '/etc/xenolith/auto'];
}

/** Paths in the order of the files' names, as a shell's `*` gives them. */
export function autoConfigs(folders: readonly string[]): readonly string[] {
  const paths = new Map<string, string>();
  for (const folder of folders) {
    for (const name of namesIn(folder)) {
      if (!name.startsWith('.') && !paths.has(name)) paths.set(name, join(folder, name));
    }
  }
  return [...paths].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, path]) => path);
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    // Most hosts have none.
    return [];
  }
}
