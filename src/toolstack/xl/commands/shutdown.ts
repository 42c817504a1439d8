/** `xl shutdown` and `xl reboot`: ask the guest's kernel, and with `-w` wait for what comes of it. */
import type { DaemonClient } from '../../daemon/client.ts';
import { attempt, findDomain, readArguments, type Invocation } from '../command.ts';

const long = { all: 'a', wait: 'w' };

interface Death {
  readonly kind: string;
  readonly domid: number;
  readonly reason: number;
}

export async function run(invocation: Invocation): Promise<number> {
  const { err, name } = invocation;
  const { has, options, arguments: given } = await readArguments(invocation, { short: 'awF', long }, 0);
  const [which] = given;
  if (which === undefined && !has('a')) {
    err('You must specify -a or a domain id.\n');
    return 1;
  }
  const client = await invocation.daemon();
  const domids = has('a') ? await guests(client) : [await findDomain(invocation, which ?? '')];
  // Watching begins before asking: a guest may be quicker than the next request.
  const waits = options.filter((option) => 'letter' in option && option.letter === 'w').length;
  const deaths = new DeathQueue(client);
  if (waits > 0) await client.call('watchDeaths', { domids });
  for (const domid of domids) {
    err(`${name === 'reboot' ? 'Rebooting' : 'Shutting down'} domain ${domid}`);
    // -F is for HVM guests without PV drivers; a PV kernel always has the control interface.
    const failure = await attempt(invocation, () => client.call(name === 'reboot' ? 'reboot' : 'shutdown', { domid }));
    if (failure !== undefined) {
      err(`${name} failed (rc=${failure})`);
      return 1;
    }
  }
  if (waits > 0) await waitForDeaths(domids, waits === 1, deaths, err);
  return 0;
}

async function guests(client: DaemonClient): Promise<readonly number[]> {
  const { domains } = await client.call('list', {});
  return domains.map(({ domid }) => domid).filter((domid) => domid !== 0);
}

async function waitForDeaths(
  domids: readonly number[],
  shutdownIsEnough: boolean,
  deaths: DeathQueue,
  err: (line: string) => void,
): Promise<void> {
  err(`Waiting for ${domids.length} domains`);
  const waiting = new Set(domids);
  while (waiting.size > 0) {
    const { kind, domid, reason } = await deaths.next();
    if (!waiting.has(domid)) continue;
    if (kind === 'destroyed') {
      err(`Domain ${domid} has been destroyed`);
      waiting.delete(domid);
    } else {
      err(`Domain ${domid} has been shut down, reason code ${reason}`);
      if (shutdownIsEnough) waiting.delete(domid);
      else err(`Domain ${domid} continue waiting for death`);
    }
  }
}

class DeathQueue {
  readonly #deaths: Death[] = [];
  #wake: (death: Death) => void = idle;
  #fail: (error: Error) => void = () => undefined;

  constructor(client: DaemonClient) {
    client.onEvent = ({ death, domid, reason }) => {
      if (typeof death !== 'string' || typeof domid !== 'number' || typeof reason !== 'number') return;
      this.#deaths.push({ kind: death, domid, reason });
      this.#flush();
    };
    client.onClosed = () => this.#fail(new Error('the daemon has ended'));
  }

  next(): Promise<Death> {
    return new Promise((resolve, reject) => {
      this.#wake = resolve;
      this.#fail = reject;
      this.#flush();
    });
  }

  #flush(): void {
    const wake = this.#wake;
    const [first] = this.#deaths;
    if (first === undefined || wake === idle) return;
    this.#wake = idle;
    this.#deaths.shift();
    wake(first);
  }
}

function idle(): void {
  // Nobody waits.
}
