import { randomFillSync } from 'node:crypto';

const BATCH = 1024;

/** The host's entropy, 32 bits a call; fetched in batches, since a call of its own costs microseconds. */
export function hardwareRandom(): () => number {
  const words = new Uint32Array(BATCH);
  let next = BATCH;
  return () => {
    if (next === BATCH) {
      randomFillSync(words);
      next = 0;
    }
    const word = words[next] ?? 0;
    // A word that was given out must not be found in memory later.
    words[next++] = 0;
    return word;
  };
}
