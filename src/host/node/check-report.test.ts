import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { CheckFailure } from '../../cpu/index.ts';
import { CODE, Machine } from '../../cpu/testing/machine.ts';
import { explain } from './check-report.ts';

describe('the report of a vCPU that checks itself', () => {
  const folder = mkdtempSync(join(tmpdir(), 'xenolith-check-'));
  after(() => rmSync(folder, { recursive: true, force: true }));

  it('tells what differs, of which code, and what the function is', async () => {
    const machine = new Machine('check', { eager: true });
    const { processor } = machine;
    // again: add rax,1; dec rcx; jnz again
    machine.code('48 83 c0 01 48 ff c9 75 f7 0f 0b');
    processor.state.set(1, 1000);
    processor.run(100);
    // The region does not get to know.
    machine.view.setUint8(machine.frameAt(16) + 3, 2);
    let failure: unknown;
    try {
      processor.run(10_000);
    } catch (error) {
      failure = error;
    }
    assert.ok(failure instanceof CheckFailure);
    const text = await explain(failure, processor, folder, 'd1v0');
    const path = /^translated code at 0x400000 differs from the interpreter: rax: .*; see (.*)$/.exec(text)?.[1] ?? '';
    assert.ok(path.startsWith(folder), text);
    const report = readFileSync(path, 'utf8');
    assert.match(report, /^ {2}rax: translated \w{16}, interpreted \w{16}$/m);
    assert.match(report, new RegExp(`^ {2}${CODE.toString(16)} {2}48 83 c0 02 +ADD/64`, 'm'));
    assert.match(report, /^ +i64\.add$/m);
  });

  it('leaves other errors as they are', async () => {
    assert.match(await explain(new RangeError('too far'), undefined, folder, 'd1v0'), /^RangeError: too far\n/);
  });
});
