/** `xl cp`, which Xen's xl does not have: copies files into a guest and out of one. */
import { AgentError } from '../../agent/errors.ts';
import { copyIn, copyOut } from '../../agent/copy.ts';
import { systemMessage } from '../../system-message.ts';
import { connectAgent, usualWait, waitOf } from '../agent-connection.ts';
import { printHelp, readArguments, type Invocation } from '../command.ts';

interface Place {
  /** Undefined: here. */
  readonly domain: string | undefined;
  readonly path: string;
}

export async function run(invocation: Invocation): Promise<number> {
  const { has, valueOf, arguments: given } = await readArguments(invocation, { short: 'rt:' }, 2);
  const [from, to] = [place(given[0] ?? ''), place(given[1] ?? '')];
  const wait = waitOf(valueOf('t') ?? String(usualWait));
  const domain = from.domain ?? to.domain;
  const wrong =
    given.length > 2 || domain === undefined || (from.domain !== undefined && to.domain !== undefined)
      ? 'One of the two places is DOMAIN:PATH, and the other a file here.'
      : undefined;
  if (wrong !== undefined || domain === undefined || wait === undefined) {
    invocation.err(`${wrong ?? '-t takes a number of seconds.'}\n`);
    await printHelp(invocation, 'cp');
    return 2;
  }
  const agent = await connectAgent(invocation, domain, wait);
  if (agent === undefined) return 1;
  try {
    const options = { recursive: has('r'), skipped: (path: string) => invocation.err(`xl cp: ${path} is left out`) };
    if (from.domain === undefined) await copyIn(agent, from.path, to.path, options);
    else await copyOut(agent, from.path, to.path, options);
    return 0;
  } catch (error) {
    // Of the agent, or of a file of the host.
    if (!(error instanceof AgentError) && !(error instanceof Error && 'syscall' in error)) throw error;
    const path = error instanceof AgentError ? undefined : (error as NodeJS.ErrnoException).path;
    invocation.err(`xl cp: ${path === undefined ? error.message : `${path}: ${systemMessage(error)}`}`);
    return 1;
  } finally {
    agent.close();
    process.stdin.destroy();
  }
}

/** A colon behind a slash belongs to a path, as with scp. */
function place(text: string): Place {
  const [, domain, path] = /^([^/:]+):(.*)$/s.exec(text) ?? [];
  return domain === undefined || path === undefined ? { domain: undefined, path: text } : { domain, path: path || '/' };
}
