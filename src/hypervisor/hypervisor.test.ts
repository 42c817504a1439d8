import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Errno } from '../abi/errno.ts';
import { HypercallError } from './control.ts';
import { formatCrash } from './crash-dump.ts';
import { hypercallPage } from './hypercall-page.ts';
import { LogRing, RateLimit, isLogged } from './log-ring.ts';
import { call, testHost } from './testing/guest.ts';

const refused = (errno: number) => (error: unknown) => error instanceof HypercallError && error.errno === errno;
const handle = new Uint8Array(16);

describe('the control interface', () => {
  it('numbers domains upwards and does not reuse a number at once', async () => {
    const { hypervisor } = testHost().host;
    const create = () => hypervisor.createDomain({ handle, maxVcpus: 1, maxMemKiB: 1024 });
    const [one, two] = [create(), create()];
    assert.deepEqual([one.domid, two.domid], [1, 2]);
    await two.destroy();
    assert.equal(create().domid, 3);
    assert.deepEqual(
      hypervisor.domains().map((domain) => domain.domid),
      [0, 1, 3],
    );
    assert.equal(hypervisor.domain(2), undefined);
  });

  it('counts the pages of the host: domain 0, its guests, and what is free', async () => {
    const { hypervisor } = testHost({ totalPages: 10_000, commandLine: 'dom0_mem=8M' }).host;
    assert.equal(hypervisor.domain(0)?.info().totPages, 2048);
    assert.equal(hypervisor.physInfo().freePages, 7952);
    const domain = hypervisor.createDomain({ handle, maxVcpus: 1, maxMemKiB: 40_000 });
    assert.throws(() => domain.populate(7953), refused(Errno.ENOMEM));
    domain.populate(7952);
    assert.equal(hypervisor.physInfo().freePages, 0);
    await domain.destroy();
    assert.equal(hypervisor.physInfo().freePages, 7952);
  });

  it('refuses configurations that cannot be', () => {
    const { hypervisor } = testHost().host;
    const create = (more: object) => () => hypervisor.createDomain({ handle, maxVcpus: 1, maxMemKiB: 1024, ...more });
    assert.throws(create({ maxVcpus: 0 }), refused(Errno.EINVAL));
    assert.throws(create({ maxVcpus: 100_000 }), refused(Errno.EINVAL));
    assert.throws(create({ maxMemKiB: 0 }), refused(Errno.EINVAL));
    assert.throws(create({ maxMemKiB: NaN }), refused(Errno.EINVAL));
    assert.throws(create({ maxEvtchnPort: 1e9 }), refused(Errno.EINVAL));
    for (const maxMemKiB of [64 * 2 ** 20, 1e15]) assert.throws(create({ maxMemKiB }), refused(Errno.ENOMEM));
    assert.deepEqual(hypervisor.domains().length, 1);
  });

  it('does not let domain 0 be paused or destroyed', () => {
    const { hypervisor } = testHost().host;
    assert.throws(() => hypervisor.domain(0)?.pause(), refused(Errno.EINVAL));
    assert.throws(() => void hypervisor.domain(0)?.destroy(), refused(Errno.EINVAL));
  });

  it('lets a vCPU that is about to run execute nothing when its domain is paused meanwhile', () => {
    const test = testHost();
    let turns = 0;
    const control = test.boot(function* (k) {
      for (;;) {
        turns++;
        yield* k.spin(1);
      }
    });
    // What another thread does between the vCPU's look at the domain and its first instruction.
    const enter = (): boolean => {
      control.pause();
      return true;
    };
    const loop = test.host.loop(control.domid, 0);
    assert.equal(loop?.turn({ enter, goesOn: () => false, leave: () => undefined }), 'paused');
    assert.equal(turns, 0);
    assert.equal(control.info().running, false);
  });

  it('starts a domain paused, and stops and starts it by counting', () => {
    const test = testHost();
    let turns = 0;
    const control = test.boot(
      function* (k) {
        for (;;) {
          turns++;
          yield* k.spin(1);
        }
      },
      { paused: true },
    );
    assert.equal(control.info().paused, true);
    control.pause();
    control.unpause();
    test.host.run();
    assert.equal(turns, 0);
    control.unpause();
    assert.throws(() => control.unpause(), refused(Errno.EINVAL));
    test.host.run(() => turns > 10);
    control.pause();
    const before = turns;
    test.host.run();
    assert.equal(turns, before);
  });

  it('accounts the time that a domain has run, not the time it has waited', () => {
    const test = testHost();
    const control = test.boot(function* (k) {
      yield* k.spin(100);
      yield* k.hypercall(call.set_timer_op, 1e9);
      yield* k.hypercall(call.sched_op, 1);
    });
    test.host.run(() => test.host.clock.now() >= 0.5e9, 10_000);
    assert.ok(control.info().cpuTimeNs < 1e6, `${control.info().cpuTimeNs} ns`);
    assert.ok(control.info().cpuTimeNs > 50_000);
  });

  it('tells of a domain that the toolstack shuts down, and of one that is gone', async () => {
    const test = testHost();
    const control = test.boot(function* (k) {
      yield* k.spin(1e6);
    });
    const told: string[] = [];
    test.host.hypervisor.onDomainException((domid) =>
      told.push(test.host.hypervisor.domain(domid) === undefined ? 'gone' : 'shut down'),
    );
    control.shutdown('poweroff');
    control.shutdown('crash');
    await Promise.resolve();
    assert.equal(control.info().shutdownReason, 0);
    await control.destroy();
    await Promise.resolve();
    assert.deepEqual(told, ['shut down', 'gone']);
  });

  it('leaves a domain that runs when another one crashes', () => {
    const test = testHost();
    let turns = 0;
    const good = test.boot(function* (k) {
      for (;;) {
        turns++;
        yield* k.spin(1);
      }
    });
    const bad = test.boot(function* (k) {
      k.domain.u32[(k.domain.vcpuAt(0) >>> 2) + 0] = 0;
      test.host.loop(k.domain.domid, 0)?.vcpu.crash('d2v0 no handler');
      yield* k.spin(1e6);
    });
    test.host.run(() => bad.info().shutdown);
    const before = turns;
    test.host.run(() => turns > before + 10);
    assert.equal(bad.info().shutdownReason, 3);
    assert.equal(good.info().shutdown, false);
    const log = test.host.hypervisor.readConsole({ clear: true });
    assert.match(log, /\(XEN\) d2v0 no handler\n\(XEN\) Domain 2 \(vcpu#0\) crashed on cpu#0:\n/);
    assert.equal(test.host.hypervisor.readConsole(), '');
  });
});

describe('a crash dump', () => {
  const dump = {
    domid: 1,
    vcpu: 0,
    reason: '',
    userMode: false,
    rip: -0x7f000000,
    rflags: 0x246,
    gpr: Array.from({ length: 16 }, (_, i) => i.toString(16).padStart(16, '0')),
    cr0: 0x8005003b,
    cr2: 0x1000,
    cr3: 0x4a03000,
    cr4: 0x660,
    fsBase: 0,
    gsBase: -0x77f8_0000_0000,
    gsShadow: 0,
    selectors: [0, 0xe033, 0xe02b, 0, 0, 0],
    stackAt: -0x7d000000,
    stack: [-0x7effff00, 5],
    stackText: ['ffffffff81000100', '0000000000000005'],
  };

  it('has the lines of Xen', () => {
    assert.deepEqual(formatCrash(dump, '4.17.7'), [
      'Domain 1 (vcpu#0) crashed on cpu#0:',
      '----[ Xen-4.17.7  x86_64  debug=n  Not tainted ]----',
      'CPU:    0',
      'RIP:    e033:[<ffffffff81000000>]',
      'RFLAGS: 0000000000000246   EM: 1   CONTEXT: pv guest (d1v0)',
      'rax: 0000000000000000   rbx: 0000000000000003   rcx: 0000000000000001',
      'rdx: 0000000000000002   rsi: 0000000000000006   rdi: 0000000000000007',
      'rbp: 0000000000000005   rsp: 0000000000000004   r8:  0000000000000008',
      'r9:  0000000000000009   r10: 000000000000000a   r11: 000000000000000b',
      'r12: 000000000000000c   r13: 000000000000000d   r14: 000000000000000e',
      'r15: 000000000000000f   cr0: 000000008005003b   cr4: 0000000000000660',
      'cr3: 0000000004a03000   cr2: 0000000000001000',
      'fsb: 0000000000000000   gsb: ffff880800000000   gss: 0000000000000000',
      'ds: 0000   es: 0000   fs: 0000   gs: 0000   ss: e02b   cs: e033',
      'Guest stack trace from rsp=ffffffff83000000:',
      '   ffffffff81000100 0000000000000005',
    ]);
  });

  it('names addresses when the symbols of the kernel are known', () => {
    const symbolize = (va: number) =>
      va < -0x7e000000 && va >= -0x7f000000 ? { name: '_stext', offset: va + 0x7f000000, size: 0x1000 } : undefined;
    const lines = formatCrash(dump, '4.17.7', symbolize);
    assert.equal(lines[3], 'RIP:    e033:[<ffffffff81000000>] _stext+0/1000');
    assert.deepEqual(lines.slice(-2), ['Guest call trace:', '   [<ffffffff81000100>] _stext+100/1000']);
  });
});

describe('the log', () => {
  it('keeps the last 16 KiB', () => {
    const ring = new LogRing();
    for (let i = 0; i < 5000; i++) ring.append(`line ${i}`);
    assert.equal(ring.read().length, 16384);
    assert.ok(ring.read().endsWith('line 4999\n'));
  });

  it('keeps the levels that loglvl and guest_loglvl ask for', () => {
    const levels = { xen: 4, guest: 2 };
    assert.deepEqual(
      [isLogged(levels, 'debug'), isLogged(levels, 'guestWarning'), isLogged(levels, 'guestInfo')],
      [true, true, false],
    );
    const none = { xen: 0, guest: 2 };
    assert.deepEqual(
      [isLogged(none, 'error'), isLogged(none, 'guestWarning'), isLogged(none, 'guestInfo')],
      [false, true, false],
    );
  });

  it('takes only so many lines at once from a guest', () => {
    const limit = new RateLimit();
    let kept = 0;
    for (let i = 0; i < 1000; i++) if (limit.allow(i)) kept++;
    assert.ok(kept >= 200 && kept < 210);
    assert.ok(limit.allow(10e9));
    assert.equal(limit.takeSuppressed(), 1000 - kept);
  });
});

describe('the hypercall page', () => {
  it('has a stub of 32 bytes for each number, and one for iret that does not come back', () => {
    const page = hypercallPage();
    const hex = (nr: number): string => Buffer.from(page.subarray(nr * 32, nr * 32 + 14)).toString('hex');
    assert.equal(hex(12), '514153b80c0000000f05415b59c3');
    assert.equal(hex(23).slice(0, 22), '51415350b8170000000f05');
    assert.equal(page.length, 4096);
  });
});
