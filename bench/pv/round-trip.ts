import { guestOf, ITERATIONS, type Loop } from './loops.ts';

const ROUNDS = 9;

/**
 * Nanoseconds that the passage in a loop takes: the same loop without it is subtracted. Processor
 * time, so that a busy machine counts little, and the shortest of several rounds, as everything else only adds.
 */
export function roundTrip(loop: { readonly with: Loop; readonly without: Loop }): number {
  let best = Infinity;
  let base = Infinity;
  for (let round = 0; round < ROUNDS; round++) {
    best = Math.min(best, nanoseconds(loop.with));
    base = Math.min(base, nanoseconds(loop.without));
  }
  return (best - base) / ITERATIONS;
}

/** As long as there is something to do, since there is nobody else. */
const slices = { enter: () => true, goesOn: () => true, leave: () => undefined };

/** The vCPU's own loop, as its thread calls it. */
function nanoseconds(loop: Loop): number {
  const guest = guestOf(loop);
  const vcpu = guest.host.loop(guest.control.domid, 0);
  if (vcpu === undefined) throw new Error('the vCPU was not started');
  const from = process.threadCpuUsage();
  while (vcpu.turn(slices) !== 'ended');
  const { user, system } = process.threadCpuUsage(from);
  if (guest.control.info().shutdownReason !== 0) throw new Error(`the loop did not power off:\n${guest.log}`);
  return (user + system) * 1000;
}
