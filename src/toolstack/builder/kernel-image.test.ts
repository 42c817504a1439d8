import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { Elf64Ehdr, Elf64Phdr } from '../../abi/elf.ts';
import { SETUP_HEADER_AT, SetupHeader } from '../../abi/bzimage.ts';
import { BuildError } from './build-error.ts';
import { silent } from './build-log.ts';
import { decompressPayload } from './compression/decompress.ts';
import { extractElf, isGuests, parseKernel } from './kernel-image.ts';
import { debianNotes, debianSegments, el7Notes, syntheticBzImage, syntheticElf } from './testing/synthetic-kernel.ts';

const unpack = (payload: Uint8Array): Promise<Uint8Array> => Promise.resolve(decompressPayload(payload));
const extract = (file: Uint8Array): Promise<Uint8Array> => extractElf(file, unpack, silent);

function refusal(run: () => unknown): BuildError {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof BuildError, String(error));
    return error;
  }
  assert.fail('nothing was refused');
}

async function rejection(file: Uint8Array): Promise<BuildError> {
  const error: unknown = await extract(file).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof BuildError, String(error));
  return error;
}

describe('finding the ELF file', () => {
  const elf = syntheticElf();

  it('takes it out of a bzImage', async () => {
    assert.equal(Buffer.compare(await extract(syntheticBzImage(elf)), elf), 0);
  });
  it('takes a raw ELF file as it is', async () => assert.deepEqual(await extract(elf), elf));
  it('unzips a gzip file of it', async () => {
    assert.equal(Buffer.compare(await extract(gzipSync(elf)), elf), 0);
  });

  it('refuses what is no kernel in the words of xl', async () => {
    const error = await rejection(Buffer.from('root:x:0:0:root:/root:/bin/bash\n'));
    assert.deepEqual(error.lines, [
      'xc: error: panic: xg_dom_core.c:689: xc_dom_find_loader: no loader found: Invalid kernel',
      'libxl: error: libxl_dom.c:571:libxl__build_dom: xc_dom_parse_image failed',
    ]);
    assert.equal(error.exitCode, 3);
    assert.equal(error.rc, -3);
  });

  it('refuses an empty file', async () => {
    assert.match((await rejection(new Uint8Array())).message, /no loader found/);
  });

  it('says that a bzImage is cut off', async () => {
    const image = syntheticBzImage(elf);
    for (const length of [0x300, 0x400, image.length - 100]) {
      const { hint } = await rejection(image.subarray(0, length));
      assert.match(hint ?? '', /cut off/);
    }
  });

  it('says that a payload is damaged', async () => {
    const image = syntheticBzImage(elf);
    image.fill(0xaa, 0xd00, 0xd20);
    assert.match((await rejection(image)).hint ?? '', /payload of the bzImage cannot be unpacked/);
  });

  it('refuses boot protocols without a payload', async () => {
    const image = syntheticBzImage(elf);
    SetupHeader.write(new DataView(image.buffer), SETUP_HEADER_AT, { version: 0x0207 });
    assert.match((await rejection(image)).hint ?? '', /boot protocol 2\.07 is too old/);
  });

  it('refuses offsets that lead out of the file', async () => {
    for (const fields of [{ payload_offset: 0xffffffff }, { payload_length: 0xffffffff }, { payload_length: 0 }]) {
      const image = syntheticBzImage(elf);
      SetupHeader.write(new DataView(image.buffer), SETUP_HEADER_AT, fields);
      assert.match((await rejection(image)).hint ?? '', /^bzImage: /);
    }
  });
});

describe('reading a kernel', () => {
  it('knows where a Debian kernel wants to be', () => {
    const kernel = parseKernel(syntheticElf(), silent);
    assert.equal(kernel.virtStart, -0x7f00_0000);
    assert.equal(kernel.virtEnd, -0x7b60_0000);
    assert.equal(kernel.initP2m, 0x80_0000_0000);
    assert.equal(kernel.unmappedRamdisk, true);
    assert.equal(kernel.hypercallPage, undefined);
  });

  it('knows the hypercall page of an el7 kernel, which has no P2M address', () => {
    const kernel = parseKernel(syntheticElf({ notes: el7Notes }), silent);
    assert.equal(kernel.hypercallPage, -0x7eff_f000);
    assert.equal(kernel.initP2m, undefined);
    assert.equal(kernel.unmappedRamdisk, false);
  });

  it('shows the notes as libxc does', () => {
    const lines: string[] = [];
    parseKernel(syntheticElf(), (line) => lines.push(line));
    for (const line of [
      'xc: detail: ELF: phdr: paddr=0x1000000 memsz=0x18ea9f0',
      'xc: detail: ELF: memory: 0x1000000 -> 0x4a00000',
      'xc: detail: ELF: note: GUEST_OS = "linux"',
      'xc: detail: ELF: note: VIRT_BASE = 0xffffffff80000000',
      'xc: detail: ELF: note: PADDR_OFFSET = 0',
      'xc: detail: ELF: note: MOD_START_PFN = 0x1',
      'xc: detail:     virt_entry       = 0xffffffff830791c0',
      'xc: detail:     p2m_base         = 0x8000000000',
    ]) {
      assert.ok(lines.includes(line), line);
    }
  });

  it('refuses a kernel without Xen notes', () => {
    const error = refusal(() => parseKernel(syntheticElf({ notes: {} }), silent));
    assert.match(error.hint ?? '', /CONFIG_XEN_PV/);
    assert.match(error.message, /Not a Xen-ELF image: No ELF notes or '__xen_guest' section found/);
  });

  it('refuses a kernel that has a PVH entry only', () => {
    const elf = syntheticElf({ notes: { GUEST_OS: 'linux', XEN_VERSION: 'xen-3.0', PHYS32_ENTRY: 0x1000850 } });
    assert.match(refusal(() => parseKernel(elf, silent)).message, /PVH domain only/);
  });

  it('refuses a 32-bit kernel', () => {
    const elf = syntheticElf();
    elf[4] = 1;
    assert.match(refusal(() => parseKernel(elf, silent)).message, /x86_32p not supported/);
  });

  for (const [name, notes, expected] of [
    ['another ABI', { XEN_VERSION: 'xen-4.0' }, /Xen v3\.0/],
    ['another loader', { LOADER: 'special' }, /generic loader/],
    [
      'a required feature of auto-translated guests',
      { FEATURES: '!auto_translated_physmap' },
      /auto_translated_physmap/,
    ],
    ['a feature of domain 0', { FEATURES: 'pae_pgdir_above_4gb|!dom0' }, /requires the feature dom0/],
    ['an entry outside', { ENTRY: -0x1000 }, /out of bounds/],
    [
      'a base inside the range of Xen',
      { VIRT_BASE: -0x7f00_0000_0000, ENTRY: -0x7f00_0000_0000 + 0x3000000 },
      /Xen owns/,
    ],
    ['a base that is not canonical', { VIRT_BASE: 0x8000_0000_0000, ENTRY: 0x8000_0300_0000 }, /Xen owns/],
    ['a P2M inside the kernel', { INIT_P2M: -0x7f00_0000 }, /P->M table base/],
    ['a P2M inside the range of Xen', { INIT_P2M: -0x8000_0000_0000 }, /P->M table base/],
    ['a P2M between pages', { INIT_P2M: 0x80_0000_0010 }, /page aligned/],
    ['a hypercall page outside', { HYPERCALL_PAGE: 0x1000 }, /hypercall page/],
  ] as const) {
    it(`refuses ${name}`, () => {
      const elf = syntheticElf({ notes: { ...debianNotes, ...notes } });
      assert.match(refusal(() => parseKernel(elf, silent)).message, expected);
    });
  }

  it('survives any value in any header field', () => {
    const elf = syntheticElf();
    const end = Elf64Ehdr.size + (debianSegments.length + 1) * Elf64Phdr.size;
    for (let at = 0; at < end; at++) {
      for (const value of [0, 1, 0x7f, 0x80, 0xff]) {
        const damaged = elf.slice();
        damaged[at] = value;
        try {
          parseKernel(damaged, silent);
        } catch (error) {
          assert.ok(error instanceof BuildError, `byte ${at} = ${value}: ${String(error)}`);
        }
      }
    }
  });

  it('survives a file that ends anywhere', () => {
    const elf = syntheticElf();
    for (let length = 0; length < elf.length; length++) refusal(() => parseKernel(elf.subarray(0, length), silent));
  });
});

describe('addresses of a guest', () => {
  it('lie on either side of the range of Xen', () => {
    assert.ok(isGuests(0, 0x7fff_ffff_ffff));
    assert.ok(isGuests(-0x7800_0000_0000, 0));
    assert.ok(!isGuests(0x7fff_ffff_f000, 0x8000_0000_0000));
    assert.ok(!isGuests(-0x7800_0000_1000, -0x7000_0000_0000));
    assert.ok(!isGuests(-0x1000, 0x1000));
  });
});
