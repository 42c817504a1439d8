/** One session with a guest's agent, shared by several who want something of it: the daemon's clients, and whoever else is in its process. */
import { AgentGoneError } from './errors.ts';
import type { AgentLink } from './link.ts';
import { Ask, message, Tell, type Message } from './protocol.ts';
import type { AgentSession } from './session.ts';

interface User {
  readonly link: AgentLink;
  /** What he has asked for: his ids to those of the session. */
  readonly ids: Map<number, number>;
}

export class AgentHub {
  readonly #session: AgentSession;
  readonly #users = new Set<User>();
  /** Ids of the session: whose it is, and how he calls it. */
  readonly #asked = new Map<number, { readonly user: User; readonly id: number }>();
  #nextId = 1;
  #ended: Error | undefined;
  /** The session has ended. */
  onEnd: () => void = () => undefined;

  constructor(session: AgentSession) {
    this.#session = session;
    session.onMessage = (answer) => this.#take(answer);
    session.onEnd = (why) => this.#end(why);
  }

  /** Nothing can be asked for any more. */
  get ended(): boolean {
    return this.#ended !== undefined;
  }

  close(): void {
    this.#session.close();
  }

  /** A link of one's own. Throws when the session has ended. */
  link(): AgentLink {
    if (this.#ended !== undefined) throw this.#ended;
    const session = this.#session;
    const ids = new Map<number, number>();
    const link: AgentLink = {
      operations: session.operations,
      window: session.window,
      onMessage: () => undefined,
      onEnd: () => undefined,
      ready: () => session.ready(),
      send: (asked) => this.#send(user, asked),
      close: () => this.#leave(user),
    };
    const user: User = { link, ids };
    this.#users.add(user);
    return link;
  }

  #send(user: User, asked: Message): void {
    if (!this.#users.has(user)) return;
    if (asked.type === Ask.open && !user.ids.has(asked.id)) {
      const id = this.#newId();
      user.ids.set(asked.id, id);
      this.#asked.set(id, { user, id: asked.id });
    }
    const id = user.ids.get(asked.id);
    if (id === undefined || asked.type === Ask.reset) return;
    this.#session.send({ ...asked, id });
    if (asked.type === Ask.close) this.#forget(id);
  }

  #take(answer: Message): void {
    const asked = this.#asked.get(answer.id);
    if (asked === undefined) return;
    // The last word about everything.
    if (answer.type === Tell.result) this.#forget(answer.id);
    asked.user.link.onMessage({ ...answer, id: asked.id });
  }

  #forget(id: number): void {
    const asked = this.#asked.get(id);
    this.#asked.delete(id);
    asked?.user.ids.delete(asked.id);
  }

  #newId(): number {
    while (this.#asked.has(this.#nextId)) this.#nextId = (this.#nextId + 1) >>> 0;
    const id = this.#nextId;
    this.#nextId = (id + 1) >>> 0;
    return id;
  }

  #leave(user: User): void {
    if (!this.#users.delete(user)) return;
    for (const id of [...user.ids.values()]) {
      this.#session.send(message(Ask.close, id));
      this.#forget(id);
    }
    user.link.onEnd(new AgentGoneError('the link to the guest’s agent was closed'));
  }

  #end(why: Error): void {
    this.#ended = why;
    this.#asked.clear();
    for (const { link } of this.#users) link.onEnd(why);
    this.#users.clear();
    this.onEnd();
  }
}
