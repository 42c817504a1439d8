import assert from 'node:assert/strict';
import { closeSync, ftruncateSync, writeSync } from 'node:fs';
import { describe, it } from 'node:test';
import { memoryMap } from './memory-map.ts';
import { domainMemories } from './memory-template.ts';
import type { DomainMemories } from '../../hypervisor/host-services.ts';

const PAGE = 4096;
const PAGES = 4608;
const OUTSIDE = 100 * PAGE;
const parts = [
  { at: 16 * PAGE, end: 32 * PAGE },
  { at: 200 * PAGE, end: PAGES * PAGE },
];

function createMemory(): WebAssembly.Memory {
  return new WebAssembly.Memory({ initial: PAGES / 16, maximum: PAGES / 16, shared: true });
}

const create = (): WebAssembly.Memory => createMemory();

const at = (memory: WebAssembly.Memory, page: number): number => new Uint8Array(memory.buffer)[page * PAGE] ?? -1;
const set = (memory: WebAssembly.Memory, page: number, value: number): void => {
  new Uint8Array(memory.buffer)[page * PAGE] = value;
};

const kinds: [string, DomainMemories | undefined][] = [
  ['of pages that are shared', memoryMap() && domainMemories(create)],
  ['of copies', domainMemories(create, 'none')],
];
for (const [name, memories] of kinds)
  describe(`a template ${name}`, { skip: memories === undefined && 'needs Linux' }, () => {
    if (memories === undefined) return;
    const freeze: DomainMemories['freeze'] = (memory, of) => memories.freeze(memory, of);
    const copyOf = (template: ReturnType<DomainMemories['freeze']>): WebAssembly.Memory => template.create();

    it('is what the memory was, whatever becomes of that and of its copies', () => {
      const memory = createMemory();
      set(memory, 20, 1);
      set(memory, 300, 2);
      new Uint8Array(memory.buffer)[OUTSIDE] = 3;
      const template = freeze(memory, parts);
      set(memory, 300, 4);
      set(memory, 301, 5);
      const [one, other] = [copyOf(template), copyOf(template)];
      set(one, 20, 6);
      template.close();
      template.close();
      for (const [copy, first] of [
        [one, 6],
        [other, 1],
      ] as const)
        assert.deepEqual([at(copy, 20), at(copy, 300), at(copy, 301), at(copy, 100)], [first, 2, 0, 0]);
      assert.deepEqual([at(memory, 20), at(memory, 300), at(memory, 301), at(memory, 100)], [1, 4, 5, 3]);
    });

    it('of a copy has what that has since written', () => {
      const memory = createMemory();
      for (let page = 1000; page < 1100; page++) set(memory, page, page & 0xff);
      const first = freeze(memory, parts);
      const child = copyOf(first);
      set(child, 1050, 99);
      set(child, 2000, 98);
      const second = freeze(child, parts);
      first.close();
      set(child, 1050, 97);
      const grandchild = copyOf(second);
      second.close();
      const pages = [1000, 1050, 1051, 2000];
      assert.deepEqual(
        pages.map((page) => at(grandchild, page)),
        [1000 & 0xff, 99, 1051 & 0xff, 98],
      );
      assert.equal(at(child, 1050), 97);
      assert.equal(at(memory, 1050), 1050 & 0xff);
    });

    it('of a memory that a file is mapped under has the pages of the file', () => {
      const map = memoryMap();
      if (map === undefined) return;
      const fd = map.createMemfd('image');
      ftruncateSync(fd, 64 * PAGE);
      for (let page = 0; page < 64; page++) writeSync(fd, Uint8Array.of(page + 1), 0, 1, page * PAGE);
      const memory = createMemory();
      map.mapFile(memory.buffer as SharedArrayBuffer, 1000 * PAGE, { fd, offset: 0, length: 64 * PAGE });
      closeSync(fd);
      set(memory, 1001, 99);
      assert.equal(at(memory, 1002), 3);
      const first = freeze(memory, parts);
      set(memory, 1003, 98);
      const second = freeze(memory, parts);
      const pages = [1000, 1001, 1002, 1003, 1063];
      const contents = (copy: WebAssembly.Memory): number[] => pages.map((page) => at(copy, page));
      assert.deepEqual(contents(copyOf(first)), [1, 99, 3, 4, 64]);
      assert.deepEqual(contents(copyOf(second)), [1, 99, 3, 98, 64]);
      assert.deepEqual(contents(memory), [1, 99, 3, 98, 64]);
    });

    it('can be made again and again of a memory that is written all over', () => {
      const memory = createMemory();
      const expected = new Map<number, number>();
      for (let round = 1; round <= 12; round++) {
        for (let i = 0; i < 60; i++) {
          const page = 200 + ((i * 7919 + round * 104729) % (PAGES - 200));
          set(memory, page, round);
          expected.set(page, round);
        }
        const template = freeze(memory, parts);
        const copy = copyOf(template);
        template.close();
        for (const [page, value] of expected) {
          assert.equal(at(copy, page), value);
          assert.equal(at(memory, page), value);
        }
      }
    });

    it('that is prepared has what is written until it is made, and the memory keeps it', async () => {
      const memory = memories.create(PAGES / 16);
      const filled = [20, ...Array.from({ length: 1000 }, (_, i) => 201 + i * 4)];
      for (const page of filled) set(memory, page, 1);
      let [turns, isOver] = [0, false];
      // Pages that are written already and others, those that there are and those that there were not.
      const written = (): number[] => [20, 21, 201, 202, 200 + ((turns * 1009) % 4000), 4197, PAGES - 1];
      const expected = new Map(filled.map((page) => [page, 1]));
      const write = (): void => {
        if (isOver) return;
        turns++;
        for (const page of written()) {
          set(memory, page, 1 + (turns % 255));
          expected.set(page, 1 + (turns % 255));
        }
        setImmediate(write);
      };
      write();
      await memories.prepareFreeze(memory, parts, () => true);
      isOver = true;
      // Otherwise there is nothing to prepare.
      if (memoryMap() !== undefined && name !== 'of copies') assert.ok(turns > 5, `${turns} turns`);
      const template = freeze(memory, parts);
      const copy = copyOf(template);
      template.close();
      for (const [page, value] of expected) assert.deepEqual([at(copy, page), at(memory, page)], [value, value]);
    });

    it('that is prepared for nothing leaves the memory as it was', async () => {
      const memory = memories.create(PAGES / 16);
      for (let page = 200; page < PAGES; page++) set(memory, page, page & 0xff);
      let wanted = 3;
      await memories.prepareFreeze(memory, parts, () => wanted-- > 0);
      for (let page = 200; page < PAGES; page++) assert.equal(at(memory, page), page & 0xff);
      const released = { at: 200 * PAGE, end: PAGES * PAGE };
      let isThere = true;
      const prepared = memories.prepareFreeze(memory, parts, () => isThere);
      isThere = false;
      memories.release(memory, released);
      await prepared;
    });

    it('and its copies stay when a memory of it is released', () => {
      const memory = memories.create(PAGES / 16);
      set(memory, 20, 1);
      set(memory, 300, 2);
      const template = freeze(memory, parts);
      const [one, other] = [copyOf(template), copyOf(template)];
      const released = { at: 200 * PAGE, end: PAGES * PAGE };
      memories.release(memory, released);
      memories.release(one, released);
      for (const copy of [other, copyOf(template)]) assert.deepEqual([at(copy, 20), at(copy, 300)], [1, 2]);
      assert.deepEqual([at(memory, 20), at(one, 20)], [1, 1]);
      template.close();
    });
  });

describe('the memory of a domain', { skip: memoryMap() === undefined && 'needs Linux' }, () => {
  it('gives its pages back when it is released', () => {
    const memories = domainMemories(create);
    const memory = memories.create(PAGES / 16);
    set(memory, 20, 1);
    set(memory, 300, 2);
    memories.release(memory, { at: 200 * PAGE, end: PAGES * PAGE });
    assert.deepEqual([at(memory, 20), at(memory, 300)], [1, 0]);
  });
});
