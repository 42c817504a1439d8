import assert from 'node:assert/strict';
import { closeSync, ftruncateSync, writeSync } from 'node:fs';
import { describe, it } from 'node:test';
import { HOST_PAGE, memoryMap } from './memory-map.ts';

const map = memoryMap();
const MIB = 2 ** 20;

describe('a mapped memory', { skip: map === undefined && 'needs Linux' }, () => {
  if (map === undefined) return;
  const memoryOf = (bytes: number): SharedArrayBuffer => {
    const pages = bytes / 65536;
    return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true }).buffer as SharedArrayBuffer;
  };
  const fileOf = (content: Uint8Array): number => {
    const fd = map.createMemfd('test');
    ftruncateSync(fd, content.length);
    writeSync(fd, content, 0, content.length, 0);
    return fd;
  };

  it('has the contents of a file, and its writes to itself', () => {
    const fd = fileOf(Uint8Array.from({ length: MIB }, (_, i) => i >> 12));
    const [one, other] = [memoryOf(MIB), memoryOf(MIB)];
    for (const memory of [one, other]) map.mapFile(memory, 0, { fd, offset: 0, length: MIB });
    closeSync(fd);
    new Uint8Array(one)[5 * HOST_PAGE] = 99;
    assert.deepEqual([...new Uint8Array(one, 5 * HOST_PAGE, 2)], [99, 5]);
    assert.equal(new Uint8Array(other)[5 * HOST_PAGE], 5);
    assert.equal(new Uint8Array(other)[255 * HOST_PAGE], 255);
  });

  it('takes a part of a file at a place', () => {
    const fd = fileOf(Uint8Array.from({ length: 8 * HOST_PAGE }, (_, i) => 1 + (i >> 12)));
    const memory = memoryOf(MIB);
    const bytes = new Uint8Array(memory).fill(77);
    map.mapFile(memory, 16 * HOST_PAGE, { fd, offset: 2 * HOST_PAGE, length: 3 * HOST_PAGE });
    const firsts = [15, 16, 17, 18, 19].map((page) => bytes[page * HOST_PAGE]);
    assert.deepEqual(firsts, [77, 3, 4, 5, 77]);
    assert.equal(map.populate(memory, 16 * HOST_PAGE, 3 * HOST_PAGE), true);
    // What was populated is the memory's own.
    writeSync(fd, new Uint8Array(8 * HOST_PAGE), 0, 8 * HOST_PAGE, 0);
    closeSync(fd);
    assert.equal(bytes[17 * HOST_PAGE + 7], 4);
  });

  it('says so when a file is shorter than what is mapped', () => {
    const fd = fileOf(new Uint8Array(HOST_PAGE));
    const memory = memoryOf(MIB);
    map.mapFile(memory, 0, { fd, offset: 0, length: 2 * HOST_PAGE });
    closeSync(fd);
    assert.equal(map.populate(memory, HOST_PAGE, HOST_PAGE), false);
  });

  it('refuses what lies beyond the memory, or not on pages', () => {
    const fd = fileOf(new Uint8Array(2 * MIB));
    const memory = memoryOf(MIB);
    for (const [at, offset, length] of [
      [0, 0, MIB + HOST_PAGE],
      [MIB, 0, HOST_PAGE],
      [-HOST_PAGE, 0, HOST_PAGE],
      [100, 0, HOST_PAGE],
      [0, 100, HOST_PAGE],
      [0, 0, 100],
      [0, 0, 0],
      [Number.NaN, 0, HOST_PAGE],
    ] as const)
      assert.throws(() => map.mapFile(memory, at, { fd, offset, length }), RangeError);
    closeSync(fd);
    assert.throws(() => map.mapFile(memory, 0, { fd: -1, offset: 0, length: HOST_PAGE }), /maps no 4096 bytes/);
  });
});
