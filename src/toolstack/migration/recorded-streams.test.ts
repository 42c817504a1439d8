/**
 * Images that earlier versions have saved come back. Each file in recorded-streams is one, with the commit that wrote it (testing/record-stream.ts). When what is saved
 * changes, commit that, record it, and leave the others where they are: they are promises. One may go when a release says that its images are not read any more.
 */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { MemorySource } from './byte-stream.ts';
import { restoreDomain } from './libxc-restore.ts';
import { readLibxlStream } from './libxl-stream.ts';
import { readSaveFileHeader } from './save-file.ts';
import { FakePvDomain, pages } from './testing/fake-pv-domain.ts';

const folder = `${import.meta.dirname}/recorded-streams`;
/** Of the pages with frame numbers in them stream.test.ts tells what becomes. */
const rewritten: readonly number[] = [pages.startInfo, pages.p2m, pages.l1, pages.l2, pages.l3, pages.l4];

describe('an image that an earlier version has saved', () => {
  for (const name of globSync('*.json', { cwd: folder }).sort()) {
    const { commit, gzip } = JSON.parse(readFileSync(`${folder}/${name}`, 'utf8')) as Record<'commit' | 'gzip', string>;

    it(`comes back: ${commit}`, async () => {
      const source = new MemorySource(new Uint8Array(gunzipSync(Buffer.from(gzip, 'base64'))));
      const { text } = await readSaveFileHeader(source);
      assert.match(text, /"name": "kept"/);
      const [from, to] = [FakePvDomain.kernel(), new FakePvDomain()];
      await readLibxlStream(source, async () => void (await restoreDomain(to, source)));
      assert.equal(source.rest, 0);
      for (const pfn of from.populated)
        if (!rewritten.includes(pfn)) assert.deepEqual(to.frames.view(pfn), from.page(pfn), `page ${pfn}`);
      assert.equal(to.populated.size, from.populated.size);
      assert.deepEqual([...to.pinned], [...from.pinned]);
      for (const vcpu of [0, 1]) {
        const { context, extended } = to.vcpus.get(vcpu) ?? assert.fail(`no vCPU ${vcpu}`);
        assert.deepEqual(context, from.vcpus.get(vcpu)?.context);
        assert.equal(extended.syscall32DisablesEvents, true);
        assert.equal(extended.tscAux, vcpu);
      }
    });
  }
});
