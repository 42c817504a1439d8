/** HYPERVISOR_vcpu_op, number 24. After xen/include/public/vcpu.h, xen/common/domain.c and xen/arch/x86/domain.c. */
import { VcpuGuestContext } from '../../abi/arch-x86.ts';
import { Errno } from '../../abi/errno.ts';
import {
  VCPU_SSHOTTMR_future,
  VcpuRegisterArea,
  VcpuRegisterVcpuInfo,
  VcpuSetPeriodicTimer,
  VcpuSetSingleshotTimer,
} from '../../abi/vcpu.ts';
import { vcpuBlock } from '../domain-memory.ts';
import type { HypercallRow, Support } from '../hypercall.ts';
import { full, none } from '../hypercall.ts';
import { VcpuRunstateInfo, runstateOf, updateRunstateArea } from '../runstate.ts';
import { registerVcpuInfo } from '../shared-info.ts';
import { VcpuState } from '../state.ts';
import { timeValues } from '../time.ts';
import { VcpuTimeInfo } from '../../abi/arch-x86.ts';
import type { Vcpu } from '../vcpu.ts';

/** Least period of the periodic timer. */
const MILLISECOND = 1e6;
/** Nobody waits longer than 2^50 ns (13 days) at once. */
const MAX_PERIOD = 2 ** 50;

interface VcpuOpRow {
  readonly nr: number;
  readonly support: Support;
  /** `target` exists. */
  readonly run?: (vcpu: Vcpu, target: number, va: number) => number;
}

export const vcpuOps = {
  initialise: { nr: 0, support: full, run: initialise },
  up: { nr: 1, support: full, run: up },
  down: { nr: 2, support: full, run: down },
  is_up: { nr: 3, support: full, run: (vcpu, target) => wordOf(vcpu, target, 'online') },
  get_runstate_info: { nr: 4, support: full, run: getRunstate },
  register_runstate_memory_area: { nr: 5, support: full, run: registerRunstate },
  set_periodic_timer: { nr: 6, support: full, run: setPeriodic },
  stop_periodic_timer: {
    nr: 7,
    support: full,
    run: (vcpu, target) => setDeadlines(vcpu, target, { nextPeriodic: 0, period: 0 }),
  },
  set_singleshot_timer: { nr: 8, support: full, run: setSingleshot },
  stop_singleshot_timer: {
    nr: 9,
    support: full,
    run: (vcpu, target) => (target === vcpu.id ? setDeadlines(vcpu, target, { singleshot: 0 }) : Errno.EINVAL),
  },
  register_vcpu_info: { nr: 10, support: full, run: registerInfo },
  send_nmi: { nr: 11, support: full, run: sendNmi },
  get_physid: { nr: 12, support: none('only a domain that is pinned to host processors is told', Errno.EINVAL) },
  register_vcpu_time_memory_area: { nr: 13, support: full, run: registerTime },
} satisfies Record<string, VcpuOpRow>;

const byNumber: (VcpuOpRow | undefined)[] = [];
for (const row of Object.values<VcpuOpRow>(vcpuOps)) byNumber[row.nr] = row;

export const vcpuOpRow: HypercallRow = {
  nr: 24,
  name: 'vcpu_op',
  args: ['cmd', 'vcpuid', 'arg'],
  support: full,
  run(vcpu, args) {
    const target = args.u32(1);
    // A guest probes ids until it is told that there is no such vCPU: Linux would count every other answer as a CPU.
    if (!vcpu.domain.hasVcpu(target)) return Errno.ENOENT;
    const row = byNumber[args.u32(0)];
    if (row === undefined) return Errno.ENOSYS;
    if (row.run !== undefined) return row.run(vcpu, target, args.num(2));
    return row.support.level === 'none' ? row.support.errno : Errno.ENOSYS;
  },
};

/** The word `initialised`. */
const UNINITIALISED = 0;
const INITIALISED = 1;
const BEING_INITIALISED = 2;

type Word = 'online' | 'initialised' | 'threadAsked' | 'contextPending' | 'nmiPending';
const wordIndex = (vcpu: Vcpu, target: number, word: Word): number =>
  (vcpu.domain.vcpuAt(target) + VcpuState.at[word]) >>> 2;
const wordOf = (vcpu: Vcpu, target: number, word: Word): number =>
  Atomics.load(vcpu.domain.i32, wordIndex(vcpu, target, word));
const setWord = (vcpu: Vcpu, target: number, word: Word, value: number): void => {
  Atomics.store(vcpu.domain.i32, wordIndex(vcpu, target, word), value);
};

function setDeadlines(
  vcpu: Vcpu,
  target: number,
  values: Partial<Record<'singleshot' | 'nextPeriodic' | 'period', number>>,
): number {
  const { domain } = vcpu;
  for (const [field, value] of Object.entries(values) as [keyof typeof values, number][]) {
    domain.f64[(domain.vcpuAt(target) + VcpuState.at[field]) >>> 3] = value;
  }
  if (target !== vcpu.id) domain.kick(target);
  return 0;
}

function initialise(vcpu: Vcpu, target: number, va: number): number {
  const { domain } = vcpu;
  const context = vcpu.guest.bytes(va, VcpuGuestContext.size);
  if (context === undefined) return Errno.EFAULT;
  if (domain.u32[(domain.vcpuAt(target) + VcpuState.at.infoAt) >>> 2] === 0) return Errno.EINVAL;
  return domain.locked(() => {
    if (wordOf(vcpu, target, 'initialised') !== UNINITIALISED) return Errno.EEXIST;
    // Checking may give the lock away for a while.
    setWord(vcpu, target, 'initialised', BEING_INITIALISED);
    const at = domain.vcpuAt(target) + vcpuBlock.context;
    domain.u8.set(context, at);
    const refused = vcpu.platform.kind.checkContext(domain, at);
    setWord(vcpu, target, 'contextPending', refused === 0 ? 1 : 0);
    setWord(vcpu, target, 'initialised', refused === 0 ? INITIALISED : UNINITIALISED);
    return refused;
  });
}

function up(vcpu: Vcpu, target: number): number {
  if (wordOf(vcpu, target, 'initialised') !== INITIALISED) return Errno.EINVAL;
  if (Atomics.exchange(vcpu.domain.i32, wordIndex(vcpu, target, 'online'), 1) === 0) {
    if (Atomics.exchange(vcpu.domain.i32, wordIndex(vcpu, target, 'threadAsked'), 1) === 0) vcpu.glue.vcpuUp(target);
    vcpu.domain.kick(target);
  }
  return 0;
}

function down(vcpu: Vcpu, target: number): number {
  setWord(vcpu, target, 'online', 0);
  if (target === vcpu.id) vcpu.attention = true;
  else vcpu.domain.kick(target);
  return 0;
}

function getRunstate(vcpu: Vcpu, target: number, va: number): number {
  const { state, since, times } = runstateOf(vcpu.domain.u32, vcpu.domain.f64, vcpu.domain.vcpuAt(target), vcpu.now());
  return vcpu.guest.write(VcpuRunstateInfo, va, { state, state_entry_time: since, time: [...times] })
    ? 0
    : Errno.EFAULT;
}

function registerRunstate(vcpu: Vcpu, target: number, va: number): number {
  const area = vcpu.guest.read(VcpuRegisterArea, va);
  if (area === undefined) return Errno.EFAULT;
  if (area.va !== 0 && !vcpu.guest.allowed(area.va, VcpuRunstateInfo.size)) return Errno.EFAULT;
  const { domain } = vcpu;
  domain.f64[(domain.vcpuAt(target) + VcpuState.at.runstateVa) >>> 3] = area.va;
  // A vCPU writes its own area when it is next switched to; the registering one at once.
  if (target === vcpu.id) updateRunstateArea(vcpu);
  return 0;
}

function setPeriodic(vcpu: Vcpu, target: number, va: number): number {
  const timer = vcpu.guest.read(VcpuSetPeriodicTimer, va);
  if (timer === undefined) return Errno.EFAULT;
  if (timer.period_ns < MILLISECOND || timer.period_ns > MAX_PERIOD) return Errno.EINVAL;
  return setDeadlines(vcpu, target, { period: timer.period_ns, nextPeriodic: vcpu.now() + timer.period_ns });
}

function setSingleshot(vcpu: Vcpu, target: number, va: number): number {
  if (target !== vcpu.id) return Errno.EINVAL;
  const timer = vcpu.guest.view(va, VcpuSetSingleshotTimer.size);
  if (timer === undefined) return Errno.EFAULT;
  const lo = timer.getUint32(VcpuSetSingleshotTimer.at.timeout_abs_ns, true);
  const hi = timer.getUint32(VcpuSetSingleshotTimer.at.timeout_abs_ns + 4, true);
  const timeout = hi * 2 ** 32 + lo;
  const flags = timer.getUint32(VcpuSetSingleshotTimer.at.flags, true);
  if ((flags & VCPU_SSHOTTMR_future) !== 0 && timeout < vcpu.now()) return Errno.ETIME;
  // A time that has passed is no error: the event comes at once. 0 would read as "not set".
  vcpu.setDouble('singleshot', Math.max(1, timeout));
  return 0;
}

function registerInfo(vcpu: Vcpu, target: number, va: number): number {
  const info = vcpu.guest.read(VcpuRegisterVcpuInfo, va);
  if (info === undefined) return Errno.EFAULT;
  return registerVcpuInfo(
    vcpu.domain,
    vcpu.platform.kind,
    vcpu.clock,
    target,
    target === vcpu.id,
    info.mfn,
    info.offset,
  );
}

function sendNmi(vcpu: Vcpu, target: number): number {
  setWord(vcpu, target, 'nmiPending', 1);
  if (target === vcpu.id) vcpu.attention = true;
  else vcpu.domain.unblock(target);
  return 0;
}

/** The guest's second copy of vcpu_time_info, which it may map into user space. */
function registerTime(vcpu: Vcpu, target: number, va: number): number {
  const area = vcpu.guest.read(VcpuRegisterArea, va);
  if (area === undefined) return Errno.EFAULT;
  if (area.va !== 0 && !vcpu.guest.allowed(area.va, VcpuTimeInfo.size)) return Errno.EFAULT;
  const { domain } = vcpu;
  domain.f64[(domain.vcpuAt(target) + VcpuState.at.timeVa) >>> 3] = area.va;
  if (area.va !== 0) vcpu.guest.write(VcpuTimeInfo, area.va, { version: 2, ...timeValues(vcpu.now()) });
  return 0;
}
