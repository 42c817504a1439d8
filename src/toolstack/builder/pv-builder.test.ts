import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { StartInfo } from '../../abi/start-info.ts';
import { BuildError } from './build-error.ts';
import { silent } from './build-log.ts';
import { parseKernel } from './kernel-image.ts';
import { buildPvDomain, type PvBuildResult } from './pv-builder.ts';
import { inspectRamdisk, type Ramdisk } from './ramdisk.ts';
import { FakeDomain } from './testing/fake-domain.ts';
import { el7Notes, syntheticElf, type SyntheticNotes } from './testing/synthetic-kernel.ts';

const PAGE = 4096;
const MIB = 1024;
/** The ramdisk of the recorded 192 MiB guest, by its size. */
const RAMDISK: Ramdisk = { bytes: new Uint8Array(0x213 * PAGE).fill(0x30) };

interface Built extends PvBuildResult {
  readonly domain: FakeDomain;
  readonly info: ReturnType<typeof StartInfo.read>;
}

function build(options: { notes?: SyntheticNotes; ramdisk?: Ramdisk; mib?: number; cmdline?: string } = {}): Built {
  const kernel = parseKernel(syntheticElf(options.notes === undefined ? {} : { notes: options.notes }), silent);
  const domain = new FakeDomain(0x10000);
  const result = buildPvDomain(
    domain,
    { kernel, ramdisk: options.ramdisk },
    { memoryKiB: (options.mib ?? 192) * MIB, cmdline: options.cmdline ?? 'console=hvc0' },
  );
  const page = domain.frames.view(result.layout.startInfo.pfn);
  return { ...result, domain, info: StartInfo.read(new DataView(page.buffer, page.byteOffset), 0) };
}

function refusal(run: () => unknown): BuildError {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof BuildError, String(error));
    return error;
  }
  assert.fail('nothing was refused');
}

describe('a 192 MiB domain with a Debian kernel', () => {
  const { layout, info, domain, ...result } = build({ ramdisk: RAMDISK });

  it('has everything where real Xen put it', () => {
    const { kernel, startInfo, xenstore, console, pageTables, bootStack, ramdisk, p2m, virtPgtabEnd } = layout;
    const places = { kernel, startInfo, xenstore, console, pageTables, bootStack, ramdisk, p2m };
    const frames = Object.entries(places).map(([name, area]) => [name, area?.pfn, area?.pages]);
    assert.deepEqual(frames, [
      ['kernel', 0x1000, 0x3a00],
      ['startInfo', 0x4a00, 1],
      ['xenstore', 0x4a01, 1],
      ['console', 0x4a02, 1],
      ['pageTables', 0x4a03, 0x29],
      ['bootStack', 0x4a2c, 1],
      ['ramdisk', 0x4c00, 0x213],
      ['p2m', 0x4e13, 0x63],
    ]);
    assert.equal(virtPgtabEnd, -0x7b40_0000);
  });

  it('tells the guest so in start_info', () => {
    const { magic, cmd_line, ...numbers } = info;
    assert.equal(Buffer.from(magic).toString().replace(/\0+$/, ''), 'xen-3.0-x86_64');
    assert.equal(Buffer.from(cmd_line).toString().replace(/\0+$/, ''), 'console=hvc0');
    assert.deepEqual(numbers, {
      nr_pages: 0xc000,
      shared_info: 0x10000 * PAGE,
      flags: 8,
      store_mfn: 0x4a01,
      store_evtchn: 1,
      console_mfn: 0x4a02,
      console_evtchn: 2,
      pt_base: -0x7b5f_d000,
      nr_pt_frames: 0x29,
      mfn_list: 0x80_0000_0000,
      mod_start: 0x4c00,
      mod_len: 0x213000,
      first_p2m_pfn: 0x4e13,
      nr_p2m_frames: 0x63,
    });
  });

  it('loads segments by physical address', () => {
    assert.deepEqual([...domain.frames.bytes(0x1000000, 4)], [1, 2, 3, 0]);
    assert.deepEqual([...domain.frames.bytes(0x3044000, 5)], [6, 7, 8, 9, 0]);
    assert.deepEqual([...domain.frames.bytes(0x4c00 * PAGE, 2)], [0x30, 0x30]);
  });

  it('maps RAM from VIRT_BASE to the end of the slack, and nothing behind', () => {
    assert.equal(domain.entryOf(-0x8000_0000), 0x23);
    assert.equal(domain.entryOf(-0x7f00_0000), 0x1000023);
    assert.equal(domain.entryOf(layout.virtPgtabEnd - PAGE), 0x4bff023);
    assert.equal(domain.entryOf(layout.virtPgtabEnd), 0);
    assert.equal(domain.entryOf(0), 0);
  });

  it('maps frames that are page tables read-only, in both mappings', () => {
    for (let i = 0; i < layout.pageTables.pages; i++) {
      assert.equal(domain.entryOf(layout.pageTables.va + i * PAGE) & 2, 0, `table ${i}`);
    }
    assert.equal(domain.entryOf(layout.pageTables.va - PAGE) & 2, 2);
    assert.equal(domain.entryOf(layout.bootStack.va) & 2, 2);
  });

  it('puts L4, L3 and L2 first, where Linux wants to reuse them', () => {
    const view = domain.frames.dataView;
    const l4 = layout.pageTables.pfn;
    assert.equal(view.getUint32(l4 * PAGE + 511 * 8, true), ((l4 + 1) * PAGE) | 0x67);
    assert.equal(view.getUint32((l4 + 1) * PAGE + 510 * 8, true), ((l4 + 2) * PAGE) | 0x67);
    assert.equal(view.getUint32((l4 + 2) * PAGE, true), ((l4 + 3) * PAGE) | 0x67);
  });

  it('maps a P2M of whole pages at the address that the kernel chose', () => {
    const view = domain.frames.dataView;
    assert.equal(domain.entryOf(0x80_0000_0000), 0x4e13023);
    assert.equal(domain.entryOf(0x80_0005_f000), 0x4e72023);
    assert.equal(domain.entryOf(0x80_0006_0000), 0);
    assert.equal(view.getUint32(0x4e13 * PAGE + 0xbfff * 8, true), 0xbfff);
  });

  it('starts the first vCPU at the entry with the start_info in RSI', () => {
    assert.deepEqual(domain.context, { rip: -0x7cf8_6e40, rsp: -0x7b5d_3000, rsi: -0x7b60_0000, cr3Mfn: 0x4a03 });
    assert.deepEqual(domain.asked, [
      'allocUnbound 0',
      'allocUnbound 0',
      'setSymbols',
      'pin L4 18947',
      'setVcpuContext 0',
      'seedGrant 0 18946',
      'seedGrant 1 18945',
    ]);
    assert.deepEqual(result, { storeMfn: 0x4a01, storePort: 1, consoleMfn: 0x4a02, consolePort: 2 });
    assert.equal(domain.hypercallPage, undefined);
  });
});

describe('a domain with an el7 kernel', () => {
  const { layout, info, domain } = build({ notes: el7Notes, ramdisk: RAMDISK });

  it('has ramdisk and P2M mapped right behind the kernel', () => {
    assert.deepEqual(layout.ramdisk, { pfn: 0x4a00, pages: 0x213, va: -0x7b60_0000 });
    assert.equal(layout.p2m.pfn, 0x4c13);
    assert.equal(layout.startInfo.pfn, 0x4c73);
    assert.equal(info.mod_start, -0x7b60_0000);
    assert.equal(info.mfn_list, -0x7b3e_d000);
    assert.deepEqual([info.flags, info.first_p2m_pfn, info.nr_p2m_frames], [0, 0, 0]);
  });

  it('gets its hypercall page filled', () => assert.equal(domain.hypercallPage, 0x1001));
});

describe('building', () => {
  it('pads the P2M of an odd number of pages with ~0', () => {
    const kernel = parseKernel(syntheticElf(), silent);
    const domain = new FakeDomain(0x10000);
    const { layout } = buildPvDomain(domain, { kernel, ramdisk: undefined }, { memoryKiB: 192 * MIB + 4, cmdline: '' });
    const view = domain.frames.dataView;
    assert.equal(view.getUint32(layout.p2m.pfn * PAGE + 0xc000 * 8, true), 0xc000);
    assert.equal(view.getUint32(layout.p2m.pfn * PAGE + 0xc001 * 8, true), 0xffffffff);
    assert.equal(layout.p2m.pages - layout.p2mTables, 0x61);
  });

  it('has no ramdisk in start_info when there is none', () => {
    const { info } = build();
    assert.deepEqual([info.mod_start, info.mod_len, info.flags], [0, 0, 0]);
  });

  it('cuts a command line that is too long', () => {
    const { info } = build({ cmdline: 'x'.repeat(3000) });
    assert.equal(info.cmd_line[1022], 0x78);
    assert.equal(info.cmd_line[1023], 0);
    assert.equal(info.first_p2m_pfn, 0x4c00);
  });

  it('unzips a ramdisk for a guest that has room for it', () => {
    const archive = Buffer.concat([cpioHeader('a', 1 << 20), Buffer.alloc(1 << 20), cpioHeader('TRAILER!!!', 0)]);
    const ramdisk = inspectRamdisk(gzipSync(archive));
    assert.equal(build({ ramdisk }).info.mod_len, archive.length);
    const small = { ...ramdisk, unzipped: new Uint8Array(60 << 20) };
    assert.equal(build({ ramdisk: small }).info.mod_len, ramdisk.bytes.length);
  });

  for (const [mib, line] of [
    [0, 'xg_dom_core.c:536: xc_dom_chk_alloc_pages: segment padding too large (0x1000 > 0x0 - 0x0 pages)'],
    [32, 'xg_dom_core.c:536: xc_dom_chk_alloc_pages: segment kernel too large (0x3a00 > 0x2000 - 0x1000 pages)'],
    [75, 'xg_dom_x86.c:159: count_pgtables: not enough memory for initial mapping (0x4bff > 0x4b00)'],
  ] as const) {
    it(`says what does not fit into ${mib} MiB`, () => {
      const error = refusal(() => build({ mib }));
      assert.deepEqual(error.lines, [
        `xc: error: panic: ${line}: Out of memory`,
        'libxl: error: libxl_dom.c:594:libxl__build_dom: xc_dom_build_image failed: No such file or directory',
      ]);
    });
  }

  it('says that the host has too little memory', () => {
    const error = refusal(() => build({ mib: 1000 }));
    assert.deepEqual(error.lines, [
      "xc: error: panic: xg_dom_boot.c:119: xc_dom_boot_mem_init: can't allocate low memory for domain: Out of memory",
      'libxl: error: libxl_dom.c:586:libxl__build_dom: xc_dom_boot_mem_init failed: Cannot allocate memory',
    ]);
  });
});

function cpioHeader(name: string, size: number): Buffer {
  const numbers = [1, 0o100644, 0, 0, 1, 0, size, 0, 0, 0, 0, name.length + 1, 0];
  const header = `070701${numbers.map((number) => number.toString(16).padStart(8, '0')).join('')}${name}\0`;
  return Buffer.concat([Buffer.from(header), Buffer.alloc((4 - (header.length % 4)) % 4)]);
}
