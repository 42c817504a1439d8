/** What the networks need of Node. */
import { randomBytes } from 'node:crypto';
import type { NatHost } from '../../../dom0/net/nat/nat.ts';
import { nodeSockets } from './sockets.ts';
import { nodeTimers } from './timers.ts';

export const nodeNetwork: NatHost = {
  sockets: nodeSockets,
  timers: nodeTimers,
  random32: () => randomBytes(4).readUInt32LE(),
};
