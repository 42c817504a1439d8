/**
 * npm run life -- [--minutes 10] [--seed N] [--guests 2] [--commands FILE]
 *
 * The life test at length: guests are made, changed, ended in random order, and xl, xenstore and the guests have to agree after each command. `--commands` runs the lines
 * that a failed run has printed.
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { guestFiles } from '../../../toolstack/guest-files/guest-files.ts';
import { Machine } from '../machine.ts';
import { live } from './life.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    seed: { type: 'string' },
    guests: { type: 'string', default: '2' },
    commands: { type: 'string' },
  },
});
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31));
const keys = ['a', 'b', 'c', 'd'].slice(0, Number(values.guests));
const begun = performance.now();
const say = (line: string): void =>
  console.log(`${((performance.now() - begun) / 1000).toFixed(0).padStart(5)} s  ${line}`);
const machine = new Machine();
try {
  say(`seed ${seed}, ${keys.length} guests`);
  const count = await live(machine, {
    files: await guestFiles(),
    keys,
    seed,
    milliseconds: Number(values.minutes) * 60_000,
    say,
    ...(values.commands === undefined
      ? {}
      : {
          commands: readFileSync(values.commands, 'utf8')
            .split('\n')
            .filter((line) => line !== ''),
        }),
  });
  say(`${count} commands, all agree`);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  console.error(machine.log('xenolithd.log').slice(-3000));
  process.exitCode = 1;
} finally {
  await machine.close();
}
