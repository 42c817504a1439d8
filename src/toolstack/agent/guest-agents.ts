/**
 * The agents of a host's guests. There is one session with each, made when somebody first wants something of it, and shared; it ends with the domain, and
 * a domain that comes back, restored or cloned, gets one of its own.
 */
import type { DomainConsole } from '../../dom0/console/index.ts';
import type { Xenstore } from '../../dom0/xenstore/index.ts';
import { findChannel } from '../devices/channels.ts';
import { AgentClient } from './client.ts';
import { AgentNotThereError } from './errors.ts';
import { AgentHub } from './hub.ts';
import type { AgentLink } from './link.ts';
import { reasonOf } from './program.ts';
import { channelName } from './protocol.ts';
import { AgentSession } from './session.ts';

export interface GuestAgentsGlue {
  readonly xs: Pick<Xenstore, 'ls' | 'read'>;
  /** A domain's console as soon as the guest has connected to it. */
  readonly whenServed: (domid: number, num: number, signal: AbortSignal) => Promise<DomainConsole>;
}

export interface WaitOptions {
  /** How long to wait for the guest to have come so far. 30 seconds if nothing is said. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

const usualTimeoutMs = 30_000;

/** The agent's channel, as a configuration has it. */
export const agentChannel = `connection=internal, name=${channelName}`;
/** What a configuration has to say for a guest to have the channel. */
export const channelLine = `channel = [ "${agentChannel}" ]`;

interface Opening {
  readonly hub: Promise<AgentHub>;
  readonly abort: AbortController;
  waiting: number;
}

export class GuestAgents {
  readonly #glue: GuestAgentsGlue;
  readonly #hubs = new Map<number, AgentHub>();
  readonly #opening = new Map<number, Opening>();

  constructor(glue: GuestAgentsGlue) {
    this.#glue = glue;
  }

  /** A client of one's own. Throws AgentNotThereError, or the signal's reason. */
  async client(domid: number, options: WaitOptions = {}): Promise<AgentClient> {
    return new AgentClient(await this.link(domid, options));
  }

  /** What a client speaks over. */
  async link(domid: number, options: WaitOptions = {}): Promise<AgentLink> {
    const { signal } = options;
    signal?.throwIfAborted();
    const known = this.#hubs.get(domid);
    if (known !== undefined && !known.ended) return known.link();
    const opening = this.#opening.get(domid) ?? this.#open(domid);
    opening.waiting += 1;
    try {
      return (await this.#patiently(opening.hub, options)).link();
    } finally {
      opening.waiting -= 1;
      if (opening.waiting === 0) this.#giveUp(domid, opening);
    }
  }

  /** Ends all sessions. */
  close(): void {
    for (const { abort } of this.#opening.values()) abort.abort(new AgentNotThereError('the host ends'));
    for (const hub of this.#hubs.values()) hub.close();
  }

  #open(domid: number): Opening {
    const num = findChannel(this.#glue.xs, domid, channelName);
    if (num === undefined) {
      const hint = `this line in its configuration gives it one: ${channelLine}`;
      throw new AgentNotThereError(`domain ${domid} has no channel to an agent`, { hint });
    }
    const abort = new AbortController();
    const hub = this.#session(domid, num, abort.signal);
    const opening = { hub, abort, waiting: 0 };
    this.#opening.set(domid, opening);
    hub.finally(() => this.#giveUp(domid, opening)).catch(() => undefined);
    return opening;
  }

  /** Nobody waits for it any more, or it is there, or cannot be had. */
  #giveUp(domid: number, opening: Opening): void {
    if (this.#opening.get(domid) === opening) this.#opening.delete(domid);
    opening.abort.abort(new AgentNotThereError('nobody waits for the agent any more'));
  }

  async #session(domid: number, num: number, signal: AbortSignal): Promise<AgentHub> {
    const console = await this.#glue.whenServed(domid, num, signal);
    const hub = new AgentHub(await AgentSession.open(console.attach('now'), { signal }));
    this.#hubs.set(domid, hub);
    hub.onEnd = () => {
      if (this.#hubs.get(domid) === hub) this.#hubs.delete(domid);
    };
    return hub;
  }

  async #patiently<T>(wanted: Promise<T>, { timeoutMs = usualTimeoutMs, signal }: WaitOptions): Promise<T> {
    const { promise, reject } = Promise.withResolvers<never>();
    const seconds = Math.round(timeoutMs / 100) / 10;
    const late = (): void => reject(new AgentNotThereError(`no agent answers in the guest within ${seconds} seconds`));
    const timer = setTimeout(late, timeoutMs);
    const abort = (): void => {
      if (signal !== undefined) reject(reasonOf(signal));
    };
    signal?.addEventListener('abort', abort, { once: true });
    try {
      return await Promise.race([wanted, promise]);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
    }
  }
}
