import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PAGE_SIZE } from '../../abi/numbers.ts';
import { copyIntoZeroes } from './copy-into-zeroes.ts';

describe('copying into memory that is zero', () => {
  it('gives the same bytes as any copy, wherever the zero pages lie', () => {
    for (const pages of ['', 'x', '0', 'x0x', '0x0', '00xx00', 'xx00x']) {
      for (const more of [0, 1, 7]) {
        const source = new Uint8Array(pages.length * PAGE_SIZE + more);
        [...pages].forEach((page, i) => page === 'x' && source.fill(1 + i, i * PAGE_SIZE + 4000, (i + 1) * PAGE_SIZE));
        if (more > 1) source[source.length - 1] = 9;
        const target = new Uint8Array(source.length + 10);
        copyIntoZeroes(target, source);
        assert.deepEqual(target.subarray(0, source.length), source, `${pages} and ${more} bytes`);
      }
    }
  });

  it('leaves pages alone that are zero in the source', () => {
    const source = new Uint8Array(3 * PAGE_SIZE);
    source[2 * PAGE_SIZE] = 1;
    const target = new Uint8Array(source.length).fill(7);
    copyIntoZeroes(target, source);
    assert.equal(target[2 * PAGE_SIZE - 1], 7);
    assert.equal(target[2 * PAGE_SIZE + 1], 0);
  });
});
