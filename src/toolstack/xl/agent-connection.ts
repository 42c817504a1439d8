/** How commands of xl that reach into a guest find its agent. */
import { AgentClient } from '../agent/client.ts';
import { attachAgent } from '../daemon/agent-link.ts';
import { attempt, findDomain, type Invocation } from './command.ts';

/** Seconds that the agent has to answer if nothing is said. */
export const usualWait = 30;
const mostWait = 86_400;

/** Seconds, as milliseconds; undefined when the text is none. */
export function waitOf(text: string): number | undefined {
  const seconds = /^\d{1,6}(\.\d{1,3})?$/.test(text) ? Number(text) : NaN;
  return seconds <= mostWait ? Math.round(seconds * 1000) : undefined;
}

/** Undefined: it has been said why there is none. */
export async function connectAgent(
  invocation: Invocation,
  domain: string,
  timeoutMs: number,
): Promise<AgentClient | undefined> {
  const domid = await findDomain(invocation, domain);
  const client = await invocation.daemonAgain();
  let agent: AgentClient | undefined;
  await attempt(invocation, async () => {
    agent = new AgentClient(await attachAgent(client, domid, timeoutMs));
  });
  if (agent === undefined) client.close();
  return agent;
}
