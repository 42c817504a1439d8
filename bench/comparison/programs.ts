/** C programs, those of bench/programs unless others are asked for, built for guests of one architecture with the machine's own compiler. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Architecture } from '../../src/toolstack/guest-files/apt.ts';
import { Cache } from '../../src/toolstack/guest-files/cache.ts';
import { XenError } from '../../src/toolstack/xen-error.ts';

const benchSources = join(import.meta.dirname, '../programs');

/** Without -ftree-vectorize, which is part of GCC's -O2: float-scalar is to stay what its name says. */
const common = ['-std=gnu11', '-O2', '-fno-tree-vectorize', '-Wno-unused-function', '-static'];
const compiler: Readonly<Record<Architecture, { readonly flags: readonly string[]; readonly packages: string }>> = {
  amd64: { flags: [], packages: 'gcc libc6-dev' },
  // SSE as the 64-bit programs use it, so that float-scalar is not a second x87.
  i386: { flags: ['-m32', '-msse2', '-mfpmath=sse'], packages: 'gcc-multilib' },
};

/** A folder with the programs, static. Throws a XenError that says which packages build them. */
export async function builtPrograms(
  architecture: Architecture,
  cache: Cache = new Cache(),
  sources: string = benchSources,
): Promise<string> {
  const { flags, packages } = compiler[architecture];
  const files = readdirSync(sources).sort();
  const hash = createHash('sha256').update([...common, ...flags].join(' '));
  for (const file of files) hash.update(`\n${file}\n`).update(readFileSync(join(sources, file)));
  const { folder } = await cache.get(
    `bench-programs/${architecture}/${hash.digest('hex').slice(0, 32)}`,
    async (draft) => {
      for (const file of files.filter((name) => name.endsWith('.c'))) {
        const args = [...common, ...flags, join(sources, file), '-o', join(draft, file.slice(0, -2)), '-lm'];
        await cc(args).catch((cause: unknown) => {
          throw new XenError(`the ${architecture} programs of the bench cannot be built: ${firstLine(cause)}`, {
            hint: `apt-get install ${packages}`,
          });
        });
      }
      return {};
    },
  );
  return folder;
}

function cc(args: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    execFile('cc', [...args], (error, _stdout, stderr) => {
      if (error === null) resolve();
      else reject(new Error(error.code === 'ENOENT' ? 'there is no cc' : stderr, { cause: error }));
    });
  });
}

const firstLine = (error: unknown): string => (error instanceof Error ? error.message.split('\n', 1)[0] : '') ?? '';
