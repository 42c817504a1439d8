/**
 * A guest kernel's side of event channels, in both ABIs: consuming, masking, unmasking. After what Linux does in
 * drivers/xen/events (the protocol is that of xen/include/public/event_channel.h).
 */
import { SharedInfo, VcpuInfo } from '../../abi/arch-x86.ts';
import {
  EVTCHN_FIFO_LINKED,
  EVTCHN_FIFO_LINK_MASK,
  EVTCHN_FIFO_MASKED,
  EVTCHN_FIFO_PENDING,
  EvtchnFifoControlBlock,
} from '../../abi/event-channel.ts';
import type { Domain } from '../domain.ts';
import { VcpuState } from '../state.ts';

export interface EventSide {
  mask(port: number): void;
  /** False: Xen has to be asked (EVTCHNOP_unmask). */
  unmask(port: number): boolean;
  /** The upcall handler: calls `handle` for each unmasked pending port, whose pending bit it has cleared. */
  consume(handle: (port: number) => void): void;
}

const infoOf = (domain: Domain): number => domain.u32[(domain.vcpuAt(0) + VcpuState.at.infoAt) >>> 2] ?? 0;

function clearUpcall(domain: Domain): void {
  Atomics.store(domain.u8, infoOf(domain) + VcpuInfo.at.evtchn_upcall_pending, 0);
}

export function twoLevelSide(domain: Domain): EventSide {
  const word = (field: 'evtchn_pending' | 'evtchn_mask', port: number): number =>
    (domain.frameAt(domain.layout.sharedInfoMfn) + SharedInfo.at[field] + (port >>> 5) * 4) >>> 2;
  const bit = (port: number): number => 1 << (port & 31);
  const selector = (half: number): number => (infoOf(domain) + VcpuInfo.at.evtchn_pending_sel + half * 4) >>> 2;
  return {
    mask: (port) => void Atomics.or(domain.i32, word('evtchn_mask', port), bit(port)),
    unmask: () => false,
    consume(handle) {
      while (domain.u8[infoOf(domain) + VcpuInfo.at.evtchn_upcall_pending] !== 0) {
        clearUpcall(domain);
        for (const half of [0, 1]) {
          const selected = Atomics.exchange(domain.i32, selector(half), 0);
          for (let i = 0; i < 32; i++) {
            if ((selected & (1 << i)) === 0) continue;
            const first = (half * 32 + i) * 64;
            for (let port = first; port < first + 64; port++) {
              if ((Atomics.load(domain.i32, word('evtchn_mask', port)) & bit(port)) !== 0) continue;
              if ((Atomics.and(domain.i32, word('evtchn_pending', port), ~bit(port)) & bit(port)) !== 0) handle(port);
            }
          }
        }
      }
    },
  };
}

/** `arrayFrames` are the pages of event words in order; the control block is at the start of `controlFrame`. */
export function fifoSide(domain: Domain, controlFrame: number, arrayFrames: readonly number[]): EventSide {
  const control = domain.frameAt(controlFrame) >>> 2;
  const ready = control + EvtchnFifoControlBlock.at.ready / 4;
  const head = (priority: number): number => control + EvtchnFifoControlBlock.at.head / 4 + priority;
  const localHeads = new Array<number>(16).fill(0);
  const word = (port: number): number => (domain.frameAt(arrayFrames[port >>> 10] ?? 0) >>> 2) + (port & 1023);
  const clearLinked = (port: number): number => {
    for (;;) {
      const seen = Atomics.load(domain.i32, word(port));
      const next = seen & ~(EVTCHN_FIFO_LINKED | EVTCHN_FIFO_LINK_MASK);
      if (Atomics.compareExchange(domain.i32, word(port), seen, next) === seen) return seen & EVTCHN_FIFO_LINK_MASK;
    }
  };
  return {
    mask: (port) => void Atomics.or(domain.i32, word(port), EVTCHN_FIFO_MASKED),
    unmask(port) {
      for (;;) {
        const seen = Atomics.load(domain.i32, word(port));
        if ((seen & EVTCHN_FIFO_PENDING) !== 0) return false;
        if (Atomics.compareExchange(domain.i32, word(port), seen, seen & ~EVTCHN_FIFO_MASKED) === seen) return true;
      }
    },
    consume(handle) {
      clearUpcall(domain);
      let bits = Atomics.exchange(domain.i32, ready, 0);
      while (bits !== 0) {
        const priority = 31 - Math.clz32(bits & -bits);
        let port = localHeads[priority] ?? 0;
        if (port === 0) port = Atomics.load(domain.i32, head(priority));
        const link = clearLinked(port);
        if (link === 0) bits &= ~(1 << priority);
        const state = Atomics.load(domain.i32, word(port));
        if ((state & EVTCHN_FIFO_PENDING) !== 0 && (state & EVTCHN_FIFO_MASKED) === 0) {
          Atomics.and(domain.i32, word(port), ~EVTCHN_FIFO_PENDING);
          handle(port);
        }
        localHeads[priority] = link;
        bits |= Atomics.exchange(domain.i32, ready, 0);
      }
    },
  };
}
