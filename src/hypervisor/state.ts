/**
 * The hypervisor's own structures in a domain's shared memory: what more than one thread touches. Words used with
 * Atomics are s32 on a 4-byte boundary. Everything not marked so is guarded by the domain's lock or belongs to one vCPU.
 */
import { array, bytes, f64, s32, struct, u16, u32, u8 } from '../abi/struct.ts';

/** One per domain. */
export const DomainState = struct(
  'domain',
  {
    lock: s32, // 0 free, else who holds it: 1 the main thread, 2 + vCPU
    pauseCount: s32,
    shutdownCode: s32, // -1: not shut down; else SHUTDOWN_*
    dying: s32,
    domid: u32,
    totPages: u32,
    sharedPages: u32, // of those, how many the host's account does not have as this domain's, since they are its template's
    maxPages: u32, // domctl max_mem; never above the layout's
    mapPages: u32, // how much RAM XENMEM_memory_map tells the guest of
    vmAssist: u32, // VMASST_TYPE_* bits 0 … 31
    evtchnAbi: u32, // 0: 2-level, 1: FIFO
    fifoPages: u32,
    grantVersion: u32,
    grantFrames: u32,
    statusFrames: u32,
    maxGrantVersion: u32,
    maxEvtchnPort: u32,
    watchdogs: array(f64, 2), // deadlines of SCHEDOP_watchdog, 0: free
    watchdogTimeouts: array(f64, 2),
    freeCursor: u32, // where the search for a free frame goes on
    pirqEoiMfn: u32, // PHYSDEVOP_pirq_eoi_gmfn: the guest's page, 0: none
    suspendMfn: u32, // RDX of SCHEDOP_shutdown(suspend)
    virqs: array(u32, 24), // port of each global VIRQ, 0: none
    handle: bytes(16),
    eventsSent: f64,
    hypercalls: f64,
  },
  'internal',
);

/** After struct evtchn of xen/include/xen/sched.h. */
export const EvtchnEntry = struct(
  'evtchn',
  {
    state: u8, // ECS_*
    priority: u8,
    pendingHeld: u8, // FIFO: pending before its array page existed
    lastPriority: u8,
    vcpu: u16, // notified vCPU
    lastVcpu: u16,
    remoteDomid: u16,
    reserved: u16,
    remote: u32, // remote port, VIRQ or pirq number
  },
  'internal',
);

/**
 * One per frame. `type` is the PV platform's: page type and its count. `count`: bit 31 allocated (the frame is part of
 * the domain's reservation or Xen's), bits 25:0 references, the others the PV platform's. A frame of RAM whose count is
 * 0 is free.
 */
export const PageInfo = struct('page_info', { type: u32, count: u32 }, 'internal');
export const PGC_allocated = 0x8000_0000;
export const PGC_xen_heap = 0x4000_0000;
export const PGC_count_mask = 0x03ff_ffff;

/** One per vCPU. */
export const VcpuState = struct(
  'vcpu',
  {
    wake: s32, // counts wake-ups; what a sleeping vCPU waits on
    running: s32, // 1 while the vCPU's thread is inside the guest or in a hypercall
    blocked: s32, // 1: sleeps until something unblocks it
    online: s32, // VCPUOP_up / down
    initialised: s32,
    threadAsked: s32, // the host was asked for a thread: once is enough, however often the vCPU goes up and down
    contextPending: s32, // the start context has to be loaded before the next instruction
    contextWanted: s32, // getvcpucontext: the vCPU's thread is to write its context, once it rests
    cancelled: s32, // a suspend came to nothing: what SCHEDOP_shutdown returns then is 1
    tlbFlush: s32, // another vCPU asks for a TLB flush
    writtenCount: s32, // ranges of decoded code that others wrote to, see code-coherence.ts
    yieldHeld: s32, // other vCPUs have decoded from pages that this one may write on the fast path
    nmiPending: s32, // VCPUOP_send_nmi
    pollPort: s32, // SCHEDOP_poll: the one port, -1 several, 0 none
    infoAt: u32, // host address of the vcpu_info in use, 0: none
    infoRegistered: u32,
    kernelMode: u32,
    runstate: u32, // RUNSTATE_*
    runstateSince: f64,
    runstateTime: array(f64, 4),
    singleshot: f64, // absolute system time, 0: not set
    period: f64,
    nextPeriodic: f64,
    pollTimeout: f64,
    runstateVa: f64, // guest address of the runstate area, 0: none
    timeVa: f64,
    fifoControlAt: u32, // host address of the FIFO control block, 0: none
    fifoTails: array(u32, 16),
    fifoHeads: array(u32, 16), // last port of ours, for an empty queue's restart
    virqs: array(u32, 24),
    written: array(u32, 128), // address and length
    ioplRing: u32, // PHYSDEVOP_set_iopl
    ioBitmapPorts: u32, // PHYSDEVOP_set_iobitmap: number of ports, 0: none
    ioBitmapVa: f64,
    infoMfn: u32,
    infoOffset: u32,
    handlingNs: f64, // time in the hypervisor for exits, estimated from some of them
  },
  'internal',
);
