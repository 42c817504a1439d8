/** Domains in threads of their own: what ends one of them, and that nothing ends the others. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, describe, it } from 'node:test';
import { Worker } from 'node:worker_threads';
import { SharedInfo } from '../../abi/arch-x86.ts';
import { SchedPoll } from '../../abi/sched.ts';
import type { DomainControl, DomainInfo } from '../../hypervisor/control.ts';
import { computeLayout, vcpuAt } from '../../hypervisor/domain-memory.ts';
import { VcpuState } from '../../hypervisor/state.ts';
import { createHost } from './hypervisor-host.ts';
import { processorShape } from './processor-shape.ts';
import { createSmallGuest, hypercall, jumpBack, le32, spin, ud2, va } from './testing/small-guest.ts';

const SCHED_OP = 29;
const EVENT_CHANNEL_OP = 32;
const CONSOLE_IO = 18;
const block = hypercall(SCHED_OP, 1, 0);
const DATA = 20;

/** Of what createSmallGuest makes. */
function smallLayout() {
  const layout = computeLayout({
    maxPages: 64,
    maxVcpus: 1,
    maxEvtchnPort: 1023,
    maxGrantFrames: 64,
    processor: processorShape,
  });
  assert.ok(layout);
  return layout;
}

describe('a host with threads', { timeout: 600_000 }, () => {
  const host = createHost({ memoryMiB: 1024, commandLine: 'dom0_mem=64M loglvl=all guest_loglvl=all' });
  after(() => host.close());

  /** Waits for a domain's state, looking again at each exception and every few milliseconds. */
  async function until(domain: DomainControl, what: (info: DomainInfo) => boolean): Promise<DomainInfo> {
    while (!what(domain.info())) await new Promise((resolve) => setTimeout(resolve, 5));
    return domain.info();
  }

  it('a guest that shuts down is reported with its reason', async () => {
    const domain = createSmallGuest(host, [...hypercall(SCHED_OP, 2, va(DATA)), ...spin]);
    domain.frames.dataView.setUint32(domain.frames.base + DATA * 4096, 1, true);
    const told = new Promise<number>((resolve) => host.onDomainException(resolve));
    domain.unpause();
    assert.equal(await told, domain.domid);
    assert.equal(domain.info().shutdownReason, 1);
    await domain.destroy();
    assert.equal(host.domain(domain.domid), undefined);
  });

  it('a domain that was never unpaused executes nothing, and can be destroyed', async () => {
    const domain = createSmallGuest(host, spin);
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(domain.vcpuInfo(0)?.instructions, 0);
    await domain.destroy();
    assert.equal(host.domain(domain.domid), undefined);
  });

  it('a guest that spins is paused at once, and destroyed', async () => {
    const domain = createSmallGuest(host, spin);
    domain.unpause();
    await until(domain, (info) => info.running && info.cpuTimeNs > 1e6);
    domain.pause();
    const paused = domain.vcpuInfo(0)?.instructions;
    const { cpuTimeNs } = await until(domain, (info) => !info.running);
    await new Promise((resolve) => setTimeout(resolve, 30));
    assert.equal(domain.info().cpuTimeNs, cpuTimeNs, 'a paused domain uses no time');
    assert.equal(domain.vcpuInfo(0)?.instructions, paused, 'it has executed nothing since pause() came back');
    domain.unpause();
    await until(domain, (info) => info.running);
    // How long that takes on a busy machine is the machine's affair.
    await domain.destroy();
    assert.equal(host.domain(domain.domid), undefined);
  });

  it('a guest that polls is woken by an event from domain 0 and answers it', async () => {
    const send = hypercall(EVENT_CHANNEL_OP, 4, va(DATA));
    const poll = hypercall(SCHED_OP, 3, va(DATA) + 64);
    const domain = createSmallGuest(host, [...send, ...poll, ...jumpBack(send.length + poll.length)]);
    const port = domain.allocUnbound(0);
    const { dataView, base } = domain.frames;
    dataView.setUint32(base + DATA * 4096, port, true);
    SchedPoll.write(dataView, base + DATA * 4096 + 64, { ports: va(DATA), nr_ports: 1, timeout: 0 });
    let answers = 0;
    const local = host.bindInterdomain(domain.domid, port, () => {
      answers++;
      // This guest has no handler that would clear its pending bits.
      SharedInfo.write(dataView, base + domain.sharedInfoMfn * 4096, { evtchn_pending: new Uint8Array(512) });
      local.notify();
    });
    domain.unpause();
    await until(domain, () => answers >= 20);
    assert.equal(domain.info().shutdown, false);
    await domain.destroy();
    local.notify();
    local.close();
  });

  it('log levels that change reach threads that run already', async () => {
    host.setParameters('guest_loglvl=none');
    const say = [0xba, ...le32(va(DATA)), ...hypercall(CONSOLE_IO, 0, 6)];
    const domain = createSmallGuest(host, [...say, ...jumpBack(say.length)]);
    domain.frames.view(DATA).set(Buffer.from('hello\n'));
    domain.unpause();
    await until(domain, (info) => info.cpuTimeNs > 20e6);
    const line = `(d${domain.domid}) hello`;
    assert.equal(host.readConsole().includes(line), false);
    host.setParameters('guest_loglvl=all');
    await until(domain, () => host.readConsole().includes(line));
    await domain.destroy();
  });

  it('a guest that cannot go on leaves its registers in the log, and the others alone', async () => {
    const good = createSmallGuest(host, [...block, ...jumpBack(block.length)]);
    const bad = createSmallGuest(host, ud2);
    good.unpause();
    bad.unpause();
    const { shutdownReason } = await until(bad, (info) => info.shutdown);
    assert.equal(shutdownReason, 3);
    await until(good, (info) => info.blocked);
    await until(bad, () => host.readConsole().includes('Guest stack trace'));
    const log = host.readConsole();
    assert.ok(log.includes(`Domain ${bad.domid} (vcpu#0) crashed on cpu#0:`), log);
    assert.match(log, /RIP: {4}e033:\[<0000000000410000>\]/);
    assert.match(log, /Guest stack trace from rsp=0000000000409000:/);
    assert.equal(good.info().shutdown, false);
    await Promise.all([good.destroy(), bad.destroy()]);
  });

  it('a thread that fails ends its own domain only', async () => {
    const good = createSmallGuest(host, [...block, ...jumpBack(block.length)]);
    const bad = createSmallGuest(host, spin);
    good.unpause();
    bad.unpause();
    await until(bad, (info) => info.running && info.cpuTimeNs > 1e6);
    // A broken invariant of ours: the vCPU's vcpu_info is nowhere.
    const layout = smallLayout();
    bad.frames.dataView.setUint32(vcpuAt(layout, 0) + VcpuState.at.infoAt, 0xffff_fff0, true);
    const { shutdownReason } = await until(bad, (info) => info.shutdown);
    assert.equal(shutdownReason, 3);
    assert.match(host.readConsole(), new RegExp(`d${bad.domid}v0: vCPU thread ended: RangeError`));
    await until(good, (info) => info.blocked);
    await Promise.all([good.destroy(), bad.destroy()]);
  });

  it('waits for the registers of a vCPU whose thread gets no processor for a while', async () => {
    const busy = `
      require('node:worker_threads').parentPort.once('message', ({ buffer, at }) => {
        const words = new Int32Array(buffer);
        while (Atomics.load(words, at) === 0) Atomics.wait(words, at, 0, 5);
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2500);
        Atomics.store(words, at, 0);
        Atomics.notify(words, at);
      });`;
    const worker = new Worker(busy, { eval: true });
    await once(worker, 'online');
    // The thread that waits goes to the first, and the second has none yet: this one takes its place.
    const [other, domain] = [createSmallGuest(host, spin), createSmallGuest(host, spin)];
    const at = (vcpuAt(smallLayout(), 0) + VcpuState.at.contextWanted) >>> 2;
    worker.postMessage({ buffer: domain.frames.dataView.buffer, at });
    assert.ok(domain.getVcpuContext(0));
    await once(worker, 'exit');
    await Promise.all([other.destroy(), domain.destroy()]);
  });

  it('gives all memory back in the end', async () => {
    const free = host.physInfo().freePages;
    assert.equal(free, (1024 - 64) * 256);
    assert.deepEqual(
      host.domains().map((domain) => domain.domid),
      [0],
    );
    await Promise.resolve();
  });
});
