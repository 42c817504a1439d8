/** `xl cpupool-create`; the file's keys are `name`, `sched`, `nodes` and `cpus` (xlcpupool.cfg(5)). */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { enumeration } from '../../config/enumeration.ts';
import { parseText } from '../../config/grammar.ts';
import { atoi } from '../../config/numbers.ts';
import { Settings } from '../../config/settings.ts';
import { schedulers } from '../../scheduler/scheduler-parameters.ts';
import { attempt, Exit, printHelp, readArguments, type Invocation } from '../command.ts';
import { cpuPools, readCpus, type CpuPoolList } from '../cpu-pools.ts';
import { systemMessage } from '../../system-message.ts';

const long = { defconfig: 'f:', dryrun: 'n' };

export async function run(invocation: Invocation): Promise<number> {
  const { out, err, globals } = invocation;
  const { has, valueOf, arguments: given } = await readArguments(invocation, { short: 'nf:', long }, 0);
  const overrides = given.filter((argument) => argument.includes('='));
  const files = given.filter((argument) => !argument.includes('='));
  const file = valueOf('f') ?? files.shift();
  if (files.length > 0) {
    await printHelp(invocation, 'cpupool-create');
    return 1;
  }
  const source = file ?? 'command line';
  const settings = readSettings(invocation, source, file === undefined ? '' : readPoolFile(file, err), overrides);
  const list = await cpuPools(invocation);
  const name = settings.string('name') ?? (file === undefined ? undefined : basename(file));
  if (name === undefined) return refuse(invocation, 'Missing cpupool name!');
  if (list.pools.some((pool) => pool.name === name)) return refuse(invocation, `Pool name "${name}" already exists`);
  const word = settings.string('sched') ?? list.pools[0]?.scheduler ?? 'credit2';
  const scheduler = enumeration(Object.keys(schedulers), word);
  if (scheduler === undefined) return refuse(invocation, 'Unknown scheduler');
  const cpus = readPoolCpus(invocation, settings, list);
  out(`Using config file "${source}"\n`);
  out(`cpupool name:   ${name}\nscheduler:      ${scheduler}\nnumber of cpus: ${cpus.length}\n`);
  if (globals.dryRun || has('n')) return 0;
  const client = await invocation.daemon();
  const failure = await attempt(invocation, () => client.call('createCpuPool', { name, scheduler, cpus }));
  return failure === undefined ? 0 : refuse(invocation, 'error on creating cpupool');
}

function refuse({ err }: Invocation, line: string): number {
  err(line);
  return 1;
}

function readPoolFile(file: string, err: (line: string) => void): string {
  try {
    return readFileSync(file, 'latin1');
  } catch (error) {
    err(`Failed to read config file: ${file}: ${systemMessage(error)}`);
    throw new Exit(1);
  }
}

/** xl puts each argument on a line of its own after the file. */
function readSettings({ err }: Invocation, source: string, file: string, overrides: readonly string[]): Settings {
  const text = overrides.map((override) => `\n${Buffer.from(override, 'utf8').toString('latin1')}`).join('');
  const parsed = parseText(`${file}${text}${text === '' ? '' : '\n'}`, source, err);
  if (parsed.failed) {
    err('Failed to parse config file: Invalid argument');
    throw new Exit(1);
  }
  return new Settings(parsed, source, err);
}

/** All free processors of the nodes that are named, or else those that are named themselves. */
function readPoolCpus(invocation: Invocation, settings: Settings, list: CpuPoolList): readonly number[] {
  const free = new Set(list.freeCpus);
  const nodes = settings.strings('nodes');
  if (nodes !== undefined) {
    // The host has one node.
    const cpus = nodes.some((node) => atoi(node) === 0) ? [...free] : [];
    if (cpus.length > 0) return cpus;
    invocation.err('no free cpu found');
    throw new Exit(1);
  }
  const words = settings.isList('cpus') ? (settings.strings('cpus') ?? []).map(atoi) : undefined;
  const range = words === undefined ? settings.string('cpus') : undefined;
  const cpus = words ?? (range === undefined ? [] : readCpus(invocation, range, list.cpus));
  const taken = cpus.find((cpu) => !free.has(cpu));
  if (taken === undefined) return [...new Set(cpus)];
  invocation.err(`cpu ${taken} illegal or not free`);
  throw new Exit(1);
}
