/** What a block frontend offers in its directory, checked and mapped. After Linux' drivers/block/xen-blkback/xenbus.c (connect_ring). */
import { blkifProtocols, type BlkifProtocol } from '../../abi/io/blkif.ts';
import { FrontendError, type BackRing, type Channel, type FrontendLink } from '../backend/index.ts';
import type { BlockRequest } from './block-request.ts';

/** What a frontend may use; published as `max-ring-page-order` and `multi-queue-max-queues`. */
export const MAX_RING_PAGE_ORDER = 4;
export const MAX_QUEUES = 4;

/** One queue, and what outlives a backend instance that fails: the ring, and what was taken from it and not answered. */
export interface VbdRing {
  readonly ring: BackRing;
  readonly channel: Channel;
  readonly protocol: BlkifProtocol;
  readonly link: FrontendLink;
  readonly persistent: boolean;
  /** In the order in which they came. */
  readonly open: Set<BlockRequest>;
}

export interface VbdConnection {
  readonly rings: readonly VbdRing[];
}

const ENOSYS = -38;
const EINVAL = -22;

export function connectVbd(link: FrontendLink, offered: { readonly persistent: boolean }): VbdConnection {
  const name = link.read('protocol') ?? 'x86_64-abi';
  if (!Object.hasOwn(blkifProtocols, name)) throw new FrontendError(ENOSYS, `unknown fe protocol ${name.slice(0, 32)}`);
  const protocol = blkifProtocols[name as keyof typeof blkifProtocols];
  const persistent = offered.persistent && link.flag('feature-persistent');
  const queues = link.number('multi-queue-num-queues', { absent: 1 });
  if (queues === 0 || queues > MAX_QUEUES)
    throw new FrontendError(ENOSYS, `guest requested ${queues} queues, exceeding the maximum of ${MAX_QUEUES}.`);
  const rings: VbdRing[] = [];
  for (let queue = 0; queue < queues; queue++) {
    const directory = queues === 1 ? '' : `queue-${queue}/`;
    const refs = ringRefs(link, directory);
    const ring = link.ring(refs, protocol.slotSize);
    const channel = link.bind(link.number(`${directory}event-channel`));
    rings.push({ ring, channel, protocol, link, persistent, open: new Set() });
  }
  return { rings };
}

/** `ring-ref`, or `ring-ref0` … when the frontend says how many (each queue has as many). */
function ringRefs(link: FrontendLink, directory: string): number[] {
  const order = link.number('ring-page-order', { absent: -1 });
  if (order < 0) return [link.number(`${directory}ring-ref`)];
  if (order > MAX_RING_PAGE_ORDER)
    throw new FrontendError(EINVAL, `${link.path}/request ${order} ring page order exceed max:${MAX_RING_PAGE_ORDER}`);
  return Array.from({ length: 1 << order }, (_, page) => link.number(`${directory}ring-ref${page}`));
}
