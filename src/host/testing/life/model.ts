/**
 * What a host with some guests should be like after each command: the model that the life test compares with xl, xenstore and the guests. A command is a line of
 * text, so that a run can be printed, cut down by hand, and run again.
 */

export const ends = ['poweroff', 'reboot', 'crash'] as const;
export type End = (typeof ends)[number];
export const policies = ['destroy', 'restart', 'rename-restart', 'preserve'] as const;
export type Policy = (typeof policies)[number];

export interface GuestModel {
  name: string;
  paused: boolean;
  readonly policy: Readonly<Record<End, Policy>>;
  memoryMiB: number;
  readonly maxMemoryMiB: number;
  vcpus: number;
  readonly maxVcpus: number;
  readonly disks: Set<string>;
  readonly nics: Set<number>;
}

export class Model {
  /** By the letter that commands call them. */
  readonly guests = new Map<string, GuestModel>();
  /** Names of domains that died and stay; a pattern where the name has a time in it. */
  dead: { readonly key: string; readonly name: RegExp }[] = [];

  guest(key: string): GuestModel {
    const guest = this.guests.get(key);
    if (guest === undefined) throw new Error(`there is no guest ${key}`);
    return guest;
  }
}

/** Numbers below `count`, the same ones for the same seed (mulberry32). */
export function randomNumbers(seed: number): (count: number) => number {
  let state = seed >>> 0;
  return (count) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % count;
  };
}

export interface LifeOptions {
  /** Letters of the guests. */
  readonly keys: readonly string[];
}

type Random = (count: number) => number;

const keysOfDisks = ['xvda', 'xvdb', 'xvdc'];
const mostNics = 2;
const memories = [72, 80, 96, 112];
const maxMemoryMiB = 112;
const maxVcpus = 2;

/** How often each is chosen, and, when it makes sense, with what. */
interface Choice {
  readonly weight: number;
  arguments(model: Model, key: string, random: Random): string[] | undefined;
}

const runs = (model: Model, key: string): GuestModel | undefined => {
  const guest = model.guests.get(key);
  return guest?.paused === false ? guest : undefined;
};
const oneOf = <T>(items: readonly T[], random: Random): T | undefined => items[random(items.length)];
const chosen = (word: string | number | undefined): string[] | undefined =>
  word === undefined ? undefined : [`${word}`];

/** Ways to ask for an end: the toolstack's, and the guest's own. */
const ways: Readonly<Record<End, readonly string[]>> = {
  poweroff: ['xl', 'guest'],
  reboot: ['xl', 'guest'],
  crash: ['xl', 'guest'],
};

/** Not while there is a domain whose name would be taken again within the minute. */
const canEnd = (end: End): Choice => ({
  weight: 3,
  arguments: (model, key, random) => {
    if (runs(model, key) === undefined || model.dead.some((dead) => dead.key === key)) return undefined;
    return chosen(oneOf(ways[end], random));
  },
});

export const choices: Readonly<Record<string, Choice>> = {
  create: {
    weight: 60,
    arguments(model, key, random) {
      if (model.guests.has(key) || model.dead.some((dead) => dead.key === key)) return undefined;
      const policy = ends.map((end) => `${end}=${oneOf(policies, random) ?? 'destroy'}`);
      const devices = [`disks=${random(2)}`, `nics=${random(2)}`];
      return [...policy, `memory=${oneOf(memories, random) ?? 80}`, `vcpus=${1 + random(maxVcpus)}`, ...devices];
    },
  },
  pause: { weight: 4, arguments: (model, key) => runs(model, key) && [] },
  unpause: { weight: 40, arguments: (model, key) => (model.guests.get(key)?.paused === true ? [] : undefined) },
  'mem-set': {
    weight: 6,
    arguments: (model, key, random) => runs(model, key) && chosen(oneOf(memories, random)),
  },
  'vcpu-set': { weight: 6, arguments: (model, key, random) => runs(model, key) && [`${1 + random(maxVcpus)}`] },
  rename: {
    weight: 3,
    arguments: (model, key, random) => (model.guests.has(key) ? [`${key}${random(100)}`] : undefined),
  },
  sysrq: { weight: 2, arguments: (model, key) => runs(model, key) && [] },
  nmi: { weight: 2, arguments: (model, key, random) => runs(model, key) && [`${random(1)}`] },
  'block-attach': {
    weight: 5,
    arguments(model, key, random) {
      const guest = runs(model, key);
      return (
        guest &&
        chosen(
          oneOf(
            keysOfDisks.filter((disk) => !guest.disks.has(disk)),
            random,
          ),
        )
      );
    },
  },
  'block-detach': {
    weight: 5,
    arguments(model, key, random) {
      const guest = runs(model, key);
      return guest && chosen(oneOf([...guest.disks], random));
    },
  },
  'network-attach': {
    weight: 4,
    arguments(model, key) {
      const guest = runs(model, key);
      return guest && guest.nics.size < mostNics ? [] : undefined;
    },
  },
  'network-detach': {
    weight: 4,
    arguments(model, key, random) {
      const guest = runs(model, key);
      return guest && chosen(oneOf([...guest.nics], random));
    },
  },
  poweroff: canEnd('poweroff'),
  reboot: canEnd('reboot'),
  crash: canEnd('crash'),
  destroy: { weight: 2, arguments: (model, key) => (model.guests.has(key) ? [] : undefined) },
  bury: {
    weight: 30,
    arguments: (model, key) => (model.dead.some((dead) => dead.key === key) ? [] : undefined),
  },
};

/** Some command that can be given now, as a line. */
export function nextCommand(model: Model, random: Random, { keys }: LifeOptions): string {
  const possible = keys.flatMap((key) =>
    Object.entries(choices).flatMap(([name, { weight, arguments: argumentsOf }]) => {
      const words = argumentsOf(model, key, random);
      return words === undefined ? [] : [{ weight, line: [name, key, ...words].join(' ') }];
    }),
  );
  let left = random(possible.reduce((sum, { weight }) => sum + weight, 0));
  for (const { weight, line } of possible) {
    left -= weight;
    if (left < 0) return line;
  }
  throw new Error('no command is possible');
}

/** What a line of `create` asks for. */
export function createdModel(key: string, words: readonly string[]): GuestModel {
  const settings = new Map(words.map((word) => word.split('=') as [string, string]));
  const policyOf = (end: End): Policy => (settings.get(end) ?? 'destroy') as Policy;
  const count = (name: string): number => Number(settings.get(name) ?? 0);
  return {
    name: key,
    paused: false,
    policy: { poweroff: policyOf('poweroff'), reboot: policyOf('reboot'), crash: policyOf('crash') },
    memoryMiB: count('memory'),
    maxMemoryMiB,
    vcpus: count('vcpus'),
    maxVcpus,
    disks: new Set(keysOfDisks.slice(0, count('disks'))),
    nics: new Set(Array.from({ length: count('nics') }, (_, devid) => devid)),
  };
}
