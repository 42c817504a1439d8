/** How fast a store answers on its socket, whosever store it is. */
import { read, SocketClient, write } from './socket-client.ts';

const NODE = '/bench/device/vbd/51712/state';
const WARM_UP = 2000;
const ROUNDS = 7;
const CALLS = 1000;
/** Requests on their way at a time, three reads for a write. */
const BATCH = 64;

/** Microseconds from a request to its answer, one at a time: the median of the quietest of several rounds. */
export async function latency(socket: string): Promise<number> {
  const client = await SocketClient.connect(socket);
  try {
    await client.call(write(NODE, '4'), 1);
    const request = read(NODE);
    for (let i = 0; i < WARM_UP; i++) await client.call(request, 1);
    const medians: number[] = [];
    for (let round = 0; round < ROUNDS; round++) medians.push(await medianOf(client, request));
    return Math.min(...medians);
  } finally {
    client.close();
  }
}

/** Requests a second with many on their way at a time: the best of several rounds. */
export async function throughput(socket: string): Promise<number> {
  const client = await SocketClient.connect(socket);
  try {
    const batch = Buffer.concat(
      Array.from({ length: BATCH }, (_, i) => (i % 4 === 3 ? write(`${NODE}/${i}`, '4') : read(NODE))),
    );
    await client.call(write(NODE, '4'), 1);
    for (let i = 0; i < WARM_UP / BATCH; i++) await client.call(batch, BATCH);
    let best = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const from = performance.now();
      for (let i = 0; i < CALLS / 8; i++) await client.call(batch, BATCH);
      best = Math.max(best, ((CALLS / 8) * BATCH * 1000) / (performance.now() - from));
    }
    return best;
  } finally {
    client.close();
  }
}

async function medianOf(client: SocketClient, request: Uint8Array): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < CALLS; i++) {
    const from = performance.now();
    await client.call(request, 1);
    times.push(performance.now() - from);
  }
  times.sort((a, b) => a - b);
  return (times[CALLS >> 1] ?? 0) * 1000;
}
