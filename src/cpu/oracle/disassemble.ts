import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Mode } from './layout.ts';

export function hexBytes(bytes: Uint8Array): string {
  return Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join(' ');
}

/** Assembly of `code` in Intel syntax where objdump is installed, otherwise its bytes. */
export function disassemble(code: Uint8Array, mode: Mode): string {
  const folder = mkdtempSync(join(tmpdir(), 'cpu-oracle-'));
  try {
    const file = join(folder, 'code');
    writeFileSync(file, code);
    const machine = mode === Mode.compat32 ? 'i386' : 'i386:x86-64';
    const out = spawnSync('objdump', ['-D', '-b', 'binary', '-m', machine, '-M', 'intel', file], { encoding: 'utf8' });
    if (out.error || out.status !== 0) return hexBytes(code);
    const lines = out.stdout
      .split('\n')
      .flatMap((line) => /^\s*[0-9a-f]+:\t([0-9a-f ]+)\t(.*)$/.exec(line)?.[2]?.trim() ?? []);
    return `${hexBytes(code)}   ${lines.map((l) => l.replace(/\s+/g, ' ')).join('; ')}`;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
