/** `xl console` */
import { attempt, findDomain, readArguments, type Invocation } from '../command.ts';
import { atoi } from '../../config/numbers.ts';
import { parseEscape, runConsole } from '../console-session.ts';

/** EINVAL and ENOENT, which xenconsole exits with. */
const exitInvalid = 22;
const exitNoConsole = 2;

export async function run(invocation: Invocation): Promise<number> {
  const { err } = invocation;
  const { valueOf, arguments: given } = await readArguments(invocation, { short: 'n:t:e:' }, 1);
  const type = valueOf('t') ?? 'pv';
  if (!['pv', 'serial', 'vuart'].includes(type)) {
    err('console type supported are: pv, serial, vuart');
    return 1;
  }
  const escape = parseEscape(valueOf('e') ?? '^]');
  if (escape === undefined) {
    err('the escape character is one character, or a caret and a letter, as ^]');
    return 1;
  }
  const domid = await findDomain(invocation, given[0] ?? '');
  if (domid === 0) {
    err("Can't specify Domain-0");
    return exitInvalid;
  }
  const client = await invocation.daemon();
  const { domains } = await client.call('list', { domid });
  if (domains.length === 0) {
    err(`libxl: error: libxl_dom.c:37:libxl__domain_type: unable to get domain type for domid=${domid}`);
    err('Unable to attach console');
    return 1;
  }
  // Departs from xl, which attaches to the first console whatever -n says, unless there is a -t too.
  const num = atoi(valueOf('n') ?? '0');
  if (type !== 'pv') {
    err('xenconsole: Could not read tty from store: No such file or directory');
    return exitNoConsole;
  }
  let failure: number | undefined;
  const end = await runConsole(
    client,
    async () => {
      failure = await attempt(invocation, () => client.call('attachConsole', { domid, num }));
      if (failure !== undefined) client.onClosed();
    },
    { input: process.stdin, output: process.stdout, escape },
  );
  if (failure !== undefined) return exitNoConsole;
  if (end !== 'lost') return 0;
  err('xl: the daemon has ended, and the domain with it');
  return 1;
}
