/** A guest's agent as the guest's programs and files need it: waited for while the guest boots, and found again after a reboot. */
import type { AgentClient } from '../agent/client.ts';
import type { HostParts } from '../assembly/assemble-host.ts';
import { abortable } from './abortable.ts';
import { withApiErrors, XenolithError } from './errors.ts';
import type { KeepAlive } from './keep-alive.ts';

/** How long a guest may take to boot, when the caller's signal does not say. */
const PATIENCE_MS = 300_000;

export interface AgentSource {
  readonly parts: HostParts;
  readonly keepAlive: KeepAlive;
  readonly name: () => string;
  /** Of this boot. Throws XenolithError with code GONE. */
  readonly domid: () => number;
  /** The guest has ended for good. */
  readonly over: Promise<unknown>;
}

export class GuestAgent {
  readonly #source: AgentSource;
  /** Of the domain of this number. */
  #client: { readonly domid: number; readonly client: AgentClient } | undefined;

  constructor(source: AgentSource) {
    this.#source = source;
  }

  /** What the process waits for: with the words and codes of this API. */
  async use<T>(signal: AbortSignal | undefined, work: (client: AgentClient) => Promise<T>): Promise<T> {
    signal?.throwIfAborted();
    return this.#source.keepAlive.during(
      abortable(
        withApiErrors(async () => work(await this.connect(signal))),
        signal,
      ),
    );
  }

  /** Throws AgentNotThereError when the guest has no agent, XenolithError with code GONE when it ends before that answers. */
  async connect(signal: AbortSignal | undefined): Promise<AgentClient> {
    const domid = this.#source.domid();
    if (this.#client?.domid === domid && !this.#client.client.ended) return this.#client.client;
    const over = new AbortController();
    void this.#source.over.then(() => over.abort(new XenolithError('GONE', `${this.#source.name()} has ended`)));
    const either = signal === undefined ? over.signal : AbortSignal.any([over.signal, signal]);
    const client = await this.#source.parts.agents.client(domid, { timeoutMs: PATIENCE_MS, signal: either });
    this.#client = { domid, client };
    return client;
  }
}
