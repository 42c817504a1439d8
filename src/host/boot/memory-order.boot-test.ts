/**
 * x86's order of memory accesses between vCPUs, by litmus tests in a guest (programs/litmus.c). `XENOLITH_LITMUS_ROUNDS` says how often each runs; one round is 1024
 * times.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { guestFiles, PLAIN_CONSOLE } from '../../toolstack/guest-files/guest-files.ts';
import { Machine, patience } from '../testing/machine.ts';

const rounds = Number(process.env['XENOLITH_LITMUS_ROUNDS'] ?? 10);
const source = join(import.meta.dirname, 'programs/litmus.c');

describe('memory that several vCPUs share', () => {
  const machine = new Machine();
  after(() => machine.close());

  /** Undefined where nothing compiles it. */
  const build = (): Buffer | undefined => {
    const program = machine.path('litmus');
    try {
      execFileSync('cc', ['-std=gnu11', '-O2', '-Wall', '-Werror', '-static', '-pthread', source, '-o', program]);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
    return readFileSync(program);
  };

  for (const vcpus of [2, 4])
    it(`is seen in x86's order by ${vcpus} vCPUs`, async (t) => {
      const content = build();
      if (content === undefined) return t.skip('no C compiler on this machine');
      const { kernel, ramdisk } = await guestFiles({ extraFiles: { 'bin/litmus': { content, executable: true } } });
      const name = `litmus${vcpus}`;
      const cmdline = `console=hvc0 ${PLAIN_CONSOLE}`;
      const guest = await machine.boot({ name, kernel, ramdisk, cmdline, memory: 96, vcpus });
      await guest.ready();
      const { code, out } = await guest.try(`litmus ${rounds}`, patience + rounds * 2000);
      for (const line of out.split('\n')) t.diagnostic(line);
      assert.deepEqual(out.match(/forbidden (?!0,).*/g), null);
      assert.equal(code, 0);
      assert.match(out, /^counters: forbidden 0/m);
      await machine.ok('destroy', name);
    });
});
