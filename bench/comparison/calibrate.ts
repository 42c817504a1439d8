/** Finds the amount of work that takes a peer about as long as is wanted. */

/** The first runs are slow beyond measure where code is translated while it runs, so no single one is believed far. */
const MOST_GROWTH = 20;
const MOST_RUNS = 10;
/** A run as long as this part of the wanted time is believed; a shorter one may have been spent on translating, and warm ones are then shorter still. */
const ENOUGH = 0.7;

/** `run` does an amount and gives its seconds. Goes up from `start`. */
export async function calibrate(
  run: (amount: number) => Promise<number>,
  start: number,
  wanted: number,
): Promise<number> {
  let amount = start;
  for (let turn = 0; turn < MOST_RUNS; turn++) {
    const seconds = await run(amount);
    const growth = wanted / Math.max(seconds, wanted / 1e6);
    if (seconds >= wanted * ENOUGH) return Math.max(1, Math.round(amount * growth));
    amount = Math.ceil(amount * Math.min(growth, MOST_GROWTH));
  }
  return amount;
}
