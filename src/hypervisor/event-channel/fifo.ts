/**
 * The FIFO event ABI, Xen's side. After xen/common/event_fifo.c and docs "Event Channels FIFO" in
 * xen/include/public/event_channel.h. The guest shares the words and may write anything into them: links are never
 * followed here, only set, and the retry loops are bounded.
 */
import {
  EVTCHN_FIFO_BUSY,
  EVTCHN_FIFO_LINKED,
  EVTCHN_FIFO_LINK_MASK,
  EVTCHN_FIFO_MASKED,
  EVTCHN_FIFO_PENDING,
  EvtchnFifoControlBlock,
} from '../../abi/event-channel.ts';
import type { Port } from '../../abi/numbers.ts';
import type { Domain } from '../domain.ts';
import { VcpuState } from '../state.ts';
import { wordOf } from './fifo-words.ts';
import { port as entry } from './ports.ts';
import { checkPollers, markEventsPending } from './upcall.ts';

const LINK_TRIES = 4;
const block = EvtchnFifoControlBlock.at;

const tailIndex = (domain: Domain, vcpu: number, priority: number): number =>
  (domain.vcpuAt(vcpu) + VcpuState.at.fifoTails + priority * 4) >>> 2;

export function fifoSetPending(domain: Domain, port: Port): void {
  const word = wordOf(domain, port);
  if (word === 0) {
    // The array page may come later; expand_array raises the event then.
    entry.setHeld(domain, port, true);
    return;
  }
  const { i32 } = domain;
  const vcpu = entry.vcpu(domain, port);
  const wasPending = (Atomics.or(i32, word, EVTCHN_FIFO_PENDING | 0) & EVTCHN_FIFO_PENDING) !== 0;
  const control = domain.u32[(domain.vcpuAt(vcpu) + VcpuState.at.fifoControlAt) >>> 2] ?? 0;
  // Without a control block the event stays pending in its word; init_control for this vCPU links it.
  if (control !== 0) link(domain, port, word, vcpu, control);
  if (!wasPending) checkPollers(domain, port);
}

/** Puts an unmasked event on its queue, once. */
function link(domain: Domain, port: Port, word: number, vcpu: number, control: number): void {
  const { i32, u32 } = domain;
  if ((Atomics.load(i32, word) & EVTCHN_FIFO_MASKED) !== 0) return;
  if ((Atomics.or(i32, word, EVTCHN_FIFO_LINKED) & EVTCHN_FIFO_LINKED) !== 0) return;

  const priority = entry.priority(domain, port);
  const tail = tailIndex(domain, vcpu, priority);
  // If the port was the tail of the queue it was on last, that queue is empty now and must not be appended to there.
  const lastVcpu = entry.lastVcpu(domain, port);
  const lastPriority = entry.lastPriority(domain, port);
  const oldTail = tailIndex(domain, lastVcpu, lastPriority);
  if (u32[oldTail] === port) u32[oldTail] = 0;
  if (lastVcpu !== vcpu || lastPriority !== priority) entry.setLast(domain, port, vcpu, priority);

  const previous = u32[tail] ?? 0;
  const appended = previous !== 0 && setLink(i32, wordOf(domain, previous), port);
  if (!appended) Atomics.store(i32, (control + block.head + priority * 4) >>> 2, port);
  u32[tail] = port;
  if (appended) return;
  const bit = 1 << priority;
  if ((Atomics.or(i32, (control + block.ready) >>> 2, bit) & bit) === 0) markEventsPending(domain, vcpu);
}

/** Sets the link of a word that is on a queue; false when it is not: the queue has run empty. */
function setLink(words: Int32Array, word: number, port: Port): boolean {
  if (word === 0) return false;
  let seen = Atomics.load(words, word);
  for (let i = 0; i <= LINK_TRIES; i++) {
    if ((seen & EVTCHN_FIFO_LINKED) === 0) {
      if (i > 0) Atomics.and(words, word, ~EVTCHN_FIFO_BUSY);
      return false;
    }
    const wanted = (seen & ~(EVTCHN_FIFO_BUSY | EVTCHN_FIFO_LINK_MASK)) | port;
    const found = Atomics.compareExchange(words, word, seen, wanted);
    if (found === seen) return true;
    // BUSY keeps a guest that is unmasking from changing the word under us for ever.
    seen = Atomics.or(words, word, EVTCHN_FIFO_BUSY) | EVTCHN_FIFO_BUSY;
  }
  Atomics.and(words, word, ~EVTCHN_FIFO_BUSY);
  return true;
}

export function fifoUnmask(domain: Domain, port: Port): void {
  const word = wordOf(domain, port);
  if (word === 0) return;
  const before = Atomics.and(domain.i32, word, ~EVTCHN_FIFO_MASKED);
  if ((before & EVTCHN_FIFO_PENDING) !== 0) fifoSetPending(domain, port);
}

export function fifoClearPending(domain: Domain, port: Port): void {
  entry.setHeld(domain, port, false);
  const word = wordOf(domain, port);
  if (word !== 0) Atomics.and(domain.i32, word, ~EVTCHN_FIFO_PENDING);
}

export function fifoIsPending(domain: Domain, port: Port): boolean {
  const word = wordOf(domain, port);
  return word === 0 ? entry.held(domain, port) : (Atomics.load(domain.i32, word) & EVTCHN_FIFO_PENDING) !== 0;
}

export function fifoIsMasked(domain: Domain, port: Port): boolean {
  const word = wordOf(domain, port);
  return word === 0 || (Atomics.load(domain.i32, word) & EVTCHN_FIFO_MASKED) !== 0;
}
