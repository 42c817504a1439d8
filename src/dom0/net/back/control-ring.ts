/**
 * The control ring, through which a frontend sets up how its queues are chosen (feature-ctrl-ring). After xen/include/public/io/netif.h, "Control ring", and
 * Linux' netback (drivers/net/xen-netback/netback.c, process_ctrl_request).
 */
import {
  NETIF_CTRL_SLOT_SIZE,
  XEN_NETIF_CTRL_STATUS as Status,
  XEN_NETIF_CTRL_TYPE as Type,
} from '../../../abi/io/netif.ts';
import type { BackRing, Channel, FrontendLink } from '../../backend/index.ts';
import { HashSettings, MAX_MAPPING, type CopyFrom } from './hash.ts';

/** What survives when whoever serves it fails. */
export interface ControlState {
  readonly ring: BackRing;
  readonly channel: Channel;
  readonly hash: HashSettings;
  /** A request that was taken and is not answered: its first word, which an answer begins with as well. */
  taken: number | undefined;
}

/** Undefined: the frontend has none. */
export function connectControl(link: FrontendLink): ControlState | undefined {
  if (link.read('ctrl-ring-ref') === undefined) return undefined;
  const ring = link.ring([link.number('ctrl-ring-ref')], NETIF_CTRL_SLOT_SIZE);
  return { ring, channel: link.bind(link.number('event-channel-ctrl')), hash: new HashSettings(), taken: undefined };
}

export interface ControlGlue {
  readonly queues: number;
  readonly copy: CopyFrom;
  guard(task: () => void): void;
  defer(task: () => void): void;
  /** The frontend has broken the protocol: the device is to be stopped. */
  fatal(message: string): void;
}

interface Answer {
  readonly status: number;
  readonly data?: number;
}
type Handler = (hash: HashSettings, data: readonly [number, number, number], glue: ControlGlue) => Answer;

const handlers = new Map<number, Handler>([
  [Type.SET_HASH_ALGORITHM, (hash, [algorithm]) => ({ status: hash.setAlgorithm(algorithm) })],
  [
    Type.GET_HASH_FLAGS,
    ({ possibleFlags: data }) =>
      data === undefined ? { status: Status.NOT_SUPPORTED } : { status: Status.SUCCESS, data },
  ],
  [Type.SET_HASH_FLAGS, (hash, [flags]) => ({ status: hash.setFlags(flags) })],
  [Type.SET_HASH_KEY, (hash, [ref, length], { copy }) => ({ status: hash.setKey(ref, length, copy) })],
  [Type.GET_HASH_MAPPING_SIZE, () => ({ status: Status.SUCCESS, data: MAX_MAPPING })],
  [Type.SET_HASH_MAPPING_SIZE, (hash, [size]) => ({ status: hash.setMappingSize(size) })],
  [
    Type.SET_HASH_MAPPING,
    (hash, [ref, length, offset], { copy, queues }) => ({ status: hash.setMapping(ref, length, offset, queues, copy) }),
  ],
]);

const words = new Int32Array(NETIF_CTRL_SLOT_SIZE / 4);

/** Serves the ring; what is returned ends that. */
export function serveControl(state: ControlState, glue: ControlGlue): () => void {
  const { ring, channel } = state;
  let stopped = false;
  const run = (): void => {
    if (stopped) return;
    for (let count = 0; count < ring.slots; count++) {
      if (ring.available === 0) {
        if (ring.broken !== undefined) return glue.fatal(ring.broken);
        if (!ring.finalCheck()) return;
      }
      answerNext(state, glue);
    }
    // A frontend that asks without end lets others have their turn.
    glue.defer(run);
  };
  if (state.taken !== undefined) answer(state, { status: Status.NOT_SUPPORTED });
  channel.listen(() => glue.guard(run));
  glue.defer(run);
  return () => (stopped = true);
}

function answerNext(state: ControlState, glue: ControlGlue): void {
  if (!state.ring.take(words)) return;
  const [first = 0, a = 0, b = 0, c = 0] = words;
  state.taken = first;
  const handler = handlers.get(first >>> 16);
  answer(state, handler?.(state.hash, [a >>> 0, b >>> 0, c >>> 0], glue) ?? { status: Status.NOT_SUPPORTED });
}

function answer(state: ControlState, { status, data = 0 }: Answer): void {
  words.set([state.taken ?? 0, status, data, 0]);
  state.ring.respond(words);
  state.taken = undefined;
  if (state.ring.push()) state.channel.notify();
}
