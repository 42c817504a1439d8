/** What a frontend has written, mapped and bound: one or several pairs of rings, and what it takes (xen/include/public/io/netif.h). */
import { NETIF_RX_SLOT_SIZE, NETIF_TX_SLOT_SIZE } from '../../../abi/io/netif.ts';
import { FrontendError, type FrontendLink } from '../../backend/index.ts';
import { connectControl, type ControlState } from './control-ring.ts';
import type { QueueState } from './queue-state.ts';
import type { RxFeatures } from './rx-queue.ts';

export interface VifConnection {
  readonly link: FrontendLink;
  readonly queues: readonly QueueState[];
  readonly features: RxFeatures;
  readonly control: ControlState | undefined;
  /** The frontend tells of pages that it gives. One that does not is looked after from time to time. */
  readonly rxNotify: boolean;
}

const EOPNOTSUPP = -95;
/** More would leave no room for a frame's headers; Linux asks for 256. */
const MAX_HEADROOM = 2048;

export function connectVif(link: FrontendLink, maxQueues: number): VifConnection {
  if (!link.flag('request-rx-copy'))
    throw new FrontendError(EOPNOTSUPP, 'the frontend does not ask for request-rx-copy');
  const count = link.number('multi-queue-num-queues', { least: 1, most: maxQueues, absent: 1 });
  const queues = Array.from({ length: count }, (_, i) => connectQueue(link, count === 1 ? '' : `queue-${i}/`));
  const control = connectControl(link);
  return { link, queues, features: readFeatures(link), control, rxNotify: link.flag('feature-rx-notify') };
}

export function readFeatures(link: FrontendLink): RxFeatures {
  return {
    scatterGather: link.flag('feature-sg'),
    gsoTcp4: link.flag('feature-gso-tcpv4'),
    gsoTcp6: link.flag('feature-gso-tcpv6'),
    checksum4: !link.flag('feature-no-csum-offload'),
    checksum6: link.flag('feature-ipv6-csum-offload'),
    headroom: link.number('xdp-headroom', { most: MAX_HEADROOM, absent: 0 }),
  };
}

function connectQueue(link: FrontendLink, prefix: string): QueueState {
  const tx = link.ring([link.number(`${prefix}tx-ring-ref`)], NETIF_TX_SLOT_SIZE);
  const rx = link.ring([link.number(`${prefix}rx-ring-ref`)], NETIF_RX_SLOT_SIZE);
  const split = link.read(`${prefix}event-channel-tx`) !== undefined;
  const txChannel = link.bind(link.number(split ? `${prefix}event-channel-tx` : `${prefix}event-channel`));
  const rxChannel = split ? link.bind(link.number(`${prefix}event-channel-rx`)) : txChannel;
  return { tx, rx, txChannel, rxChannel, txTaken: [], rxTaken: [] };
}
