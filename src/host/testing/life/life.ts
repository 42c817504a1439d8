/**
 * Guests' lives in a random order: a command, then everybody is asked whether they agree on what there is. A run that fails prints its commands, which can be cut
 * down and run again (`npm run life -- --commands FILE`).
 */
import type { GuestFiles } from '../../../toolstack/guest-files/guest-files.ts';
import type { Machine } from '../machine.ts';
import { agree } from './agreement.ts';
import { commands, World } from './commands.ts';
import { Model, nextCommand, randomNumbers } from './model.ts';

export interface Life {
  readonly files: Pick<GuestFiles, 'kernel' | 'ramdisk'>;
  readonly keys: readonly string[];
  readonly seed: number;
  /** No further command begins after that. */
  readonly milliseconds: number;
  /** In place of chosen ones. */
  readonly commands?: readonly string[];
  readonly say: (line: string) => void;
}

/** Returns how many commands were carried out. Throws where somebody disagrees. */
export async function live(machine: Machine, life: Life): Promise<number> {
  const world = new World(machine, new Model(), life.files);
  const random = randomNumbers(life.seed);
  const end = performance.now() + life.milliseconds;
  const done: string[] = [];
  try {
    for (;;) {
      const line = life.commands === undefined ? nextCommand(world.model, random, life) : life.commands[done.length];
      if (line === undefined || (life.commands === undefined && performance.now() > end)) break;
      done.push(line);
      life.say(line);
      const [name = '', key = '', ...words] = line.split(' ');
      const carry = commands[name];
      if (carry === undefined) throw new Error(`there is no command ${name}`);
      await carry(world, key, words);
      await agree(machine, world.model, world.living);
    }
  } catch (error) {
    throw new Error(`seed ${life.seed}, after these commands: ${String(error)}\n${done.join('\n')}`, { cause: error });
  } finally {
    for (const key of [...world.living.keys()]) world.lose(key);
  }
  return done.length;
}
