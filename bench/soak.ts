/**
 * npm run soak [-- MINUTES [VCPUS]]: a guest under mixed load for a long time, and whether anything went wrong. 20 minutes and one vCPU unless given; two
 * minutes are enough to see that it works. `XENOLITH_CPU` chooses what executes hot code, as always.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { guestFiles } from '../src/toolstack/guest-files/guest-files.ts';
import { XenError } from '../src/toolstack/xen-error.ts';
import { builtPrograms } from './comparison/programs.ts';
import { noteSteps } from './guest/note-steps.ts';
import { Xenolith } from './guest/xenolith.ts';
import { BENCH, COUNTS, loadScript, PROGRAMS } from './soak/load.ts';
import { Watch } from './soak/watch.ts';

const MEMORY_MIB = 512;
const LOOK_MS = 15_000;

const say = (text: string): void => void process.stderr.write(`${text}\n`);

function numberOf(text: string | undefined, otherwise: number): number {
  const number = Number(text ?? otherwise);
  if (Number.isFinite(number) && number > 0) return number;
  say('usage: npm run soak [-- MINUTES [VCPUS]]');
  process.exit(2);
}

/** Static programs of a folder, as files of the guest. */
function filesOf(folder: string, at: string): [string, { content: Uint8Array; executable: true }][] {
  return readdirSync(folder)
    .filter((name) => !name.includes('.'))
    .map((name) => [`${at}/${name}`, { content: readFileSync(join(folder, name)), executable: true }]);
}

async function soak(minutes: number, vcpus: number): Promise<boolean> {
  const own = await builtPrograms('amd64', undefined, join(import.meta.dirname, 'soak/programs'));
  const files = await guestFiles({
    extraFiles: Object.fromEntries([
      ...filesOf(own, PROGRAMS),
      ...filesOf(await builtPrograms('amd64'), BENCH),
      [`${PROGRAMS}/start`, { content: Buffer.from(loadScript()), executable: true }],
    ]),
    onProgress: noteSteps(say),
  });
  const xenolith = await Xenolith.start(say, { files, memory: MEMORY_MIB, vcpus });
  try {
    const guest = await xenolith.create();
    say(`the shell came after ${(await guest.shell()).toFixed(1)} s; ${minutes} minutes of work begin`);
    // The console is for what is asked; the kernel tells the rest when it is asked.
    await guest.run(`dmesg -n 1; dmesg -c >/dev/null; ${PROGRAMS}/start`);
    const watch = new Watch(guest, xenolith.pid);
    while (watch.minutes < minutes && !watch.failed) {
      await sleep(Math.min(LOOK_MS, Math.max(0, (minutes - watch.minutes) * 60_000)));
      say(await watch.look(await xenolith.summary(guest.domid)));
    }
    await guest.run(`touch ${COUNTS}/stop`);
    const { wrong, notes } = watch.verdict();
    for (const note of notes) console.log(`  ${note}`);
    for (const what of wrong) console.log(`✖ ${what}`);
    console.log(wrong.length === 0 ? '✔ nothing went wrong' : `✖ ${wrong.length} things went wrong`);
    await guest.destroy();
    return wrong.length === 0;
  } finally {
    await xenolith.close();
  }
}

const [minutes, vcpus] = process.argv.slice(2);
try {
  process.exitCode = (await soak(numberOf(minutes, 20), numberOf(vcpus, 1))) ? 0 : 1;
} catch (error) {
  if (!(error instanceof XenError)) throw error;
  say(error.lines.join('\n'));
  process.exitCode = 1;
}
