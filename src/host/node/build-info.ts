/**
 * What `xl info` tells of the processor and of how the hypervisor was made. Guests see the same features by CPUID; of the build they see only what does not
 * change from host to host (hypervisor/xen-version.ts).
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { cpuFeatures } from '../../cpu/index.ts';
import type { XenVersion } from '../../hypervisor/control.ts';
import { CpuidPolicy } from '../../hypervisor/pv/cpuid-policy.ts';

const [EAX, EBX, ECX, EDX] = [0, 1, 2, 3] as const;
/** Which register of which leaf each word of hw_caps is (xen/include/public/arch-x86/cpufeatureset.h, "Word 0" to "Word 7"). */
const words = [
  [0x1, 0, EDX],
  [0x1, 0, ECX],
  [0x80000001, 0, EDX],
  [0x80000001, 0, ECX],
  [0xd, 1, EAX],
  [0x7, 0, EBX],
  [0x7, 0, ECX],
  [0x80000007, 0, EDX],
] as const;

export function hwCap(): readonly number[] {
  const policy = new CpuidPolicy(cpuFeatures);
  const query = { vcpu: 0, vcpus: 1, xenVersion: 0, addressBits: 0 };
  return words.map(([leaf, subleaf, register]) => policy.query(leaf, subleaf, query)[register] >>> 0);
}

/** The interpreter's module is generated and compiled when the host starts, and that is the date. */
export function withBuild(version: XenVersion, started: Date): XenVersion {
  let id: string | undefined;
  return {
    ...version,
    compileDate: dateText(started),
    // Only xl info asks for it; reading the sources takes some milliseconds.
    get buildId() {
      return (id ??= sourceDigest());
    },
  };
}

/** As date(1) writes it in the C locale, which is what Xen's build calls. */
function dateText(date: Date): string {
  const [weekday = '', day = '', month = '', year = '', time = ''] = date.toUTCString().replace(',', '').split(' ');
  return `${weekday} ${month} ${String(Number(day)).padStart(2)} ${time} UTC ${year}`;
}

/** In the npm package, which has no sources, their digest; nowhere else is there such a name. */
declare const XENOLITH_BUILD_ID: string;

/** A linker's build id is a SHA-1 of what it has linked: of the rooms that a hypervisor consists of. */
export function sourceDigest(): string {
  if (typeof XENOLITH_BUILD_ID === 'string') return XENOLITH_BUILD_ID;
  const digest = createHash('sha1');
  const sources = join(import.meta.dirname, '../..');
  for (const room of ['abi', 'cpu', 'hypervisor']) {
    const files = readdirSync(join(sources, room), { recursive: true, encoding: 'utf8' });
    for (const file of files.filter((name) => name.endsWith('.ts')).sort())
      digest.update(`${room}/${file}\0`).update(readFileSync(join(sources, room, file)));
  }
  return digest.digest('hex');
}
