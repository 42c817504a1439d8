/** Runs one of the development tools with the pinned Node; its output goes straight to the terminal. */
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** The tools' commands, and the packages they come from. */
const packages = { eslint: 'eslint', prettier: 'prettier', tsc: 'typescript' } as const;
export type Tool = keyof typeof packages;

const require = createRequire(import.meta.url);

/** Resolves with the tool's exit code. */
export function runTool(cwd: string, tool: Tool, args: readonly string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [commandFile(tool), ...args], {
      cwd,
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    child.on('error', reject);
    child.on('close', (code) => resolve(code ?? 1));
  });
}

function commandFile(tool: Tool): string {
  const manifest = require.resolve(`${packages[tool]}/package.json`);
  const { bin } = require(manifest) as { bin: string | Record<string, string> };
  const file = typeof bin === 'string' ? bin : bin[tool];
  if (file === undefined) throw new Error(`package ${packages[tool]} has no command ${tool}`);
  return join(dirname(manifest), file);
}
