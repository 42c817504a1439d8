/**
 * The life of a vCPU: deliver what is pending, run the guest, act on its exit. One `turn` is a slice of that; the host
 * with workers calls it from a thread per vCPU and sleeps in between, the steppable host picks the next vCPU itself.
 */
import { Exit } from '../cpu/exits.ts';
import { takeWrites, yieldHeldCode } from './code-coherence.ts';
import { EVENT_CHECK_EXITS, endPoll, nextDeadline, runTimers } from './timers.ts';
import { enterRunstate, Runstate } from './runstate.ts';
import type { HypercallTable } from './hypercall.ts';
import type { Schedule } from './sched/vcpu-schedule.ts';
import { Gpr } from './processor.ts';
import type { Vcpu } from './vcpu.ts';
import { saveContext } from './vcpu-context.ts';

/** Instructions between two looks at the clock: well below a millisecond. */
const BUDGET = 50_000;

/** PAUSE instructions in a budget that is spent on waiting. */
const SPINNING = BUDGET / 16;

/** One exit in so many is timed, for all of them: reading the clock would cost as much as many a hypercall. */
const TIMED_EXITS = 64;

/**
 * How a turn ended. `ran`: there is more to do. `yielded`: there is, but others may go first. `runnable`: there is, and no processor for it. `blocked`: nothing to do
 * before `deadline` or a kick. `paused`, `down`: nothing before a kick. `ended`: the domain is shutting down or dying; it may come back only from a suspend.
 */
export type Turn = 'ran' | 'yielded' | 'runnable' | 'blocked' | 'paused' | 'down' | 'ended';

/** A processor of its own, and one budget in a turn. */
const alone: Schedule = { enter: () => true, goesOn: () => false, leave: () => undefined };

export class VcpuLoop {
  readonly #vcpu: Vcpu;
  readonly #hypercalls: HypercallTable;
  #untimed = 0;
  /** Up to the end of the last budget. */
  #pauses = 0;

  constructor(vcpu: Vcpu, hypercalls: HypercallTable) {
    this.#vcpu = vcpu;
    this.#hypercalls = hypercalls;
  }

  get vcpu(): Vcpu {
    return this.#vcpu;
  }

  /** System time at which a blocked vCPU has to look again; Infinity: only when kicked. */
  get deadline(): number {
    return nextDeadline(this.#vcpu);
  }

  /**
   * Runs budgets of instructions while the schedule lets it. The caller reads the wake word before it calls, and sleeps on that
   * value afterwards, so that a kick in between is not lost.
   */
  turn(schedule = alone): Turn {
    const vcpu = this.#vcpu;
    const { domain } = vcpu;
    vcpu.takeExitRequest();
    vcpu.attention = false;
    if (domain.dying || domain.shutdownCode !== undefined) return this.#rest('ended', schedule);
    runTimers(vcpu);
    // Those who write to it go slow until it is dropped.
    if (vcpu.load('writtenCount') !== 0) takeWrites(vcpu);
    if (domain.pauseCount > 0) return this.#rest('paused', schedule);
    if (vcpu.load('online') === 0) return this.#rest('down', schedule);
    if (vcpu.load('blocked') !== 0) return this.#rest('blocked', schedule);
    if (!schedule.enter()) {
      enterRunstate(vcpu, Runstate.runnable);
      return 'runnable';
    }
    // Before the requests below are looked at: whoever makes one from now on waits for the answer.
    vcpu.store('running', 1);
    // Whoever paused the domain since it was looked at above may have seen that this vCPU does not run, and rely on it.
    if (domain.pauseCount > 0) return this.#rest('paused', schedule);
    if (vcpu.load('pollPort') !== 0) endPoll(vcpu);
    if (vcpu.load('yieldHeld') !== 0) yieldHeldCode(vcpu);
    if (vcpu.load('contextPending') !== 0) {
      vcpu.store('contextPending', 0);
      vcpu.platform.loadContext(vcpu.contextAt);
    }
    if (vcpu.load('cancelled') !== 0) {
      vcpu.store('cancelled', 0);
      vcpu.processor.state.set(Gpr.rax, 1);
    }
    if (vcpu.load('tlbFlush') !== 0) {
      vcpu.store('tlbFlush', 0);
      vcpu.platform.flushTlb();
    }
    if (vcpu.load('nmiPending') !== 0) {
      vcpu.store('nmiPending', 0);
      vcpu.platform.raiseNmi();
    }
    enterRunstate(vcpu, Runstate.running);
    vcpu.yielding = false;
    while (this.#slice() && schedule.goesOn()) runTimers(vcpu);
    vcpu.store('running', 0);
    return vcpu.yielding ? 'yielded' : 'ran';
  }

  #rest(turn: Turn, schedule: Schedule): Turn {
    const vcpu = this.#vcpu;
    if (vcpu.load('contextWanted') !== 0) saveContext(vcpu);
    vcpu.store('running', 0);
    schedule.leave();
    enterRunstate(vcpu, turn === 'blocked' ? Runstate.blocked : turn === 'down' ? Runstate.offline : Runstate.runnable);
    return turn;
  }

  /** Until the budget is used up or some exits have passed; false when the vCPU has to look at its state again. */
  #slice(): boolean {
    const vcpu = this.#vcpu;
    const { processor, platform } = vcpu;
    for (let exits = 0; exits < EVENT_CHECK_EXITS; exits++) {
      if (vcpu.eventsDeliverable) platform.deliverUpcall();
      // What is to be handled may tell others of what was written.
      const exit = processor.run(BUDGET);
      if (vcpu.load('yieldHeld') !== 0) yieldHeldCode(vcpu);
      if (exit === Exit.Budget) return !this.#spins();
      if (exit === Exit.Interrupt) return false;
      if (++this.#untimed < TIMED_EXITS) this.#handle(exit);
      else this.#handleTimed(exit);
      if (vcpu.attention) return false;
    }
    return true;
  }

  /** A guest that waits for another of its vCPUs may keep that one from the host's processor: it yields, as if it had asked for it. */
  #spins(): boolean {
    const { pauses } = this.#vcpu.processor.state;
    const spins = this.#vcpu.domain.layout.maxVcpus > 1 && (pauses - this.#pauses) >>> 0 > SPINNING;
    this.#pauses = pauses;
    if (spins) this.#vcpu.yielding = true;
    return spins;
  }

  #handle(exit: number): void {
    const vcpu = this.#vcpu;
    const { platform } = vcpu;
    switch (exit) {
      case Exit.Syscall:
        if (vcpu.kernelMode) this.#hypercalls.fromSyscall(vcpu);
        else platform.onUserSyscall();
        break;
      case Exit.Exception:
        platform.onException();
        break;
      case Exit.Privileged:
        platform.onPrivileged();
        break;
      case Exit.Cpuid:
        platform.onCpuid();
        break;
      case Exit.SoftwareInterrupt:
        platform.onSoftwareInterrupt();
        break;
      case Exit.Sysenter:
        platform.onSysenter();
        break;
      default:
        throw new Error(`vcpu loop: the processor returned ${exit}`);
    }
  }

  #handleTimed(exit: number): void {
    const vcpu = this.#vcpu;
    this.#untimed = 0;
    const from = vcpu.now();
    this.#handle(exit);
    vcpu.setDouble('handlingNs', vcpu.getDouble('handlingNs') + (vcpu.now() - from) * TIMED_EXITS);
  }
}
