/** Writes a domain's pages in passes: all of them, or those that have changed since an earlier pass. */
import {
  LIBXC_RECORD,
  PAGES_PER_RECORD,
  PAGE_TYPE,
  PAGE_TYPE_SHIFT,
  PageDataHeader,
  RECORD_ALIGN,
  RecordHeader,
} from './stream-format.ts';
import { PAGE_SIZE } from '../../abi/numbers.ts';
import type { ByteSink } from './byte-stream.ts';
import type { SavableDomain } from './libxc-save.ts';
import { canonicalise } from './page-tables.ts';
import { Physmap } from './physmap.ts';
import { viewOf, writeRecord } from './records.ts';
import type { SentPages } from './sent-pages.ts';

interface Entry {
  readonly pfn: number;
  /** As in the stream: a level, perhaps pinned, or XTAB. */
  readonly type: number;
  readonly data: Uint8Array | undefined;
}

export class PageWriter {
  readonly #domain: SavableDomain;
  readonly #sink: ByteSink;
  readonly #sent: SentPages | undefined;
  readonly #signal: AbortSignal | undefined;

  /** `sent`: what the receiver has, for a domain that runs while its pages are written. */
  constructor(domain: SavableDomain, sink: ByteSink, sent: SentPages | undefined, signal: AbortSignal | undefined) {
    this.#domain = domain;
    this.#sink = sink;
    this.#sent = sent;
    this.#signal = signal;
  }

  /** `isLast`: the domain is stopped. Resolves with how many pages were written. */
  async pass(isLast: boolean, onProgress: (done: number, total: number) => void): Promise<number> {
    this.#sent?.begin();
    const physmap = new Physmap(this.#domain);
    const total = physmap.mfns.length;
    let written = 0;
    for (let first = 0; first < total; first += PAGES_PER_RECORD) {
      this.#signal?.throwIfAborted();
      const entries: Entry[] = [];
      for (let pfn = first; pfn < Math.min(first + PAGES_PER_RECORD, total); pfn++) {
        const entry = this.#entry(physmap, pfn, isLast);
        if (entry !== undefined) entries.push(entry);
      }
      if (entries.length > 0) {
        await this.#align(entries.length);
        await writeRecord(this.#sink, LIBXC_RECORD.PAGE_DATA, ...pageData(entries));
      }
      written += entries.length;
      onProgress(Math.min(first + PAGES_PER_RECORD, total), total);
    }
    return written;
  }

  /** In a file, pages begin at multiples of their size, so that whoever restores the domain can map them. */
  async #align(count: number): Promise<void> {
    const { position } = this.#sink;
    if (position === undefined || position % RECORD_ALIGN !== 0) return;
    const first = position + 2 * RecordHeader.size + PageDataHeader.size + count * 8;
    const length = (PAGE_SIZE - (first % PAGE_SIZE)) % PAGE_SIZE;
    await writeRecord(this.#sink, LIBXC_RECORD.PADDING, new Uint8Array(length));
  }

  /** Undefined: nothing is to be told of the page now. */
  #entry(physmap: Physmap, pfn: number, isLast: boolean): Entry | undefined {
    const mfn = physmap.mfnOf(pfn);
    if (mfn === undefined) {
      if (this.#sent?.wasSent(pfn) !== true) return undefined;
      this.#sent.forget(pfn);
      return { pfn, type: PAGE_TYPE.XTAB, data: undefined };
    }
    const { level, pinned } = this.#domain.frameType(mfn);
    if (level !== 0) {
      // While the guest runs its tables change all the time, and in between they name frames that it has given up.
      if (!isLast) return undefined;
      const table = this.#domain.frames.view(mfn).slice();
      canonicalise(viewOf(table), level, physmap);
      return { pfn, type: level | (pinned ? PAGE_TYPE.PINNED : 0), data: table };
    }
    const data = this.#sent === undefined ? this.#domain.frames.view(mfn) : this.#sent.take(pfn, mfn);
    return data === undefined ? undefined : { pfn, type: PAGE_TYPE.NOTAB, data };
  }
}

/** The body of one record: which pages, and what is in them. */
function pageData(entries: readonly Entry[]): Uint8Array[] {
  const list = new Uint8Array(PageDataHeader.size + entries.length * 8);
  const view = viewOf(list);
  PageDataHeader.write(view, 0, { count: entries.length });
  entries.forEach(({ pfn, type }, i) => {
    const at = PageDataHeader.size + i * 8;
    view.setUint32(at, pfn, true);
    view.setUint32(at + 4, (type << PAGE_TYPE_SHIFT) >>> 0, true);
  });
  return [list, ...joined(entries.flatMap(({ data }) => (data === undefined ? [] : [data])))];
}

/** Pages that lie side by side are one chunk. */
function joined(pages: readonly Uint8Array[]): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  for (const page of pages) {
    const last = chunks.at(-1);
    if (last !== undefined && last.buffer === page.buffer && last.byteOffset + last.length === page.byteOffset)
      chunks[chunks.length - 1] = new Uint8Array(page.buffer, last.byteOffset, last.length + PAGE_SIZE);
    else chunks.push(page);
  }
  return chunks;
}
