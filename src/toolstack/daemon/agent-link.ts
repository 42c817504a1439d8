/** A link to a guest's agent over the daemon's socket: once `attachAgent` is answered, data frames carry the messages as the guest's channel does. */
import { AgentGoneError } from '../agent/errors.ts';
import { encodeFrame, FrameDecoder } from '../agent/frames.ts';
import type { AgentLink } from '../agent/link.ts';
import type { Message } from '../agent/protocol.ts';
import type { DaemonClient } from './client.ts';

/** The client's end. The connection carries nothing else from now on. */
export async function attachAgent(client: DaemonClient, domid: number, timeoutMs: number): Promise<AgentLink> {
  let ended = false;
  const end = (why: string): void => {
    if (ended) return;
    ended = true;
    link.onEnd(new AgentGoneError(why));
  };
  const link = {
    operations: 0,
    window: 0,
    onMessage: (_message: Message): void => undefined,
    onEnd: (_why: Error): void => undefined,
    send: (message: Message): void => {
      if (!ended) client.send(encodeFrame(message));
    },
    ready: () => client.whenDrained(),
    close: (): void => {
      client.close();
      end('the link to the guest’s agent was closed');
    },
  };
  const decoder = new FrameDecoder();
  client.onData = (bytes) => {
    for (const message of decoder.push(bytes)) link.onMessage(message);
  };
  client.onEvent = ({ agentEnd }) => {
    if (typeof agentEnd === 'string') end(agentEnd);
  };
  client.onClosed = () => end('the daemon has ended, and the domain with it');
  Object.assign(link, await client.call('attachAgent', { domid, timeoutMs }));
  return link;
}
