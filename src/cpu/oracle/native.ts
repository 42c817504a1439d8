import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Case, decodeOutcomes, encodeCases, encodeStreamHead, type Outcome } from './case-codec.ts';

const SOURCE = fileURLToPath(new URL('harness.c', import.meta.url));
// Not position-independent: the harness must lie below 2 GiB, and where tests do not write by accident. No stack protector: it would use FS, which belongs to the tests; and
// no lazy binding, for the same reason.
const FLAGS = [
  '-O2',
  '-no-pie',
  '-fno-pie',
  '-fno-stack-protector',
  '-fcf-protection=none',
  '-Wl,-z,now',
  '-Wl,-Ttext-segment=0x6a5b0000',
  '-Wall',
  '-Wextra',
];

/** Builds the harness once for each version of its source. Undefined where there is no C compiler or the machine is no x86-64 Linux. */
export function buildHarness(): string | undefined {
  if (process.platform !== 'linux' || process.arch !== 'x64') return undefined;
  const hash = createHash('sha256').update(readFileSync(SOURCE)).update(FLAGS.join(' ')).digest('hex').slice(0, 16);
  const folder = join(tmpdir(), `cpu-oracle-${userInfo().uid}`);
  const binary = join(folder, `harness-${hash}`);
  if (existsSync(binary)) return binary;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const partial = `${binary}.${process.pid}`;
  const cc = spawnSync('cc', [...FLAGS, '-o', partial, SOURCE], { encoding: 'utf8' });
  if (cc.error) return undefined;
  if (cc.status !== 0) throw new Error(`the harness does not compile:\n${cc.stderr}`);
  renameSync(partial, binary);
  return binary;
}

/** Cases go to the harness in batches of this many: enough to make its start-up cheap, few enough to stay small in memory. */
export const BATCH = 10_000;
const ATTEMPTS = 3;

export class NativeProcessor {
  readonly #binary: string;
  constructor(binary: string) {
    this.#binary = binary;
  }

  /** Runs all cases on the real processor. */
  run(cases: readonly Case[]): Outcome[] {
    const outcomes: Outcome[] = [];
    for (let from = 0; from < cases.length; from += BATCH) {
      const batch = cases.slice(from, from + BATCH);
      const input = Buffer.concat([encodeStreamHead(), encodeCases(batch)]);
      for (const o of decodeOutcomes(this.#execute(input), batch)) outcomes.push(o);
    }
    return outcomes;
  }

  /**
   * The harness runs arbitrary bytes beside its own code: on a busy machine its clock tick can meet a case at a moment that ends the process. That is the harness's
   * trouble and not a result, so it gets another try; one that always dies is reported.
   */
  #execute(input: Buffer): Buffer {
    let trouble = '';
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const result = spawnSync(this.#binary, [], { input, maxBuffer: 1 << 30, stdio: ['pipe', 'pipe', 'pipe'] });
      if (!result.error && result.status === 0) return result.stdout;
      trouble = `exit ${result.status} ${result.signal ?? ''} ${result.error?.message ?? ''} ${result.stderr.toString()}`;
    }
    throw new Error(`the harness died ${ATTEMPTS} times: ${trouble}`);
  }
}
