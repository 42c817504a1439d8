/** `xl psr-*`: monitoring and allocation of caches and memory bandwidth, which the guests' processor does not have. */
import { libxlLine } from '../../domain/libxl-error.ts';
import { Exit, findDomain, printHelp, readArguments, type Invocation } from '../command.ts';
import type { OptionRules } from '../getopt.ts';

type Options = Awaited<ReturnType<typeof readArguments>>;
type Psr = (invocation: Invocation, options: Options) => number | Promise<number>;

/** libxl's ERROR_FAIL, and -1, as exit codes. */
const failed = 253;
const minusOne = 255;

const set = { socket: 's:' };
const commands: Readonly<
  Record<string, { readonly required: number; readonly rules: OptionRules; readonly run: Psr }>
> = {
  'psr-hwinfo': { required: 0, rules: { short: 'mab', long: { cmt: 'm', cat: 'a', mba: 'b' } }, run: hardware },
  'psr-cmt-attach': { required: 1, rules: { short: '' }, run: monitorDomain },
  'psr-cmt-detach': { required: 1, rules: { short: '' }, run: monitorDomain },
  'psr-cmt-show': { required: 1, rules: { short: '' }, run: showMonitoring },
  'psr-cat-set': {
    required: 0,
    rules: { short: 's:l:cd', long: { ...set, data: 'd', code: 'c', level: 'l:' } },
    run: setCache,
  },
  'psr-cat-show': { required: 0, rules: { short: 'l:', long: { level: 'l:' } }, run: showCache },
  'psr-mba-set': { required: 0, rules: { short: 's:', long: set }, run: setBandwidth },
  'psr-mba-show': { required: 0, rules: { short: '' }, run: showBandwidth },
};

export async function run(invocation: Invocation): Promise<number> {
  const command = commands[invocation.name];
  if (command === undefined) throw new Error(`no command of PSR: ${invocation.name}`);
  return command.run(invocation, await readArguments(invocation, command.rules, command.required));
}

function hardware({ out }: Invocation, { has }: Options): number {
  const all = !has('m') && !has('a') && !has('b');
  if (all || has('m')) out(`Cache Monitoring Technology (CMT):\n${'Enabled'.padEnd(16)}: 0\n`);
  return all || has('a') || has('b') ? failed : 0;
}

async function monitorDomain(invocation: Invocation, { arguments: [domain = ''] }: Options): Promise<number> {
  await findDomain(invocation, domain);
  const text = 'CMT is not supported in this system: No such device';
  invocation.err(libxlLine('libxl__psr_cmt_log_err_msg', text));
  return failed;
}

async function showMonitoring(invocation: Invocation, { arguments: given }: Options): Promise<number> {
  const [type = '', domain] = given;
  const known = ['cache-occupancy', 'total-mem-bandwidth', 'local-mem-bandwidth'].includes(type);
  if (!known || given.length > 2) return help(invocation, 2);
  if (domain !== undefined) await findDomain(invocation, domain);
  invocation.err('CMT is disabled in the system');
  return minusOne;
}

async function setCache(invocation: Invocation, { has, valueOf, arguments: given }: Options): Promise<number> {
  const { err } = invocation;
  const level = has('l') ? Number.parseInt(valueOf('l') ?? '', 10) || 0 : 3;
  const refuse = (line: string): never => {
    err(line);
    throw new Exit(1);
  };
  if (level === 2 && (has('c') || has('d'))) refuse('L2 CAT does not support CDP yet.');
  if (level === 3 && has('c') && has('d')) refuse('Cannot handle -c and -d at the same time');
  if (level !== 2 && level !== 3) refuse(`Input lvl ${level} is wrong`);
  if (given.length !== 2) return help(invocation, 2);
  await findDomain(invocation, given[0] ?? '');
  const feature = level === 2 ? 'L2 CAT' : has('c') || has('d') ? 'CDP' : 'L3 CAT';
  return unsupported(invocation, feature);
}

async function setBandwidth(invocation: Invocation, { arguments: given }: Options): Promise<number> {
  if (given.length !== 2) return help(invocation, 1);
  await findDomain(invocation, given[0] ?? '');
  return unsupported(invocation, 'MBA');
}

async function showCache(invocation: Invocation, options: Options): Promise<number> {
  const level = options.has('l') ? Number.parseInt(options.valueOf('l') ?? '', 10) || 0 : 3;
  return show(invocation, options, level === 2 || level === 3 ? undefined : `Input lvl ${level} is wrong`);
}

function showBandwidth(invocation: Invocation, options: Options): Promise<number> {
  return show(invocation, options, undefined);
}

async function show(invocation: Invocation, { arguments: given }: Options, wrong: string | undefined): Promise<number> {
  const [domain, extra] = given;
  if (extra !== undefined) return help(invocation, 2);
  if (domain !== undefined) await findDomain(invocation, domain);
  invocation.err(wrong ?? 'Failed to get info');
  return wrong === undefined ? failed : 1;
}

function unsupported({ err }: Invocation, feature: string): number {
  err(libxlLine('libxl__psr_alloc_log_err_msg', `${feature}: is not supported in this system`));
  return failed;
}

async function help(invocation: Invocation, code: number): Promise<number> {
  await printHelp(invocation, invocation.name);
  return code;
}
