/**
 * A terminal, or whatever standard input and output are, connected to a domain's console. First comes what the domain has printed so
 * far. Ctrl-], or another character, leaves, also when it comes from a pipe; the end of standard input does not: output goes on until the domain ends.
 */
import type { ReadStream } from 'node:tty';
import type { DaemonClient } from '../daemon/client.ts';
import { atPaceOf } from '../drained.ts';

/** Ctrl-] */
const usualEscape = 0x1d;

export interface ConsoleStreams {
  readonly input: NodeJS.ReadStream;
  readonly output: NodeJS.WriteStream;
  /** The byte that leaves; Ctrl-] unless it is given. */
  readonly escape?: number;
}

/** A character, or a letter after a caret for one with Ctrl, as xenconsole reads `--escape`. Undefined: neither. */
export function parseEscape(text: string): number | undefined {
  const bytes = Buffer.from(text);
  const [first, second] = bytes;
  if (bytes.length === 2 && first === 0x5e && second !== undefined) return second & 0x1f;
  return bytes.length === 1 ? first : undefined;
}

/** How a session ended: the user left, the console ended with its domain, or the daemon is gone. */
export type ConsoleEnd = 'left' | 'ended' | 'lost';

/** `attach` asks for the console, once everything is ready to take what comes. */
export async function runConsole(
  client: DaemonClient,
  attach: () => Promise<void>,
  streams: ConsoleStreams,
): Promise<ConsoleEnd> {
  const { input, output, escape = usualEscape } = streams;
  const raw = input.isTTY === true && output.isTTY === true ? (input as ReadStream) : undefined;
  let finish: (how: ConsoleEnd) => void = () => undefined;
  const finished = new Promise<ConsoleEnd>((resolve) => (finish = resolve));
  // A reader that is slow stops the daemon too, which then keeps its place in the scroll-back.
  client.onData = atPaceOf(output, client);
  client.onEvent = ({ end }) => {
    if (end === true) finish('ended');
  };
  client.onClosed = () => finish('lost');
  const onInput = (bytes: Buffer): void => {
    const leave = bytes.indexOf(escape);
    const typed = leave < 0 ? bytes : bytes.subarray(0, leave);
    if (typed.length > 0 && !client.send(typed)) {
      input.pause();
      void client.whenDrained().then(() => input.resume());
    }
    if (leave >= 0) finish('left');
  };
  // `xl console web | head` must not leave a stack trace.
  const onOutputError = (): void => finish('left');
  output.on('error', onOutputError);
  raw?.setRawMode(true);
  try {
    await attach();
    input.on('data', onInput);
    input.on('error', ignore);
    // A stream that an earlier session paused does not flow again by itself.
    input.resume();
    return await finished;
  } finally {
    raw?.setRawMode(false);
    input.off('data', onInput);
    input.off('error', ignore);
    input.pause();
    output.off('error', onOutputError);
  }
}

function ignore(): void {
  // Standard input cannot be read: there is nothing to type.
}
