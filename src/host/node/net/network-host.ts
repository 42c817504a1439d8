/** What the networks need of Node. */
import { randomBytes } from 'node:crypto';
import type { NetworkHost } from '../../../dom0/net/network.ts';
import { hostBridge } from './host-bridge.ts';
import { nodeSockets } from './sockets.ts';
import { nodeTimers } from './timers.ts';

export const nodeNetwork: NetworkHost = {
  sockets: nodeSockets,
  timers: nodeTimers,
  hostBridge: (name) => hostBridge(name, (error) => console.error(`bridge ${name}: ${error.message}`)),
  random32: () => randomBytes(4).readUInt32LE(),
};
