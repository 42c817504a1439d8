import { randomBytes } from 'node:crypto';
import { median } from '../guest/boots.ts';
import { Xenolith } from '../guest/xenolith.ts';
import type { AgentClient } from '../../src/toolstack/agent/client.ts';
import { channelName } from '../../src/toolstack/agent/protocol.ts';
import type { Row } from '../row.ts';

const MEMORY_MIB = 128;
/** The first ones find code that is not translated yet. */
const WARM_UP = 100;
const PROGRAMS = 200;
const MIB = 2 ** 20;
const TRANSFER_MIB = 4;
const TRANSFERS = 3;
/** Neither all zeros nor text. */
const noise = randomBytes(TRANSFER_MIB * MIB);

/** Milliseconds a program, and MB a second, of a guest that has done all of this before. */
interface Figures {
  readonly exec: number;
  readonly output: number;
  readonly copyIn: number;
  readonly copyOut: number;
}

let figures: Promise<Figures> | undefined;

async function measured(note: (text: string) => void): Promise<Figures> {
  const channel = [`connection=internal, name=${channelName}`];
  const xenolith = await Xenolith.start(note, { memory: MEMORY_MIB, channel });
  try {
    const guest = await xenolith.create();
    await guest.shell();
    const agent = await xenolith.agent(guest.domid);
    note('programs');
    for (let n = 0; n < WARM_UP; n++) await program(agent);
    const exec: number[] = [];
    for (let n = 0; n < PROGRAMS; n++) exec.push(await program(agent));
    const transfers: { in: number[]; out: number[]; output: number[] } = { in: [], out: [], output: [] };
    for (let n = 0; n <= TRANSFERS; n++) {
      note(`transfers ${n} of ${TRANSFERS}`);
      transfers.in.push(await throughput(() => agent.writeFile('/tmp/noise', noise)));
      transfers.out.push(await throughput(() => agent.readFile('/tmp/noise')));
      transfers.output.push(await throughput(() => print(agent)));
    }
    agent.close();
    const warm = (values: number[]): number => median(values.slice(1));
    const { in: copyIn, out: copyOut, output } = transfers;
    return { exec: median(exec), output: warm(output), copyIn: warm(copyIn), copyOut: warm(copyOut) };
  } finally {
    await xenolith.close();
  }
}

async function program(agent: AgentClient): Promise<number> {
  const from = performance.now();
  const { status } = await (await agent.exec(['/bin/true'])).output();
  if (status.code !== 0) throw new Error('/bin/true failed in the guest');
  return performance.now() - from;
}

/** MB a second of what brings, or takes, the noise. */
async function throughput(transfer: () => Promise<Uint8Array | void>): Promise<number> {
  const from = performance.now();
  const got = await transfer();
  const seconds = (performance.now() - from) / 1000;
  if (got instanceof Uint8Array && !noise.equals(got)) throw new Error('the guest gave other bytes than it got');
  return noise.length / 1e6 / seconds;
}

async function print(agent: AgentClient): Promise<Uint8Array> {
  return (await (await agent.exec(['cat', '/tmp/noise'])).output()).stdout;
}

const measure = (note: (text: string) => void): Promise<Figures> => (figures ??= measured(note));

export const agentExec: Row = {
  name: 'agent.exec',
  about: `/bin/true in a guest that runs, by its agent: from the request to its exit code, median of ${PROGRAMS}`,
  unit: 'ms',
  better: 'lower',
  goal: 10,
  peers: {},
  measure: async (note) => (await measure(note)).exec,
};

/** A transfer of so many MiB of random bytes. */
const transfer = (name: string, about: string, goal: number, figure: (figures: Figures) => number): Row => ({
  name,
  about: `${about}, ${TRANSFER_MIB} MiB of random bytes; median of ${TRANSFERS}`,
  unit: 'MB/s',
  better: 'higher',
  goal,
  peers: {},
  measure: async (note) => figure(await measure(note)),
});

export const agentOutput = transfer(
  'agent.output',
  'what a program in a guest prints, through the agent’s channel',
  2,
  ({ output }) => output,
);
export const agentCopyOut = transfer(
  'agent.copy.out',
  'a file of the guest read by its agent',
  2,
  ({ copyOut }) => copyOut,
);
export const agentCopyIn = transfer(
  'agent.copy.in',
  'a file written into the guest by its agent',
  1,
  ({ copyIn }) => copyIn,
);
