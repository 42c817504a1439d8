/** A domain goes through a stream and is what it was; what is no such stream is refused with a sentence. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { SharedInfo, VcpuGuestContext } from '../../abi/arch-x86.ts';
import { fuzz } from '../../abi/testing/fuzz.ts';
import { PTE, slotOf } from '../../abi/arch-x86/page-table.ts';
import { PAGE_SIZE } from '../../abi/numbers.ts';
import { StartInfo } from '../../abi/start-info.ts';
import { MemorySink, MemorySource, StreamError } from './byte-stream.ts';
import { FileSink, FileSource } from './file-stream.ts';
import { restoreDomain, type RestoredRings } from './libxc-restore.ts';
import { saveDomain } from './libxc-save.ts';
import { readLibxlStream, writeLibxlStream } from './libxl-stream.ts';
import { readSaveFileHeader, saveFileHeader } from './save-file.ts';
import { viewOf } from './records.ts';
import { LIBXC_RECORD, LIBXL_HEADER } from './stream-format.ts';
import type { WatchWrites } from './write-watch.ts';
import { FakePvDomain, PAGES, pages } from './testing/fake-pv-domain.ts';

const CONFIG = '{ "c_info": { "type": "pv", "name": "kept" } }\n';

async function saved(domain = FakePvDomain.kernel()): Promise<Uint8Array> {
  const sink = new MemorySink();
  await sink.write([saveFileHeader(CONFIG).bytes]);
  await writeLibxlStream(sink, () => saveDomain(domain, sink, { xenVersion: { major: 4, minor: 17 } }));
  return sink.bytes;
}

async function restored(bytes: Uint8Array, domain: FakePvDomain): Promise<RestoredRings> {
  const source = new MemorySource(bytes);
  await readSaveFileHeader(source);
  let rings: RestoredRings | undefined;
  await readLibxlStream(source, async () => {
    rings = await restoreDomain(domain, source);
  });
  assert.equal(source.rest, 0);
  return rings ?? assert.fail('no domain in the stream');
}

describe('a domain that goes through a stream', () => {
  it('has its configuration in front, in xl’s form', async () => {
    const bytes = await saved();
    assert.equal(Buffer.from(bytes.subarray(0, 32)).toString('latin1'), 'Xen saved domain, xl format\n \0 \r');
    const { text, mandatoryFlags } = await readSaveFileHeader(new MemorySource(bytes));
    assert.equal(text, CONFIG);
    assert.equal(mandatoryFlags, 3);
  });

  it('has the same pages under the same numbers, wherever they lay', async () => {
    const from = FakePvDomain.kernel();
    const to = new FakePvDomain();
    await restored(await saved(from), to);
    assert.deepEqual(
      [...to.populated].sort((a, b) => a - b),
      [...from.populated],
    );
    const rewritten: readonly number[] = [pages.startInfo, pages.p2m, pages.l1, pages.l2, pages.l3, pages.l4];
    for (const pfn of from.populated) {
      if (!rewritten.includes(pfn)) assert.deepEqual(to.frames.view(pfn), from.page(pfn), `page ${pfn}`);
    }
    // Page 30 lay in frame 20, and the table that maps it in frame 30.
    const l1 = viewOf(to.frames.view(pages.l1));
    assert.equal(l1.getUint32(7 * 8, true), ((30 << 12) | PTE.P | PTE.RW) >>> 0);
    const l2 = viewOf(to.frames.view(pages.l2));
    assert.equal(l2.getUint32(slotOf(-0x7780_0000_0000, 2) * 8, true) >>> 12, pages.l1);
    assert.deepEqual([...to.pinned], [[pages.l4, 4]]);
  });

  it('finds its tables of frames and its rings where it is now', async () => {
    const to = new FakePvDomain();
    const rings = await restored(await saved(), to);
    assert.deepEqual(rings, {
      startInfoMfn: pages.startInfo,
      storeMfn: pages.store,
      consoleMfn: pages.console,
      storePort: 1,
      consolePort: 2,
    });
    assert.deepEqual(
      [...to.grants],
      [
        [0, pages.console],
        [1, pages.store],
      ],
    );
    const start = StartInfo.read(viewOf(to.frames.view(pages.startInfo)), 0);
    assert.equal(start.shared_info, PAGES * PAGE_SIZE);
    assert.equal(start.store_evtchn, 1);
    assert.equal(start.nr_pages, PAGES - 1);
    const p2m = viewOf(to.frames.view(pages.p2m));
    assert.equal(p2m.getBigUint64(20 * 8, true), 20n);
    assert.equal(p2m.getBigUint64(pages.absent * 8, true), 0xffff_ffff_ffff_ffffn);
    const info = SharedInfo.read(viewOf(to.frames.view(PAGES)), 0);
    assert.deepEqual(info.evtchn_pending, new Uint8Array(512));
    assert.equal(info.max_pfn, PAGES);
  });

  it('has its registers', async () => {
    const from = FakePvDomain.kernel();
    const to = new FakePvDomain();
    await restored(await saved(from), to);
    assert.deepEqual([...to.vcpus.keys()], [0, 1]);
    const second = to.vcpus.get(1) ?? assert.fail('no second vCPU');
    assert.deepEqual(second.extended, from.vcpus.get(1)?.extended);
    const user = VcpuGuestContext.at.ctrlreg + 8;
    assert.equal(viewOf(second.context).getUint32(user, true), pages.l4 * PAGE_SIZE);
    assert.deepEqual(second.context, from.vcpus.get(1)?.context);
  });
});

describe('a domain in a file', () => {
  it('has its pages where they can be mapped, and its tables are read all the same', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'xenolith-stream-'));
    const path = join(folder, 'file');
    const from = FakePvDomain.kernel();
    const head = saveFileHeader(CONFIG).bytes;
    writeFileSync(path, head);
    const file = await open(path, 'r+');
    try {
      const sink = new FileSink(file, head.length);
      await writeLibxlStream(sink, () => saveDomain(from, sink, { xenVersion: { major: 4, minor: 17 } }));
      const mapped: number[] = [];
      const bytes = readFileSync(path);
      const to = new FakePvDomain();
      const source = new FileSource(file, head.length, {
        image: {
          map(target, offset) {
            assert.equal(offset % PAGE_SIZE, 0);
            target.set(bytes.subarray(offset, offset + target.length));
            for (let at = 0; at < target.length; at += PAGE_SIZE) mapped.push((target.byteOffset + at) / PAGE_SIZE);
            return true;
          },
          settle: () => undefined,
          giveUp: () => undefined,
        },
      });
      await readLibxlStream(source, async () => void (await restoreDomain(to, source)));
      const tables: readonly number[] = [pages.l1, pages.l2, pages.l3, pages.l4];
      assert.deepEqual(
        mapped,
        [...from.populated].filter((pfn) => !tables.includes(pfn)),
      );
      for (const pfn of [0, 10, 30, PAGES - 1]) assert.deepEqual(to.frames.view(pfn), from.page(pfn));
      // The same, where some of it is in the page cache.
      let asked = 0;
      const again = new FakePvDomain();
      const partly = new FileSource(file, head.length, {
        readCached(fd, offset, [into]) {
          assert.equal(fd, file.fd);
          if (into === undefined) return false;
          const isThere = ++asked % 3 !== 0 && offset + into.length <= bytes.length;
          into.set(isThere ? bytes.subarray(offset, offset + into.length) : new Uint8Array(into.length).fill(0xee));
          return isThere;
        },
      });
      await readLibxlStream(partly, async () => void (await restoreDomain(again, partly)));
      assert.ok(asked > 3);
      for (const pfn of [0, 10, 30, PAGES - 1]) assert.deepEqual(again.frames.view(pfn), from.page(pfn));
    } finally {
      await file.close();
      rmSync(folder, { recursive: true });
    }
  });
});

describe('a guest that cannot be saved', () => {
  it('maps what is none of its pages', async () => {
    const domain = FakePvDomain.kernel();
    viewOf(domain.page(pages.l1)).setUint32(9 * 8, ((pages.absent << 12) | PTE.P) >>> 0, true);
    await assert.rejects(
      saved(domain),
      /the guest still maps frame 0xb, which is none of its pages \(entry 9 of an L1 table\)/,
    );
  });

  it('has not told of its P2M table', async () => {
    const domain = FakePvDomain.kernel();
    SharedInfo.write(viewOf(domain.frames.view(PAGES)), 0, { max_pfn: 0 });
    await assert.rejects(saved(domain), /has not told where its P2M table is/);
  });
});

describe('a stream that is refused', () => {
  it('is cut off, wherever that is', async () => {
    const bytes = await saved();
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.length - 1), async (length) => {
        await assert.rejects(restored(bytes.slice(0, length), new FakePvDomain()), StreamError);
      }),
      fuzz(100),
    );
  });

  it('has features of another processor', async () => {
    const domain = FakePvDomain.kernel();
    domain.features = 1 << 28;
    const bytes = await saved(domain);
    await assert.rejects(restored(bytes, new FakePvDomain()), /features that this processor does not have: [^.]*avx/);
  });

  it('does not tell which features the guest may use, unless it is older than that', async () => {
    const bytes = await saved();
    const view = viewOf(bytes);
    // The record becomes one that may be left out.
    for (let at = 0; at + 8 < bytes.length; at += 8)
      if (view.getUint32(at, true) === LIBXC_RECORD.X86_CPUID_POLICY && view.getUint32(at + 4, true) % 24 === 0) {
        view.setUint32(at, 0x8000_0001, true);
        break;
      }
    await assert.rejects(restored(bytes, new FakePvDomain()), /does not tell which features/);
    const version = saveFileHeader(CONFIG).bytes.length + LIBXL_HEADER.size + 8 + 12;
    assert.equal(view.getUint32(version), 3);
    view.setUint32(version, 2);
    await restored(bytes, new FakePvDomain());
  });

  it('is of a domain with more memory than there is room for', async () => {
    await assert.rejects(restored(await saved(), new FakePvDomain(PAGES / 2)), /a page 0x20 beyond its memory/);
  });

  it('is changed anywhere: it is a domain all the same, or refused', async () => {
    const bytes = await saved();
    const head = saveFileHeader(CONFIG).bytes.length;
    // What is between records is more interesting than what is in pages.
    const where = fc.oneof(
      fc.integer({ min: 0, max: head + 2048 }),
      fc.nat(bytes.length - 1),
      fc.integer({ min: bytes.length - 12_000, max: bytes.length - 1 }),
    );
    const change = fc.tuple(where, fc.constantFrom(1, 2, 4, 8), fc.bigInt(0n, 0xffff_ffff_ffff_ffffn));
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), async (changes) => {
        const damaged = bytes.slice();
        for (const [at, width, value] of changes)
          for (let i = 0; i < width && at + i < damaged.length; i++)
            damaged[at + i] = Number((value >> BigInt(i * 8)) & 0xffn);
        await restored(damaged, new FakePvDomain()).catch((error: unknown) => {
          // What is left over is a stream that ended too soon for its sender.
          if (!(error instanceof StreamError) && !(error instanceof assert.AssertionError)) throw error;
        });
      }),
      fuzz(300),
    );
  });
});

/** A platform that tells what is written, which it finds by looking. */
const watchWrites: WatchWrites = ({ count, bytes, view }) => {
  const seen = bytes(0, count * PAGE_SIZE).slice();
  return {
    written(mark) {
      for (let mfn = 0; mfn < count; mfn++) {
        const known = seen.subarray(mfn * PAGE_SIZE, (mfn + 1) * PAGE_SIZE);
        if (Buffer.compare(known, view(mfn)) === 0) continue;
        known.set(view(mfn));
        mark(mfn, 1);
      }
      return true;
    },
    end: () => undefined,
  };
};
/** It fails when it is first asked. */
const failing: WatchWrites = () => ({ written: () => false, end: () => undefined });

const platforms = [
  // Each once, the changed ones twice, tables at the end.
  { what: 'cannot tell what is written', options: {}, pages: PAGES - 1 + 4 },
  { what: 'tells what is written', options: { watchWrites }, pages: PAGES - 1 + 4 },
  // All but tables in each of six passes.
  { what: 'does not know any more what is written', options: { watchWrites: failing }, pages: 6 * (PAGES - 5) + 1 + 4 },
];

for (const { what, options, pages: pagesSent } of platforms)
  describe(`a domain that is sent while it runs, on a platform that ${what}`, () => {
    it('arrives as it was when it stopped, and only what changed is sent again', async () => {
      const from = FakePvDomain.kernel();
      const sink = new MemorySink();
      let passes = 0;
      let suspended = false;
      const outcome = await saveDomain(from, sink, {
        ...options,
        xenVersion: { major: 4, minor: 17 },
        onProgress: (_, __, pass) => {
          passes = Math.max(passes, pass + 1);
          // Other vCPUs may be on their way out of the guest when the first one has suspended.
          assert.equal(from.pauses, suspended ? 1 : 0);
          // It writes to a page, gives one up and gets one in the place of another.
          if (pass === 0) from.page(40).fill(0xaa);
        },
        suspend: () => {
          suspended = true;
          from.page(41).fill(0xbb);
          from.populated.delete(42);
          from.populated.add(pages.absent);
          from.page(pages.absent).fill(0xcc);
          return Promise.resolve();
        },
      });
      assert.equal(outcome.passes, passes);
      assert.equal(from.pauses, 0);
      assert.equal(outcome.pagesSent, pagesSent);
      const to = new FakePvDomain();
      await restoreDomain(to, new MemorySource(sink.bytes));
      assert.deepEqual(
        [...to.populated].sort((a, b) => a - b),
        [...from.populated].sort((a, b) => a - b),
      );
      for (const pfn of [40, 41, pages.absent, 50]) assert.deepEqual(to.frames.view(pfn), from.page(pfn));
      const p2m = viewOf(to.frames.view(pages.p2m));
      assert.equal(p2m.getBigUint64(42 * 8, true), 0xffff_ffff_ffff_ffffn);
      assert.equal(p2m.getBigUint64(pages.absent * 8, true), BigInt(pages.absent));
    });
  });
