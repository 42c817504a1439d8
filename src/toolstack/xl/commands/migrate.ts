/** `xl migrate`: sends a running domain to `xl migrate-receive` of another host, through the pipes of any command. */
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { MigrationFigures } from '../../migration/transfer.ts';
import { atPaceOf } from '../../drained.ts';
import type { DaemonClient } from '../../daemon/client.ts';
import { libxlErrors } from '../../domain/libxl-error.ts';
import { StreamError } from '../../migration/byte-stream.ts';
import { attempt, findDomain, readArguments, type Invocation } from '../command.ts';
import { showFrames } from '../frames-progress.ts';
import { messages, PipeSource } from '../migration-handshake.ts';
import { Patience, stalledMs } from '../patience.ts';
import { headerOf } from '../saved-config.ts';
import { daemonEnded } from '../daemon-ended.ts';

const long = { debug: 'x', live: 'l' };
/** How long the receiver's command gets to end by itself. */
const LAST_MS = 2000;

type Child = ChildProcessByStdio<Writable, Readable, null>;

export async function run(invocation: Invocation): Promise<number> {
  const { has, valueOf, arguments: given } = await readArguments(invocation, { short: 'FC:s:epD', long }, 2);
  const [name = '', host = ''] = given;
  const domid = await findDomain(invocation, name);
  const header = await headerOf(invocation, domid, { configFile: valueOf('C'), keepDomid: has('D') });
  const ssh = valueOf('s') ?? 'ssh';
  const flags = `${has('e') || has('F') ? ' -e' : ''}${has('x') ? ' -d' : ''}${has('p') ? ' -p' : ''}`;
  // As xl: an empty -s means that the host itself is the command.
  const rune = ssh === '' ? host : `exec ${ssh} ${host} xl migrate-receive${flags}`;
  const child = spawn('sh', ['-c', rune], { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.on('error', () => undefined);
  const ended = once(child, 'close');
  try {
    return await new Sender(invocation, domid, child, rune).send(header);
  } finally {
    child.stdin.end();
    child.stdout.destroy();
    const late = new AbortController();
    await Promise.race([ended, sleep(LAST_MS, undefined, { signal: late.signal }).catch(() => undefined)]);
    late.abort();
    // One that hangs has nothing left to do.
    if (child.exitCode === null) child.kill();
  }
}

class Sender {
  readonly #invocation: Invocation;
  readonly #domid: number;
  readonly #child: Child;
  readonly #rune: string;
  readonly #answers: PipeSource;

  constructor(invocation: Invocation, domid: number, child: Child, rune: string) {
    this.#invocation = invocation;
    this.#domid = domid;
    this.#child = child;
    this.#rune = rune;
    this.#answers = new PipeSource(child.stdout);
  }

  async send(header: { readonly bytes: Uint8Array; readonly info: string }): Promise<number> {
    const { err } = this.#invocation;
    const client = await this.#invocation.daemon();
    if (!(await this.#heard('banner', 'banner'))) {
      err(`(command run was: ${this.#rune} )`);
      return 1;
    }
    // Not before: who logs in by ssh may have to type.
    this.#answers.limit(stalledMs(process.env));
    this.#child.stdin.write(header.bytes);
    err(`Saving to migration stream new xl format (info ${header.info})`);
    const figures = await this.#sendDomain(client);
    if (figures === undefined) return 1;
    if (!(await this.#heard('ready', 'ready message')))
      return this.#resume(client, 'Migration failed, resuming at sender.');
    err('migration sender: Target has acknowledged transfer.');
    if ((await this.#ask(() => client.call('giveAway', { domid: this.#domid }))) !== undefined) {
      if (!(await daemonEnded(client))) return this.#resume(client, 'Migration failed, resuming at sender.');
      err('migration sender: The daemon here has ended, and its domains with it: what the target has is all there is.');
    }
    err('migration sender: Giving target permission to start.');
    this.#child.stdin.write(messages.permission, 'latin1');
    return this.#verdict(client, figures);
  }

  async #sendDomain(client: DaemonClient): Promise<MigrationFigures | undefined> {
    const { err } = this.#invocation;
    const { stdin } = this.#child;
    const frames = showFrames(err, 'live');
    client.onEvent = frames.event;
    // A receiver that is gone, or takes nothing: the daemon stops to send, and the domain goes on.
    let lost = false;
    const lose = (): void => {
      lost = true;
      client.close();
    };
    const patience = new Patience(stalledMs(process.env), lose);
    client.onData = atPaceOf(stdin, {
      pause: () => {
        client.pause();
        patience.begin();
      },
      resume: () => {
        patience.end();
        client.resume();
      },
    });
    stdin.once('close', lose);
    let figures: MigrationFigures | undefined;
    let failure: number | undefined;
    try {
      // What the daemon has to say of a connection that we have closed is of no interest.
      const quiet = { ...this.#invocation, err: (line: string) => void (lost || err(line)) };
      failure = await attempt(quiet, async () => {
        figures = await client.call('migrateSend', { domid: this.#domid });
      });
    } finally {
      frames.end();
      patience.end();
    }
    stdin.off('close', lose);
    if (figures !== undefined) return figures;
    err(
      lost
        ? 'migration sender: the receiver has closed the migration stream'
        : `migration sender: libxl_domain_suspend failed (rc=${failure})`,
    );
    err(
      failure === libxlErrors.TIMEDOUT
        ? 'Migration failed, failed to suspend at sender.'
        : 'Migration failed, resuming at sender.',
    );
    return undefined;
  }

  async #verdict(client: DaemonClient, { passes, pagesSent, began, stopped }: MigrationFigures): Promise<number> {
    const { err } = this.#invocation;
    let code: number;
    try {
      await this.#answers.expect('report', 'success/failure report message');
      code = (await this.#answers.read(1))[0] ?? 1;
    } catch (error) {
      if (!(error instanceof StreamError)) throw error;
      for (const line of undefinedState) err(line);
      this.#tellOfCopy();
      return 1;
    }
    const now = Date.now();
    if (code !== 0) {
      err(`migration sender: Target reports startup failure (status code ${code}).`);
      if (!(await this.#heard('permission', 'permission for sender to resume'))) {
        this.#tellOfCopy();
        return 1;
      }
      err('migration sender: Trying to resume at our end.');
      return this.#resume(client, 'Migration failed due to problems at target.');
    }
    err('migration sender: Target reports successful startup.');
    await this.#ask(() => client.call('destroy', { domid: this.#domid }));
    err(
      `migration sender: ${passes} passes, ${pagesSent} pages, ${((now - began) / 1000).toFixed(2)} s in all, stopped for ${now - stopped} ms`,
    );
    err('Migration successful.');
    return 0;
  }

  async #resume(client: DaemonClient, why: string): Promise<number> {
    const { err } = this.#invocation;
    if ((await this.#ask(() => client.call('takeBack', { domid: this.#domid }))) === undefined)
      err('migration sender: Resumed OK.');
    err(why);
    return 1;
  }

  #tellOfCopy(): void {
    this.#invocation.err(
      `The copy here is suspended; "xl unpause ${this.#domid}" lets it go on, "xl destroy ${this.#domid}" gives it up.`,
    );
  }

  #ask(request: () => Promise<unknown>): Promise<number | undefined> {
    return attempt(this.#invocation, request);
  }

  async #heard(message: keyof typeof messages, what: string): Promise<boolean> {
    try {
      await this.#answers.expect(message, what);
      return true;
    } catch (error) {
      if (!(error instanceof StreamError)) throw error;
      this.#invocation.err(`migration sender: no ${what} from the receiver: ${error.message}`);
      return false;
    }
  }
}

const undefinedState = [
  '** Migration failed during final handshake **',
  'Domain state is now undefined !',
  'Please CHECK AT BOTH ENDS for running instances, before renaming and',
  ' resuming at most one instance.  Two simultaneous instances of the domain',
  ' would probably result in SEVERE DATA LOSS and it is now your',
  ' responsibility to avoid that.  Sorry.',
];
