import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { hiOf, loOf } from '../../abi/numbers.ts';
import { readKallsyms } from './kallsyms.ts';
import { symbolizer } from './symbols.ts';

const BASE = -0x7f00_0000;

/** A table as scripts/kallsyms.c lays it out: 600 functions of 16 bytes, one per-CPU variable first. */
function syntheticKallsyms(last = 'function_599'): Buffer {
  const names = ['Aper_cpu_var', ...Array.from({ length: 599 }, (_, i) => `Tfunction_${i}`), `T${last}`];
  const align = (bytes: Buffer): Buffer => Buffer.concat([bytes, Buffer.alloc((8 - (bytes.length % 8)) % 8)]);
  const offsets = Buffer.alloc(names.length * 4);
  names.forEach((_, i) => offsets.writeInt32LE(i === 0 ? 0x40 : -1 - (i - 1) * 16, i * 4));
  const base = Buffer.alloc(16);
  base.writeUInt32LE(loOf(BASE), 0);
  base.writeUInt32LE(hiOf(BASE), 4);
  base.writeUInt32LE(names.length, 8);
  const markers: number[] = [];
  let length = 0;
  // Token 1 stands for "function_"; all others for themselves.
  const encoded = names.map((name, i) => {
    if (i % 256 === 0) markers.push(length);
    const tokens = Buffer.from(name.replaceAll('function_', '\x01'), 'latin1');
    length += 1 + tokens.length;
    return Buffer.concat([Buffer.of(tokens.length), tokens]);
  });
  const markerBytes = Buffer.alloc(markers.length * 4);
  markers.forEach((marker, i) => markerBytes.writeUInt32LE(marker, i * 4));
  const index = Buffer.alloc(512);
  let at = 0;
  const tokens = Array.from({ length: 256 }, (_, token) => {
    const text = token === 1 ? 'function_' : token > 0x20 && token < 0x7f ? String.fromCharCode(token) : '';
    index.writeUInt16LE(at, token * 2);
    at += text.length + 1;
    return `${text}\0`;
  });
  const table = [offsets, base, Buffer.concat(encoded), markerBytes, Buffer.alloc(99), Buffer.from(tokens.join(''))];
  return Buffer.concat([Buffer.alloc(4096, 0x90), ...table.map(align), index, Buffer.alloc(100)]);
}

describe("the kernel's own symbol table", () => {
  const image = syntheticKallsyms();

  it('is found and decoded, without per-CPU variables', () => {
    const symbols = readKallsyms(image, BASE);
    assert.equal(symbols?.length, 600);
    assert.deepEqual(symbols?.[300], { value: BASE + 300 * 16, name: 'function_300' });
  });

  it('is not found where there is none', () => {
    assert.equal(readKallsyms(new Uint8Array(10000), BASE), undefined);
    assert.equal(readKallsyms(image, BASE + 16), undefined);
    assert.equal(readKallsyms(new Uint8Array(), BASE), undefined);
  });

  it('is given up when its names are longer than any kernel has them', () => {
    assert.notEqual(readKallsyms(syntheticKallsyms('function_'.repeat(50)), BASE), undefined);
    assert.equal(readKallsyms(syntheticKallsyms('function_'.repeat(100)), BASE), undefined);
  });

  it('does no harm when a guest has changed it', () => {
    for (let at = 4096; at < image.length; at += 13) {
      for (const value of [0, 0xff]) {
        const damaged = Buffer.from(image);
        damaged[at] = value;
        readKallsyms(damaged, BASE);
      }
    }
    for (let length = 4096; length < image.length; length += 101) readKallsyms(image.subarray(0, length), BASE);
  });
});

describe('a symbolizer', () => {
  it('names the function that an address lies in', () => {
    let loads = 0;
    const name = symbolizer(() => {
      loads++;
      return readKallsyms(syntheticKallsyms(), BASE);
    });
    assert.deepEqual(name(BASE + 5 * 16 + 3), { name: 'function_5', offset: 3, size: 16 });
    assert.equal(name(BASE - 1), undefined);
    assert.equal(name(0), undefined);
    assert.equal(loads, 1);
  });
});
