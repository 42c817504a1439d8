/** Creates the domains of the auto folders when the daemon begins: one after the other, and what is wrong with one does not keep the next from its turn. */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { joinOverrides } from '../config/config-text.ts';
import type { DomainConfig } from '../config/domain-config.ts';
import { parseConfig } from '../config/parse-config.ts';
import type { DomainManager } from '../domain/domain-manager.ts';
import { XenError } from '../xen-error.ts';
import { withAbsolutePaths } from '../xl/config-file.ts';

export interface AutoStartGlue {
  readonly manager: Pick<DomainManager, 'domidOf' | 'create' | 'unpause' | 'stopping'>;
  /** Looks after a domain until it has ended for good. */
  readonly watch: (domid: number) => void;
  readonly log: (line: string) => void;
}

/** Resolves when each has had its turn. */
export async function autoStart(paths: readonly string[], { manager, watch, log }: AutoStartGlue): Promise<void> {
  for (const path of paths) {
    if (manager.stopping) return;
    try {
      const config = read(path, log);
      const { name } = config.c_info;
      if (manager.domidOf(name) !== undefined) {
        log(`auto: ${path}: ${name} runs already`);
        continue;
      }
      const { domid } = await manager.create(config);
      manager.unpause(domid);
      watch(domid);
      log(`auto: ${path}: ${name} is domain ${domid}`);
    } catch (error) {
      const lines = error instanceof XenError ? error.lines : [String(error)];
      for (const line of lines) log(`auto: ${path}: ${line}`);
    }
  }
}

function read(path: string, log: (line: string) => void): DomainConfig {
  const text = joinOverrides(readFileSync(path), []);
  const { config } = parseConfig(text, path, { cpus: availableParallelism() }, (line) => log(`auto: ${line}`));
  return withAbsolutePaths(config);
}
