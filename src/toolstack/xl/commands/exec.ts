/** `xl exec`, which Xen's xl does not have: runs a program in a guest, with this process' standard streams and its exit code. */
import type { AgentClient } from '../../agent/client.ts';
import { AgentError, ExecError } from '../../agent/errors.ts';
import { signalNumber } from '../../agent/linux-numbers.ts';
import type { GuestProgram } from '../../agent/program.ts';
import { drained } from '../../drained.ts';
import { connectAgent, usualWait, waitOf } from '../agent-connection.ts';
import { printHelp, readArguments, type Invocation } from '../command.ts';
import type { ParsedOption } from '../getopt.ts';

/** What a shell exits with for a command that is not there, one that cannot be run, and, with the signal's number, one that was ended by a signal. */
const notFound = 127;
const notRunnable = 126;
const bySignal = 128;
/** Of ssh: nothing was run at all. */
const notReached = 255;

const forwarded = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const;

export async function run(invocation: Invocation): Promise<number> {
  // Options end at the domain: what follows has options of its own.
  const parsed = await readArguments(invocation, { short: '+e:d:t:n' }, 2);
  const { has, valueOf, arguments: given } = parsed;
  const [domain = '', ...rest] = given;
  const command = rest[0] === '--' ? rest.slice(1) : rest;
  const wait = waitOf(valueOf('t') ?? String(usualWait));
  const env = environment(parsed.options);
  const wrong =
    command.length === 0
      ? "'xl exec' requires a command."
      : wait === undefined
        ? '-t takes a number of seconds.'
        : typeof env === 'string'
          ? `-e takes NAME=VALUE, not ${env}`
          : undefined;
  if (wrong !== undefined || wait === undefined || typeof env === 'string') {
    invocation.err(`${wrong ?? ''}\n`);
    await printHelp(invocation, 'exec');
    return 2;
  }
  const agent = await connectAgent(invocation, domain, wait);
  if (agent === undefined) return notReached;
  try {
    return await pass(agent, command, { env, cwd: valueOf('d'), stdin: !has('n') });
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    invocation.err(`xl exec: ${error.message}`);
    if (error instanceof ExecError) return error.code === 'ENOENT' ? notFound : notRunnable;
    return notReached;
  } finally {
    agent.close();
    process.stdin.destroy();
  }
}

/** All that -e says, or the text that is no variable. */
function environment(options: readonly ParsedOption[]): Record<string, string> | string {
  const env: Record<string, string> = {};
  for (const option of options) {
    if (!('letter' in option) || option.letter !== 'e') continue;
    const [, name, value] = /^([^=]+)=(.*)$/s.exec(option.value ?? '') ?? [];
    if (name === undefined || value === undefined) return option.value ?? '';
    env[name] = value;
  }
  return env;
}

interface How {
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string | undefined;
  readonly stdin: boolean;
}

async function pass(agent: AgentClient, command: readonly string[], { env, cwd, stdin }: How): Promise<number> {
  const source = stdin && process.stdin.readable ? (process.stdin as AsyncIterable<Uint8Array>) : undefined;
  const program = await agent.exec(command, { env, cwd, stdin: source });
  const stop = forwardSignals(program);
  try {
    const outputs = [copy(program.stdout, process.stdout), copy(program.stderr, process.stderr)];
    const { code, signal } = await program.exited;
    await Promise.all(outputs);
    return code ?? bySignal + signalNumber(signal);
  } finally {
    stop();
  }
}

function forwardSignals(program: GuestProgram): () => void {
  const forward = (signal: NodeJS.Signals): void => program.kill(signal);
  for (const signal of forwarded) process.on(signal, forward);
  return () => {
    for (const signal of forwarded) process.off(signal, forward);
  };
}

/** At the reader's pace. When there is no reader any more, the rest is thrown away, as `yes | head` wants it: the program gets no signal for that. */
async function copy(from: ReadableStream<Uint8Array>, to: NodeJS.WriteStream): Promise<void> {
  let open = true;
  const lost = (): void => void (open = false);
  to.on('error', lost);
  try {
    for await (const bytes of from) {
      if (!open) return;
      if (!to.write(bytes)) await drained(to);
    }
    // xl ends by exit(3), which leaves behind what a pipe has not taken yet.
    if (open) await new Promise<void>((resolve) => to.write('', () => resolve()));
  } finally {
    to.off('error', lost);
  }
}
