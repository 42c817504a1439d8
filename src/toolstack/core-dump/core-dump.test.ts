import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { VcpuGuestContext } from '../../abi/arch-x86.ts';
import { PAGE_SIZE } from '../../abi/numbers.ts';
import type { DomainInfo } from '../../hypervisor/control.ts';
import { LibxlError } from '../domain/libxl-error.ts';
import { FakeDomain } from '../builder/testing/fake-domain.ts';
import { FakeHost } from '../testing/fake-host.ts';
import type { DumpedDomain } from './core-image.ts';
import * as format from './format.ts';
import { CoreReader } from './testing/core-reader.ts';
import { dumpCore } from './write-core.ts';

const pages = 600;
const version = new FakeHost().version;

/** Of 600 frames, each of which begins with its number; every third is a hole, and frame n is the guest's page n + 7. */
class Dumped implements DumpedDomain {
  readonly domid = 5;
  readonly sharedInfoMfn = pages;
  readonly #memory = new FakeDomain(pages + 1);
  dying = false;
  /** vCPU 1 never began. */
  vcpus: readonly (Uint8Array | undefined)[] = [0x11, undefined, 0x33].map((byte) =>
    byte === undefined ? undefined : new Uint8Array(VcpuGuestContext.size).fill(byte),
  );

  constructor() {
    this.#memory.populate(pages + 1);
    for (let mfn = 0; mfn <= pages; mfn++) this.frames.dataView.setUint32(mfn * PAGE_SIZE, mfn, true);
  }

  get frames(): DumpedDomain['frames'] {
    return this.#memory.frames;
  }

  info(): DomainInfo {
    return { maxVcpuId: this.vcpus.length - 1, dying: this.dying } as DomainInfo;
  }

  getVcpuContext(vcpu: number): Uint8Array | undefined {
    return this.vcpus[vcpu];
  }

  pfnOf(mfn: number): number | undefined {
    return mfn < pages && mfn % 3 !== 0 ? mfn + 7 : undefined;
  }
}

describe('a core of a domain', () => {
  const folder = mkdtempSync(join(tmpdir(), 'xenolith-core-'));
  const path = join(folder, 'core');
  after(() => rmSync(folder, { recursive: true }));

  it('has the notes, vCPUs, shared info and pages where an analysis tool looks for them', async () => {
    const seen: number[] = [];
    await dumpCore(new Dumped(), version, path, { progress: (done, total) => seen.push(done / total) });
    assert.equal(statSync(path).mode & 0o777, 0o600);
    const core = new CoreReader(path);
    assert.deepEqual(
      core.sections.map(({ name }) => name),
      Object.values(format.sections),
    );
    assert.deepEqual(core.noteTypes, Object.values(format.noteTypes));
    assert.deepEqual(core.header, {
      xch_magic: 0xf00febed,
      xch_nr_vcpus: 2,
      xch_nr_pages: 400,
      xch_page_size: PAGE_SIZE,
    });
    assert.deepEqual([core.xenVersion.major_version, core.xenVersion.minor_version], [4, 17]);
    assert.equal(core.xenVersion.virt_start, -0x8000_0000_0000);
    assert.deepEqual(
      core.contexts.map(({ fpu_ctxt }) => fpu_ctxt[0]),
      [0x11, 0x33],
    );
    assert.equal(core.content('sharedInfo').readUInt32LE(), pages);
    assert.equal(core.pages, 400);
    for (const mfn of [1, 2, 4, 299, 598]) assert.equal(core.page(mfn + 7).readUInt32LE(), mfn);
    core.close();
    assert.equal(seen.at(-1), 1);
    assert.deepEqual(seen, [...seen].sort());
  });

  it('is what readelf takes for one', { skip: spawnSync('readelf', ['-v']).status !== 0 }, async () => {
    await dumpCore(new Dumped(), version, path);
    // Of a core, `readelf -n` looks for notes in program headers only, which Xen's have not.
    const { stdout, stderr } = spawnSync('readelf', ['-h', '-S', path], { encoding: 'utf8' });
    assert.equal(stderr, '');
    assert.match(stdout, /Type: +CORE \(Core file\)/);
    for (const name of Object.values(format.sections).slice(1)) assert(stdout.includes(` ${name} `), name);
  });

  it('fails in words of libxl, where the file cannot be, or there is nothing to tell', async () => {
    const domain = new Dumped();
    const wrong = join(folder, 'nowhere', 'core');
    await assert.rejects(dumpCore(domain, version, wrong), (error) => {
      assert(error instanceof LibxlError);
      assert.deepEqual(error.lines, [
        `xc: error: Could not open corefile ${wrong} (2 = No such file or directory): Internal error`,
        `libxl: error: libxl_domain.c:libxl_domain_core_dump: Domain 5:Core dumping domain to ${wrong}: No such file or directory`,
      ]);
      return true;
    });
    domain.vcpus = [undefined];
    await assert.rejects(dumpCore(domain, version, path), /Core dumping domain to .*: Invalid argument/);
    const destroyed = new Dumped();
    destroyed.dying = true;
    await assert.rejects(dumpCore(destroyed, version, path), LibxlError);
  });
});
