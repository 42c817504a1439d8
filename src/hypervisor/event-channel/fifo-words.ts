/** Where the FIFO ABI's event words are: in guest pages, 1024 words each, in the order in which the guest added them. */
import { EVTCHN_FIFO_LINKED } from '../../abi/event-channel.ts';
import type { Port } from '../../abi/numbers.ts';
import type { Domain } from '../domain.ts';

const WORDS_PER_PAGE_SHIFT = 10;
const WORDS_PER_PAGE = 1 << WORDS_PER_PAGE_SHIFT;
export const MAX_EVENT_ARRAY_PAGES = 128;

/** Index in i32 of a port's event word, or 0 when its page is not there. */
export function wordOf(domain: Domain, port: Port): number {
  const page = port >>> WORDS_PER_PAGE_SHIFT;
  if (page >= domain.get('fifoPages')) return 0;
  const mfn = domain.u32[(domain.layout.fifoPagesAt >>> 2) + page] ?? 0;
  return (domain.frameAt(mfn) >>> 2) + (port & (WORDS_PER_PAGE - 1));
}

/** The frames of the array, for giving them back. */
export function arrayPage(domain: Domain, page: number): number {
  return domain.u32[(domain.layout.fifoPagesAt >>> 2) + page] ?? 0;
}

export function addArrayPage(domain: Domain, mfn: number): void {
  const page = domain.get('fifoPages');
  domain.u32[(domain.layout.fifoPagesAt >>> 2) + page] = mfn;
  domain.set('fifoPages', page + 1);
}

export function isLinked(domain: Domain, port: Port): boolean {
  const word = wordOf(domain, port);
  return word !== 0 && (Atomics.load(domain.i32, word) & EVTCHN_FIFO_LINKED) !== 0;
}

export { WORDS_PER_PAGE };
