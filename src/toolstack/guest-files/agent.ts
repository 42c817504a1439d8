/** The agent of docs/agent.md as a program for guests, made from its sources by a small compiler that apt fetches. Nothing is installed. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CorruptData } from '../builder/compression/corrupt-data.ts';
import { Apt } from './apt.ts';
import { checksum, type Cache } from './cache.ts';
import { debData } from './deb.ts';
import { GuestFilesError } from './guest-files-error.ts';
import type { OnProgress } from './progress.ts';
import { tarEntries, type TarHeader } from './tar.ts';

const PACKAGE = 'tcc';
const COMPILER = 'usr/bin/tcc';
const sources = join(import.meta.dirname, '../agent/guest');
/** Where it lies in guests. It belongs to no package there. */
export const AGENT_PATH = 'usr/local/sbin/xenolith-agent';

/**
 * Path of the program. Undefined on a machine that is no x86-64 Linux: its compiler makes programs for itself, and guests are x86-64. Throws
 * GuestFilesError.
 */
export async function agentProgram(cache: Cache, onProgress: OnProgress): Promise<string | undefined> {
  if (process.platform !== 'linux' || process.arch !== 'x64') return undefined;
  const compiler = await fetchCompiler(cache, onProgress);
  const names = (await readdir(sources)).sort();
  const hash = createHash('sha256').update(await checksum(compiler));
  for (const name of names) hash.update(`\n${name}\n`).update(await readFile(join(sources, name)));
  const { folder } = await cache.get(`agent/v1/${hash.digest('hex').slice(0, 32)}`, async (draft) => {
    const files = names.filter((name) => name.endsWith('.c')).map((name) => join(sources, name));
    await compile(compiler, ['-Wall', '-nostdlib', '-static', '-o', join(draft, 'xenolith-agent'), ...files]);
    return {};
  });
  return join(folder, 'xenolith-agent');
}

async function fetchCompiler(cache: Cache, onProgress: OnProgress): Promise<string> {
  const { folder } = await cache.get('tcc/v1/amd64', async (draft) => {
    const apt = new Apt(cache, 'amd64', onProgress);
    const wanted = await apt.show(PACKAGE);
    const deb = await cache.withScratch(async (scratch) => readFile(await apt.download(wanted, scratch)));
    const isCompiler = ({ name, type }: TarHeader): boolean => type === 'file' && name === COMPILER;
    let compiler: Uint8Array | undefined;
    try {
      compiler = tarEntries(debData(deb), isCompiler).next().value?.content;
    } catch (cause) {
      if (cause instanceof CorruptData) throw new GuestFilesError(`${PACKAGE}: ${cause.message}`, { cause });
      throw cause;
    }
    if (compiler === undefined) throw new GuestFilesError(`the package ${PACKAGE} has no compiler in it`);
    await writeFile(join(draft, PACKAGE), compiler, { mode: 0o755 });
    return { package: wanted.name, version: wanted.version };
  });
  return join(folder, PACKAGE);
}

function compile(compiler: string, args: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    execFile(compiler, [...args], (error, _stdout, stderr) => {
      if (error === null) resolve();
      else reject(new GuestFilesError(`the guest’s agent cannot be compiled: ${stderr.trim() || error.message}`));
    });
  });
}
