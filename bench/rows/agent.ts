import { median } from '../guest/boots.ts';
import { Xenolith } from '../guest/xenolith.ts';
import type { AgentClient } from '../../src/toolstack/agent/client.ts';
import { channelName } from '../../src/toolstack/agent/protocol.ts';
import type { Row } from '../row.ts';

const MEMORY_MIB = 128;
/** The first ones find code that is not translated yet. */
const WARM_UP = 100;
const PROGRAMS = 200;
const OUTPUT_MIB = 4;
const OUTPUTS = 3;

let times: Promise<{ readonly exec: number; readonly output: number }> | undefined;

/** Milliseconds a program, and MB a second of what one prints, of a guest that has done both before. */
async function measured(note: (text: string) => void): Promise<{ exec: number; output: number }> {
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
    const output: number[] = [];
    await agent.writeFile('/tmp/noise', crypto.getRandomValues(new Uint8Array(32 * 1024)));
    for (let n = 0; n <= OUTPUTS; n++) {
      note(`output ${n} of ${OUTPUTS}`);
      output.push(await print(agent));
    }
    agent.close();
    return { exec: median(exec), output: median(output.slice(1)) };
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

/** Of bytes as they come, neither all zeros nor text. */
async function print(agent: AgentClient): Promise<number> {
  const script = `n=0; while [ $n -lt ${OUTPUT_MIB * 32} ]; do cat /tmp/noise; n=$((n + 1)); done`;
  const from = performance.now();
  const { stdout } = await (await agent.exec(['sh', '-c', script])).output();
  if (stdout.length !== OUTPUT_MIB * 2 ** 20) throw new Error(`the guest printed ${stdout.length} bytes`);
  return stdout.length / 1e6 / ((performance.now() - from) / 1000);
}

const measure = (note: (text: string) => void): NonNullable<typeof times> => (times ??= measured(note));

export const agentExec: Row = {
  name: 'agent.exec',
  about: `/bin/true in a guest that runs, by its agent: from the request to its exit code, median of ${PROGRAMS}`,
  unit: 'ms',
  better: 'lower',
  goal: 10,
  peers: {},
  measure: async (note) => (await measure(note)).exec,
};

export const agentOutput: Row = {
  name: 'agent.output',
  about: `what a program in a guest prints, ${OUTPUT_MIB} MiB of random bytes through the agent's channel; median of ${OUTPUTS}`,
  unit: 'MB/s',
  better: 'higher',
  goal: 2,
  peers: {},
  measure: async (note) => (await measure(note)).output,
};
