/** What becomes of a domain that crashes at once. Its kernel is three bytes long, so these are quick. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { debianNotes, syntheticElf } from '../../toolstack/builder/testing/synthetic-kernel.ts';
import { Machine, until } from '../testing/machine.ts';

const ENTRY = 0x100_0000;
const VIRT_BASE = -0x8000_0000;
/** `nop; ud2`: an exception before the kernel has a handler for it, which Xen answers with the domain's end. */
const undefinedInstruction = Uint8Array.of(0x90, 0x0f, 0x0b);

describe('on_crash', () => {
  const machine = new Machine();
  before(() => {
    const segments = [{ paddr: ENTRY, memSize: 0x1000, content: undefinedInstruction }];
    const kernel = syntheticElf({ segments, notes: { ...debianNotes, ENTRY: VIRT_BASE + ENTRY } });
    writeFileSync(machine.path('kernel'), kernel);
  });
  after(() => machine.close());

  const create = (name: string, on_crash: string): Promise<string> =>
    machine.ok('create', '-q', machine.config({ name, kernel: machine.path('kernel'), memory: 32, on_crash }));
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
    const dead = await until('a crash', async () => {
      const domain = await machine.state('preserved');
      return domain?.state.includes('c') && domain;
    });
    assert.equal(dead.state, '---sc-');
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

  /** A domain may be between two lives when it is destroyed. */
  async function destroyAll(prefix: string): Promise<void> {
    await until('an empty host', async () => {
      const left = (await machine.list()).filter(({ name }) => name.startsWith(prefix));
      for (const { domid } of left) await machine.xl('destroy', `${domid}`);
      return left.length === 0;
    });
  }
});
