import assert from 'node:assert/strict';
import { it } from 'node:test';
import { diskNumber } from './vdev.ts';

/** As libxl numbers them: what is recorded of it, the examples of xen-vbd-interface(7), and the edges. */
const numbers: Readonly<Record<string, number | undefined>> = {
  xvda: 51712,
  xvdb: 51728,
  xvdc: 51744,
  xvda1: 51713,
  xvdp15: 51967,
  xvda16: 268435472,
  xvdq: 268439552,
  xvdq1: 268439553,
  xvdaa: 268442112,
  xvda255: 268435711,
  d0p0: 51712,
  d1p2: 51730,
  d0x10p0: 268439552,
  d1048575p255: 536870911,
  hda: 768,
  hda5: 773,
  hdb: 832,
  hdc: 5632,
  hdd63: 5759,
  sda: 2048,
  sdb1: 2065,
  sdp15: 2303,
  51712: 51712,
  '0xca00': 51712,
  '0145000': 51712,
  xvda256: undefined,
  xvda01: undefined,
  xvd: undefined,
  xvda1x: undefined,
  xvdA: undefined,
  hde: undefined,
  hda64: undefined,
  sdq: undefined,
  sda16: undefined,
  d0: undefined,
  d1048576p0: undefined,
  4294967295: undefined,
  zzz: undefined,
  '': undefined,
};

for (const [vdev, number] of Object.entries(numbers)) {
  it(`${JSON.stringify(vdev)} is ${number === undefined ? 'no disk' : number}`, () => {
    assert.equal(diskNumber(vdev), number);
  });
}
