/** What lies between those who ask the agent for something and the channel that leads to it. */
import type { Message } from './protocol.ts';

/** A way to a guest's agent that somebody has for himself: ids are his own. */
export interface AgentLink {
  /** Programs and file operations at a time, all users together. */
  readonly operations: number;
  /** Bytes that may be sent to one of them before it says that it has room again. */
  readonly window: number;
  send(message: Message): void;
  /** Resolves when not much waits to be sent. Whoever sends more than a request waits for it before each message. */
  ready(): Promise<void>;
  /** Gets each message of the agent. */
  onMessage: (message: Message) => void;
  /** Called once: nothing comes any more, for this reason. */
  onEnd: (why: Error) => void;
  /** Ends it, and what was asked for over it: its programs are killed. */
  close(): void;
}

/** Bytes to and from a guest, in order. What is lost on the way after all is noticed, and only that. */
export interface ByteChannel {
  /** What comes; ends with the guest's end. */
  [Symbol.asyncIterator](): AsyncIterator<Uint8Array>;
  /** Resolves when it has been taken; false: the other end is gone. */
  write(bytes: Uint8Array): Promise<boolean>;
  /** Lets go of it. */
  detach(): void;
}
