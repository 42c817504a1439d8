/** What becomes of a domain that ends at once, in each of the ways there are. Its kernel is some bytes long, so these are quick. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { hex, hypercall, mov, program } from '../../hypervisor/pv/testing/code.ts';
import { CoreReader } from '../../toolstack/core-dump/testing/core-reader.ts';
import { debianNotes, syntheticElf } from '../../toolstack/builder/testing/synthetic-kernel.ts';
import { eventually, Machine, until, type Settings } from '../testing/machine.ts';

const ENTRY = 0x100_0000;
const VIRT_BASE = -0x8000_0000;
/** Where the argument of a hypercall is, in its page. */
const ARGUMENT = 0x800;
const argument = VIRT_BASE + ENTRY + ARGUMENT;
const SCHED_OP = 29;
const [SHUTDOWN, WATCHDOG] = [2, 6];
/** `1: pause; jmp 1b` */
const spin = hex('f3 90 eb fc');
/** The value that a register begins with, so that it is found again. */
const pattern = (gpr: number): number => 0x1111_1111 * (gpr + 1) * 256 + gpr;

interface Kernel {
  readonly code: Uint8Array;
  /** Words. */
  readonly argument?: readonly number[];
}

const kernels = {
  /** `nop; ud2`: an exception before the kernel has a handler for it, which Xen answers with the domain's end. */
  crash: { code: program(hex('90 0f 0b')) },
  /** The same with something in each register. */
  registers: { code: program(...Array.from({ length: 16 }, (_, gpr) => mov(gpr, pattern(gpr))), hex('0f 0b')) },
  /** SHUTDOWN_soft_reset, which kexec uses. */
  softReset: { code: program(hypercall(SCHED_OP, SHUTDOWN, argument), spin), argument: [5] },
  /** A new timer of a second, which nobody sets again. */
  watchdog: { code: program(hypercall(SCHED_OP, WATCHDOG, argument), spin), argument: [0, 1] },
} satisfies Record<string, Kernel>;

describe('the end of a domain', () => {
  const machine = new Machine();
  before(() => {
    for (const [name, { code, argument: words = [] }] of Object.entries<Kernel>(kernels)) {
      const content = new Uint8Array(0x1000);
      content.set(code);
      words.forEach((word, i) => new DataView(content.buffer).setUint32(ARGUMENT + i * 4, word, true));
      const segments = [{ paddr: ENTRY, memSize: 0x1000, content }];
      const kernel = syntheticElf({ segments, notes: { ...debianNotes, ENTRY: VIRT_BASE + ENTRY } });
      writeFileSync(machine.path(name), kernel);
    }
  });
  after(() => machine.close());

  const run = (name: string, kernel: keyof typeof kernels, settings: Settings): Promise<string> =>
    machine.ok('create', '-q', machine.config({ name, kernel: machine.path(kernel), memory: 32, ...settings }));
  const create = (name: string, on_crash: string): Promise<string> => run(name, 'crash', { on_crash });
  const ended = (name: string): Promise<unknown> => until('the end', async () => !(await names()).includes(name));
  const names = async (): Promise<string[]> => (await machine.list()).map(({ name }) => name);

  it('destroy: nothing is left but registers and stack in the log', async () => {
    await create('destroyed', 'destroy');
    await until('the end', async () => !(await names()).includes('destroyed'));
    const log = await machine.ok('dmesg');
    assert.match(log, /Domain 1 \(vcpu#0\) crashed on cpu#\d+:/);
    assert.match(log, /RIP: +e033:\[<ffffffff81000001>\]/);
    assert.match(log, /Guest stack trace from rsp=/);
    assert.match(machine.log('xl-destroyed.log'), /Action for shutdown reason code 3 is destroy/);
    assert.doesNotMatch(await machine.xenstore(), /destroyed|domain\/1\b/);
  });

  it('preserve: the dead domain stays to be looked at, until it is destroyed', async () => {
    await create('preserved', 'preserve');
    await eventually(async () => assert.equal((await machine.state('preserved'))?.state, '---sc-'));
    await machine.ok('destroy', 'preserved');
    assert.deepEqual(await names(), ['Domain-0']);
  });

  it('rename-restart: the dead one stays under another name, and a new one takes its place', async () => {
    await create('again', 'rename-restart');
    await until('a successor', async () => (await names()).filter((name) => name.startsWith('again')).length >= 2);
    assert.ok((await names()).some((name) => /^again-\d{8}T\d{4}Z$/.test(name)));
    await destroyAll('again');
  });

  it('restart: it comes again and again, and can be stopped', async () => {
    await create('restless', 'restart');
    const first = (await machine.state('restless'))?.domid ?? 0;
    await until('the second next', async () => ((await machine.state('restless'))?.domid ?? 0) >= first + 2);
    await destroyAll('restless');
  });

  it('coredump-destroy: registers and memory are in the core', async () => {
    await run('cored', 'registers', { on_crash: 'coredump-destroy' });
    await ended('cored');
    const core = new CoreReader(join(machine.run, 'dump', 'cored'));
    const [regs] = core.registers;
    assert(regs);
    const { rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15 } = regs;
    const found = [rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15];
    assert.deepEqual(
      found.map(({ lo, hi }) => hi * 2 ** 32 + lo),
      [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15].map(pattern),
    );
    assert.equal(regs.rsp, pattern(4));
    assert.equal(regs.rip, VIRT_BASE + ENTRY + kernels.registers.code.length - 2);
    const code = core.read(BigInt(VIRT_BASE + ENTRY), kernels.registers.code.length);
    assert.deepEqual(new Uint8Array(code), kernels.registers.code);
    core.close();
  });

  it('coredump-restart: a core, and a successor', async () => {
    await create('cores', 'coredump-restart');
    const first = (await machine.state('cores'))?.domid ?? 0;
    await until('the second next', async () => ((await machine.state('cores'))?.domid ?? 0) >= first + 2);
    // That one has died, too, and writes its core over the other's, until the next one is made.
    await eventually(() => new CoreReader(join(machine.run, 'dump', 'cores')).close());
    await destroyAll('cores');
  });

  it('on_watchdog: the domain ends when its timer does', async () => {
    await run('watched', 'watchdog', { on_watchdog: 'preserve' });
    await eventually(async () => assert.equal((await machine.state('watched'))?.state, '---sw-'));
    await eventually(() =>
      assert.match(machine.log('xl-watched.log'), /reason code 4 0x4\nAction for shutdown reason code 4 is preserve\n/),
    );
    assert.match(await machine.ok('dmesg'), /Watchdog timer 0 fired for domain d\d+/);
    await machine.ok('destroy', 'watched');
    await run('watched', 'watchdog', { on_watchdog: 'destroy' });
    await ended('watched');
  });

  it('on_soft_reset: what is for HVM guests only ends a PV domain; another action does not', async () => {
    await run('soft', 'softReset', {});
    await ended('soft');
    assert.match(machine.log('xl-soft.log'), /is soft-reset\n.*soft reset failed: Invalid argument\n/);
    await run('soft', 'softReset', { on_soft_reset: 'restart' });
    const first = (await machine.state('soft'))?.domid ?? 0;
    await until('a successor', async () => ((await machine.state('soft'))?.domid ?? 0) > first);
    await destroyAll('soft');
  });

  /** A domain may be between two lives when it is destroyed. */
  async function destroyAll(prefix: string): Promise<void> {
    await until('an empty host', async () => {
      const left = (await machine.list()).filter(({ name }) => name.startsWith(prefix));
      for (const { domid } of left) await machine.xl('destroy', `${domid}`);
      return left.length === 0;
    });
  }
});
